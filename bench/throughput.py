"""Encoding and sampling a million rows: rows per CPU-second, and memory beyond the output.

Rows to encode come from a memory-mapped .npy file of uint8, as they would for data that do not fit into memory; its
mapped pages belong to the system, which takes them back when it wants, and are shown apart.
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

MODULE = "bench.throughput"
SPEED = "rows_per_cpu_second"
LABELS = {
    "encode": "encode: transform, from a memory-mapped file",
    "decode": "decode: inverse_transform",
    "sample": "sample, into uint8",
}
DISTINCT = 20_000


def write_rows(path: Path, n: int) -> None:
    """Write n images, the same ones over and over, without holding them in memory."""
    block = images.binary(min(n, DISTINCT))
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(n, *block.shape[1:]))
    for start in range(0, n, len(block)):
        out[start : start + len(block)] = block[: n - start]
    out.flush()


def work(contender: str, options: dict[str, Any]) -> dict[str, float]:
    """Push the rows through one verb in this process."""
    import latentia as lt

    torch.set_num_threads(1)
    n = options["rows"]
    vae = lt.load(options["model"])
    rows = np.load(options["file"], mmap_mode="r")
    z = np.random.default_rng(0).standard_normal((n, twin.LATENT), dtype=np.float32) if contender == "decode" else None

    def call(count: int) -> np.ndarray[Any, Any]:
        if contender == "encode":
            out = vae.transform(rows[:count])
        elif z is not None:
            out = vae.inverse_transform(z[:count])
        else:
            out = vae.sample(count)
        result: np.ndarray[Any, Any] = out
        return result

    call(1000)
    with harness.Memory().watch() as memory:
        begun = time.process_time()
        out = call(n)
        seconds = time.process_time() - begun
    size = out.nbytes / 2**20
    return {
        SPEED: n / seconds,
        "output_mb": size,
        "own_mb": max(0.0, memory.own - size),
        "mapped_mb": memory.resident - memory.own,
    }


def main() -> None:
    """Run the turns and publish the table."""
    parser = harness.parser(__doc__, turns=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(work(arguments.worker, arguments.options)))
        return
    import latentia as lt

    rows = [Contender(name, label) for name, label in LABELS.items()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vae = lt.VAE(latent_dim=twin.LATENT, network="mlp", hidden=(twin.HIDDEN,), max_epochs=2, random_state=0)
        vae.fit(images.binary(5000)).save(folder / "model")
        write_rows(folder / "rows.npy", arguments.rows)
        options = {"model": str(folder / "model"), "file": str(folder / "rows.npy"), "rows": arguments.rows}
        harness.interleave(MODULE, rows, arguments.turns, options)
    met = [
        Target(f"memory beyond the output, {row.name}", row.median("own_mb"), 300.0, at_least=False, unit="MB")
        for row in rows
    ]
    body = [
        f"{arguments.rows:,} rows of 784 pixels, 784-400-20, one thread; medians of {arguments.turns} turns, ± half "
        "the range. Memory is the largest growth during the call, without the output.",
        "",
        *harness.table(
            ["verb", "rows / CPU-s", "±", "output, MB", "memory beyond it, MB", "mapped file pages, MB"],
            [_cells(row) for row in rows],
        ),
        *harness.target_table(met),
    ]
    data = harness.to_json(rows, met)
    harness.publish("throughput", "Encoding and sampling", harness.shown_command(MODULE), body, data)


def _cells(row: Contender) -> list[str]:
    sizes = [f"{row.median(key):,.0f}" for key in ("output_mb", "own_mb", "mapped_mb")]
    return [row.label, f"{row.median(SPEED):,.0f}", f"{row.spread(SPEED):.0%}", *sizes]


if __name__ == "__main__":
    main()
