"""Annealed importance sampling: its cost over that of the decoder's forward and backward passes alone.

100 images, 16 chains, 10 leapfrog steps a move, a decoder 50-200-200-784 with tanh units and Bernoulli pixels. There
are fewer temperatures than the 1000 of real use; down to 300 that changes the cost of a pass little (the pilot chains'
warm-up weighs more), below it pilots take more moves.
"""

from __future__ import annotations

import json
import time
from typing import Any

import torch

from bench import harness, images
from bench.harness import Contender, Target

MODULE = "bench.ais"
COST = "cpu_microseconds_per_pass"
LATENT, HIDDEN = 50, 200
LABELS = {
    "passes": "log p(x given z) and its gradient in z, nothing else",
    "products": "the network alone: its products forward, and backward to z",
    "ais": "annealed importance sampling, all it does",
}


def model() -> Any:
    """Return the model, the same in every process."""
    from latentia.models import VariationalAutoencoder
    from latentia.networks import MLP
    from latentia.parts import BernoulliLikelihood, DiagonalGaussian, StandardNormal

    torch.manual_seed(0)
    hidden = [HIDDEN, HIDDEN]
    return VariationalAutoencoder(
        prior=StandardNormal(LATENT),
        encoder=DiagonalGaussian(MLP((images.SIDE, images.SIDE), hidden, 2 * LATENT, activation="tanh")),
        decoder=BernoulliLikelihood(MLP(LATENT, hidden, images.SIDE**2, activation="tanh"), (images.SIDE, images.SIDE)),
    ).eval()


def work(contender: str, options: dict[str, Any]) -> dict[str, float]:
    """Run one contender in this process; a pass is one chain of one image, once through the decoder and back."""
    from latentia.evaluation import RowNoise, annealed_importance_sampling

    torch.set_num_threads(1)
    vae, chains, steps = model(), options["chains"], options["steps"]
    pixels = images.binary(options["images"], seed=1)
    x = torch.from_numpy(pixels).float()
    if contender == "ais":
        settings: dict[str, Any] = {"num_chains": chains, "num_steps": steps}
        noise = RowNoise(pixels, 0, "bench").generator
        annealed_importance_sampling(vae, x[:1], noise=noise, num_temperatures=2, **settings)
        begun = time.process_time()
        found = annealed_importance_sampling(vae, x, noise=noise, num_temperatures=options["temperatures"], **settings)
        seconds = time.process_time() - begun
        passes = len(x) * chains * (options["temperatures"] - 1) * steps
        return {COST: 1e6 * seconds / passes, "acceptance": float(found.acceptance.mean()), "seconds": seconds}
    vae.requires_grad_(False)
    block = x[: max(1, 256 // chains)]  # as many rows of the decoder at once as annealing takes
    calls = max(20, options["passes"] // (len(block) * chains))
    z = torch.randn(chains, len(block), LATENT)

    def run(count: int) -> None:
        for _ in range(count):
            at = z.detach().requires_grad_()
            value = vae.decoder(at).log_prob(block) if contender == "passes" else vae.decoder.network(at)
            torch.autograd.grad(value.sum(), at)

    run(20)
    seconds = harness.cpu_seconds(lambda: run(calls))
    return {COST: 1e6 * seconds / (calls * len(block) * chains), "seconds": seconds}


def main() -> None:
    """Run the turns and publish the table."""
    parser = harness.parser(__doc__, turns=3)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--chains", type=int, default=16)
    parser.add_argument("--temperatures", type=int, default=300)
    parser.add_argument("--steps", type=int, default=10, help="leapfrog steps a move")
    parser.add_argument("--passes", type=int, default=1_000_000, help="passes per turn of those that are nothing else")
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(work(arguments.worker, arguments.options)))
        return
    rows = [Contender(name, label) for name, label in LABELS.items()]
    wanted = ("images", "chains", "temperatures", "steps", "passes")
    options = {key: getattr(arguments, key) for key in wanted}
    harness.interleave(MODULE, rows, arguments.turns, options)
    cost = {row.name: row.median(COST) for row in rows}
    met = [
        Target("annealing / the decoder's passes, cost", cost["ais"] / cost["passes"], 3.0, at_least=False),
        Target("annealing / the network's products, cost", cost["ais"] / cost["products"], 3.0, at_least=False),
    ]
    full = arguments.images * arguments.chains * 999 * arguments.steps * cost["ais"] / 6e7
    body = [
        f"{arguments.images} images, {arguments.chains} chains, {arguments.temperatures} temperatures, "
        f"{arguments.steps} leapfrog steps; a decoder {LATENT}-{HIDDEN}-{HIDDEN}-{images.SIDE**2}, one thread. A pass "
        f"is one chain of one image, through the decoder and back; with 1000 temperatures it comes to {full:.0f} "
        f"CPU-minutes. Medians of {arguments.turns} turns, ± half the range.",
        "",
        *harness.table(["what", "CPU-µs / pass", "±"], [_cells(row) for row in rows]),
        *harness.target_table(met),
    ]
    data = harness.to_json(rows, met)
    harness.publish("ais", "Annealed importance sampling", harness.shown_command(MODULE), body, data)


def _cells(row: Contender) -> list[str]:
    return [row.label, f"{row.median(COST):.1f}", f"{row.spread(COST):.0%}"]


if __name__ == "__main__":
    main()
