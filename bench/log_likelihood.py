"""log p(x) by importance sampling with K = 5000: CPU-seconds per image, against Pythae's get_nll with the same weights.

The model is fitted once by the parent, and every contender scores the same images, so the values must agree within
their Monte Carlo error (and, in bf16, about 0.03 nats).
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bench import harness, images, twin
from bench.harness import Contender, Target

MODULE = "bench.log_likelihood"
COST = "cpu_seconds_per_image"


def fit(folder: Path, epochs: int = 5) -> None:
    """Fit a model and save it for both sides: Latentia's folder, and the bare weights for Pythae."""
    import latentia as lt

    vae = lt.VAE(
        latent_dim=twin.LATENT, network="mlp", hidden=(twin.HIDDEN,), max_epochs=epochs, random_state=0, num_threads=1
    ).fit(images.binary(12_800))
    vae.save(folder / "model")
    found = [module for module in vae.module_.modules() if isinstance(module, nn.Linear)]
    first, heads, second, last = found
    weights = {}
    for name, layer in {"first": first, "second": second, "last": last}.items():
        weights[f"{name}.weight"], weights[f"{name}.bias"] = layer.weight.detach(), layer.bias.detach()
    # Latentia's second half is log σ, the peer's head is log σ².
    for name, half, factor in (("mean", slice(0, twin.LATENT), 1.0), ("log_variance", slice(twin.LATENT, None), 2.0)):
        weights[f"{name}.weight"] = heads.weight.detach()[half] * factor
        weights[f"{name}.bias"] = heads.bias.detach()[half] * factor
    np.savez(folder / "weights.npz", **{name: value.numpy() for name, value in weights.items()})  # type: ignore[arg-type]  # savez types its keywords


def work(contender: str, options: dict[str, Any]) -> dict[str, Any]:
    """Score images in this process."""
    torch.set_num_threads(1)
    folder, samples = Path(options["folder"]), options["samples"]
    if contender == "memory":
        return _memory(folder, options["memory_images"], samples)
    rows = np.load(folder / "test.npy")
    shared = min(options["images"], options["peer_images"])  # of which the values are compared
    if contender.startswith("latentia"):
        import latentia as lt

        vae = lt.load(folder / "model")
        precision = "bfloat16" if "bf16" in contender else "float32"
        vae.evaluate(rows[:1], num_samples=samples, precision=precision)
        rows = rows[: options["images"]]
        begun = time.process_time()
        value = float(vae.evaluate(rows, num_samples=samples, precision=precision).per_row[:shared].mean())
    else:
        from bench import pythae_peer

        net = twin.Autoencoder()
        with np.load(folder / "weights.npz") as weights:
            net.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights.files})
        model = pythae_peer.model(net)
        rows = rows[:shared]
        data = torch.from_numpy(rows).reshape(len(rows), -1).float()
        size = int(contender.split()[1])
        model.get_nll(data[:1], n_samples=2 * size, batch_size=size)
        begun = time.process_time()
        value = float(model.get_nll(data, n_samples=samples, batch_size=size))  # +log p(x), whatever its name says
    return {COST: (time.process_time() - begun) / len(rows), "log_prob": value, "images": len(rows)}


def _memory(folder: Path, count: int, samples: int) -> dict[str, Any]:
    import latentia as lt

    vae = lt.load(folder / "model")
    rows = images.binary(count, seed=2)
    vae.evaluate(rows[:10], num_samples=samples)
    with harness.Memory().watch() as memory:
        begun = time.process_time()
        vae.evaluate(rows, num_samples=samples)
        seconds = time.process_time() - begun
    return {"own_mb": memory.own, "resident_mb": memory.resident, COST: seconds / count, "images": count}


def main() -> None:
    """Run the turns and publish the table."""
    parser = harness.parser(__doc__, turns=5)
    parser.add_argument("--samples", type=int, default=5000, help="K")
    parser.add_argument("--images", type=int, default=50, help="images per turn")
    parser.add_argument("--peer-images", type=int, default=10, help="images per turn of Pythae")
    parser.add_argument("--memory-images", type=int, default=10_000, help="images of the memory measurement; 0: none")
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(work(arguments.worker, arguments.options)))
        return
    reason = harness.pythae_reason(arguments.pythae_python)
    rows = [Contender("latentia fp32", "Latentia, fp32"), Contender("latentia bf16", "Latentia, bf16")]
    if reason is None:
        python = arguments.pythae_python
        rows += [Contender(f"pythae {size}", f"Pythae, batch size {size}", python) for size in (100, 1000)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fit(folder)
        np.save(folder / "test.npy", images.binary(max(arguments.images, arguments.peer_images), seed=1))
        wanted = ("samples", "images", "peer_images", "memory_images")
        options = {"folder": name, **{key: getattr(arguments, key) for key in wanted}}
        harness.interleave(MODULE, rows, arguments.turns, options)
        memory = harness.run_worker(MODULE, "memory", options) if arguments.memory_images else None
    met = _targets({row.name: row.median(COST) for row in rows}, memory)
    shared = min(arguments.images, arguments.peer_images)
    body = [
        f"The same weights for all; K = {arguments.samples:,}, one thread. Medians of {arguments.turns} turns, ± half "
        f"the range; {arguments.images} images a turn for Latentia, the first {shared} of them for Pythae, over which "
        "the mean of log p(x) is shown.",
        "",
        *harness.table(
            ["contender", "CPU-ms / image", "±", "CPU-minutes / 10,000 images", "mean log p(x), nats"],
            [_cells(row) for row in rows],
        ),
    ]
    if memory is not None:
        body += [
            "",
            f"Scoring {memory['images']:,} images in one call took {1e3 * memory[COST]:.1f} CPU-ms an image; memory "
            f"grew by {memory['own_mb']:.0f} MB at most.",
        ]
    body += [*harness.target_table(met), *(["", reason] if reason else [])]
    data = harness.to_json(rows, met) | {"memory": memory}
    harness.publish("log_likelihood", "log p(x)", harness.shown_command(MODULE), body, data)


def _cells(row: Contender) -> list[str]:
    cost = row.median(COST)
    value = row.results[-1]["log_prob"]
    return [row.label, f"{1e3 * cost:.1f}", f"{row.spread(COST):.0%}", f"{cost * 10_000 / 60:.1f}", f"{value:.2f}"]


def _targets(cost: dict[str, float], memory: dict[str, Any] | None) -> list[Target]:
    found = []
    for precision, limits in (("fp32", {100: 3.4, 1000: 2.7}), ("bf16", {100: 6.0, 1000: 4.8})):
        for size, limit in limits.items():
            if f"pythae {size}" in cost:
                ratio = cost[f"pythae {size}"] / cost[f"latentia {precision}"]
                found.append(Target(f"Latentia {precision} / Pythae at batch size {size}, speed", ratio, limit))
    if memory is not None:
        what = f"memory growth over {memory['images']:,} images"
        found.append(Target(what, memory["own_mb"], 1000.0, at_least=False, unit="MB"))
    return found


if __name__ == "__main__":
    main()
