"""Training: images per CPU-second, one thread, 784-400-20 with a Bernoulli likelihood, batches of 128.

Every contender trains on the same array in a process of its own. Timed are the epochs after the first; what comes
before (setting up, compiling) is the column "first epoch". The roofline is the time of a step's matrix products alone.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import harness, images, twin
from bench.harness import Contender, Target

MODULE = "bench.train"
SPEED = "images_per_cpu_second"


class Clock:
    """CPU-seconds at the end of every epoch."""

    def __init__(self) -> None:
        self.begun = time.process_time()
        self.ends: list[float] = []
        self.loss = float("nan")

    def __call__(self, loss: float) -> None:
        """End an epoch."""
        self.loss = loss
        self.ends.append(time.process_time())

    def result(self, n: int) -> dict[str, float]:
        """Return speed after the first epoch, the first epoch's seconds, and the bound at the end."""
        epochs = len(self.ends) - 1
        return {
            SPEED: epochs * n / (self.ends[-1] - self.ends[0]),
            "first_epoch_cpu_seconds": self.ends[0] - self.begun,
            "elbo": -self.loss,
        }


def _latentia(rows: np.ndarray[Any, Any], epochs: int, clock: Clock, **arguments: Any) -> None:
    import latentia as lt

    def ended(event: Any) -> None:
        clock(-event.row["train"]["elbo"])

    lt.VAE(
        latent_dim=twin.LATENT,
        network="mlp",
        hidden=(twin.HIDDEN,),
        batch_size=twin.BATCH,
        max_epochs=epochs,
        validation_fraction=0.0,
        random_state=0,
        num_threads=1,
        callbacks=[ended],
        **arguments,
    ).fit(rows)


def _roofline(dtype: torch.dtype) -> dict[str, float]:
    """Time the products in both of torch's kernels and keep the faster."""
    times = {"F.linear": twin.matmul_seconds(torch.nn.functional.linear, dtype)}
    if dtype == torch.float32:
        from latentia.networks.linear import linear

        times["latentia.networks.linear"] = twin.matmul_seconds(linear, dtype)
    best = min(times.values())
    return {SPEED: twin.BATCH / best, **{f"images_per_cpu_second, {name}": twin.BATCH / t for name, t in times.items()}}


def work(contender: str, options: dict[str, Any]) -> dict[str, float]:
    """Run one contender in this process."""
    torch.set_num_threads(1)
    if contender.startswith("roofline"):
        return _roofline(torch.bfloat16 if "bf16" in contender else torch.float32)
    torch.manual_seed(0)
    kind, *flags = contender.split()
    rows = np.load(options["grey" if "dynamic" in flags else "binary"])
    flat = torch.from_numpy(rows).reshape(len(rows), -1)
    epochs = options["epochs"] + 1
    clock = Clock()
    bfloat16, dynamic = "bf16" in flags, "dynamic" in flags
    if kind == "latentia":
        arguments = {"binarize": "dynamic"} if dynamic else {}
        precision = "bfloat16" if bfloat16 else "float32"
        _latentia(rows, epochs, clock, precision=precision, compile="compiled" in flags, **arguments)
    elif kind == "twin":
        linear: type[torch.nn.Linear] = torch.nn.Linear
        if "onednn" in flags:
            from latentia.networks.linear import Linear as linear  # noqa: N813 - it stands for either class
        twin.train_twin(flat, epochs, clock, bfloat16=bfloat16, dynamic=dynamic, linear=linear)
    elif kind == "classic":
        twin.train_classic(flat, epochs, clock)
    else:
        from bench import pythae_peer

        pythae_peer.train(flat, epochs, clock)
    return clock.result(len(rows) // twin.BATCH * twin.BATCH if kind == "twin" else len(rows))


def contenders(pythae_python: str | None) -> list[Contender]:
    """Return the rows of the table, in the order of the turns."""
    rows = [
        Contender("latentia fp32", "Latentia, fp32"),
        Contender("twin fp32", "hand-tuned twin, fp32"),
        Contender("twin fp32 onednn", "hand-tuned twin, fp32, with Latentia's linear layer"),
        Contender("classic", "classic loop over a TensorDataset loader, fp32"),
        Contender("latentia bf16", "Latentia, bf16"),
        Contender("twin bf16", "hand-tuned twin, bf16"),
        Contender("latentia bf16 compiled", "Latentia, bf16, compiled"),
        Contender("latentia fp32 dynamic", "Latentia, fp32, dynamic binarisation"),
        Contender("twin fp32 dynamic", "hand-tuned twin, fp32, dynamic binarisation"),
        Contender("roofline fp32", "matrix products alone, fp32"),
        Contender("roofline bf16", "matrix products alone, bf16"),
    ]
    if pythae_python is not None:
        rows.insert(4, Contender("pythae", "Pythae, fp32", pythae_python))
    return rows


def targets(speed: dict[str, float]) -> list[Target]:
    """Return the ratios that issue and design ask for."""
    wanted = [
        ("latentia fp32", "twin fp32", 0.95),
        ("latentia bf16", "twin bf16", 0.95),
        ("latentia fp32", "pythae", 1.43),
        ("latentia bf16", "pythae", 2.0),
        ("latentia bf16 compiled", "pythae", 2.35),
        ("latentia fp32", "classic", 1.25),
        ("latentia bf16", "classic", 1.75),
        ("latentia bf16 compiled", "classic", 2.05),
    ]
    names = {"pythae": "Pythae", "classic": "classic loop"}
    return [
        Target(f"{a.replace('latentia', 'Latentia')} / {names.get(b, b)}", speed[a] / speed[b], limit)
        for a, b, limit in wanted
        if a in speed and b in speed
    ]


def main() -> None:
    """Run the turns and publish the table."""
    parser = harness.parser(__doc__, turns=5)
    parser.add_argument("--images", type=int, default=25_600)
    parser.add_argument("--epochs", type=int, default=3, help="timed epochs, after the first")
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(work(arguments.worker, arguments.options)))
        return
    reason = harness.pythae_reason(arguments.pythae_python)
    rows = contenders(None if reason else arguments.pythae_python)
    with tempfile.TemporaryDirectory() as folder:
        paths = {"binary": str(Path(folder) / "binary.npy"), "grey": str(Path(folder) / "grey.npy")}
        np.save(paths["binary"], images.binary(arguments.images))
        np.save(paths["grey"], images.grey(arguments.images))
        harness.interleave(MODULE, rows, arguments.turns, {**paths, "epochs": arguments.epochs})
    speed = {row.name: row.median(SPEED) for row in rows}
    met = targets(speed)
    body = [
        f"784-400-20, Bernoulli, batches of {twin.BATCH}, one thread, {arguments.images:,} drawn binary images as "
        f"uint8, the same array for all. Images per CPU-second over {arguments.epochs} epochs after the first; medians "
        f"of {arguments.turns} turns, ± half the range. The share is that of the matrix products alone in the same "
        "precision, in the faster of torch's two kernels (MKL and oneDNN). The bound is that of the last epoch (of the "
        "last batch for the twin).",
        "",
        *harness.table(
            ["contender", "images / CPU-s", "±", "share of the roofline", "first epoch, CPU-s", "bound, nats"],
            [_cells(row, speed) for row in rows],
        ),
        *harness.target_table(met),
        *(["", reason] if reason else []),
    ]
    command = harness.shown_command(MODULE)
    harness.publish("train", "Training", command, body, harness.to_json(rows, met))


def _cells(row: Contender, speed: dict[str, float]) -> list[str]:
    roofline = speed["roofline bf16" if "bf16" in row.name else "roofline fp32"]
    cells = [row.label, f"{speed[row.name]:,.0f}", f"{row.spread(SPEED):.0%}", f"{speed[row.name] / roofline:.2f}"]
    if row.name.startswith("roofline"):
        return [*cells, "–", "–"]
    return [*cells, f"{row.median('first_epoch_cpu_seconds'):.1f}", f"{row.median('elbo'):.1f}"]


if __name__ == "__main__":
    main()
