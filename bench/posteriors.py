"""Posteriors and priors: CPU-time of a training step, one thread, 784-400-20, Bernoulli likelihood, batches of 128.

The step is one gather from `uint8`, noise, the ELBO, its backward pass and fused Adam; only the posterior or the prior
changes from contender to contender. Each trains in a process of its own.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable

import torch
from torch import nn

from bench import harness, images, twin
from bench.harness import Contender, Target
from latentia.models import VariationalAutoencoder
from latentia.networks import MLP
from latentia.objectives import elbo
from latentia.parts import (
    BernoulliLikelihood,
    DiagonalGaussian,
    FlowPosterior,
    FlowPrior,
    FullGaussian,
    LearnedNormal,
    MixtureOfGaussians,
    MixtureOfGaussiansPosterior,
    StandardNormal,
    VampPrior,
    initial_pseudo_inputs,
)

MODULE = "bench.posteriors"
COST = "cpu_ms_per_step"
EVENT, LATENT = (images.SIDE, images.SIDE), twin.LATENT


def _network(outputs: int) -> MLP:
    return MLP(EVENT, [twin.HIDDEN], outputs)


POSTERIORS: dict[str, Callable[[], nn.Module]] = {
    "diagonal": lambda: DiagonalGaussian(_network(DiagonalGaussian.outputs(LATENT))),
    "full": lambda: FullGaussian(_network(FullGaussian.outputs(LATENT)), LATENT),
    "mixture": lambda: MixtureOfGaussiansPosterior(_network(MixtureOfGaussiansPosterior.outputs(LATENT)), LATENT),
    "flow": lambda: FlowPosterior(_network(FlowPosterior.outputs(LATENT)), LATENT),
    "splines": lambda: FlowPosterior(_network(FlowPosterior.outputs(LATENT)), LATENT, transforms=2, bins=8),
}
PRIORS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "standard": lambda _: StandardNormal(LATENT),
    "learned": lambda _: LearnedNormal(LATENT),
    "mixture": lambda _: MixtureOfGaussians(LATENT, 500),
    "vamp": lambda encoder: VampPrior(encoder, _pseudo_inputs(), 0.0, 1.0),
    "flow": lambda _: FlowPrior(LATENT),
    "splines": lambda _: FlowPrior(LATENT, transforms=2, bins=8),
}


def _pseudo_inputs() -> torch.Tensor:
    return initial_pseudo_inputs(torch.full(EVENT, 0.2), torch.full(EVENT, 0.1), 500, 0.0, 1.0)


def work(contender: str, steps: int) -> dict[str, float]:
    """Train in this process; CPU-milliseconds of a step after the first fifty, and the bound at the end."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    posterior, prior = contender.split()
    rows = torch.from_numpy(images.binary(6400))
    encoder = POSTERIORS[posterior]()
    decoder = BernoulliLikelihood(MLP(LATENT, [twin.HIDDEN], images.SIDE**2), EVENT)
    model = VariationalAutoencoder(prior=PRIORS[prior](encoder), encoder=encoder, decoder=decoder)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    size = LATENT + int(getattr(encoder, "extra_noise", 0))
    value, begun = torch.zeros(()), 0.0
    for step in range(50 + steps):
        if step == 50:
            begun = time.process_time()
        x = rows.index_select(0, torch.randint(len(rows), (twin.BATCH,))).float()
        value = elbo(model, x, noise=torch.randn(1, twin.BATCH, size)).value.mean()
        optimizer.zero_grad(set_to_none=True)
        (-value).backward()
        optimizer.step()
    return {COST: (time.process_time() - begun) / steps * 1000.0, "elbo": float(value.detach())}


def contenders() -> list[Contender]:
    """Return the rows of the table, in the order of the turns."""
    flows = importlib.util.find_spec("zuko") is not None
    names = {
        "diagonal standard": "diagonal posterior, standard normal prior",
        "full standard": "full-covariance posterior",
        "mixture standard": "posterior of 5 components",
        "flow standard": "flow posterior, 4 affine layers",
        "splines standard": "flow posterior, 2 layers of 8-bin splines",
        "diagonal learned": "learned diagonal prior",
        "diagonal mixture": "prior of 500 components",
        "diagonal vamp": "VampPrior of 500 pseudo-inputs",
        "diagonal flow": "flow prior, 4 affine layers",
        "diagonal splines": "flow prior, 2 layers of 8-bin splines",
    }
    return [
        Contender(name, label) for name, label in names.items() if flows or not {"flow", "splines"} & set(name.split())
    ]


def main() -> None:
    """Run the turns and publish the table."""
    parser = harness.parser(__doc__, turns=5)
    parser.add_argument("--steps", type=int, default=300, help="timed steps, after fifty others")
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(work(arguments.worker, arguments.options["steps"])))
        return
    rows = contenders()
    harness.interleave(MODULE, rows, arguments.turns, {"steps": arguments.steps})
    cost = {row.name: row.median(COST) for row in rows}
    base = cost["diagonal standard"]
    cells = [
        [row.label, f"{cost[row.name]:.2f}", f"{row.spread(COST):.0%}", f"{cost[row.name] / base:.2f}"] for row in rows
    ]
    met = [Target("full covariance / diagonal", cost["full standard"] / base, 1.5, at_least=False)]
    body = [
        f"CPU-milliseconds of a training step, {arguments.steps} steps after the first 50; medians of "
        f"{arguments.turns} turns, ± half the range. Everything but the named part is that of the first row.",
        "",
        *harness.table(["contender", "ms / step", "±", "× the first"], cells),
        *harness.target_table(met),
    ]
    command = harness.shown_command(MODULE)
    harness.publish("posteriors", "Posteriors and priors", command, body, harness.to_json(rows, met))


if __name__ == "__main__":
    main()
