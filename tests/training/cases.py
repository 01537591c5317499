"""Small players with everything that a resumed run must bring back: keyed noise, binarisation, β, average, schedule."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss
from torch.nn.utils import skip_init

from latentia.training import (
    Callback,
    Cosine,
    Inputs,
    Linear,
    Noise,
    Player,
    RunFolder,
    Settings,
    TrainingResult,
    WarmUp,
    adam,
    train,
)
from latentia.training.players import OptimizerFactory, Terms

PIXELS, LATENTS = 12, 3


class TinyVAE(nn.Module):
    """Bernoulli pixels and linear maps, in float64; made without the global generator."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.encoder = skip_init(nn.Linear, PIXELS, 2 * LATENTS, dtype=torch.float64)
        self.decoder = skip_init(nn.Linear, LATENTS, PIXELS, dtype=torch.float64)
        with torch.no_grad():
            for value in self.parameters():
                value.normal_(0, 0.3, generator=generator)

    def terms(self, rows: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Binarise grey bytes with the noise at hand; return log p(x | z) (B,) and the KL (B, L)."""
        x = (inputs["bytes"] < rows).to(torch.float64)
        mean, log_variance = self.encoder(x).chunk(2, dim=-1)
        logits = self.decoder(mean + torch.exp(log_variance / 2) * inputs["epsilon"])
        kl = (mean.square() + log_variance.exp() - 1 - log_variance) / 2
        return -binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1), kl

    def loss(self, rows: Tensor, inputs: Inputs) -> tuple[Tensor, Terms]:
        """Return minus the mean of reconstruction − β KL, and the terms."""
        reconstruction, kl = self.terms(rows, inputs)
        return (inputs["beta"] * kl.sum(-1) - reconstruction).mean(), {"reconstruction": reconstruction, "kl": kl}

    def validate(self, rows: Tensor, inputs: Inputs) -> Terms:
        """Return the ELBO without β."""
        reconstruction, kl = self.terms(rows, inputs)
        return {"elbo": reconstruction - kl.sum(-1)}


def grey(rows: int, seed: int) -> Tensor:
    """Return grey images as bytes."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.rand(rows, 1, generator=generator) * torch.linspace(0, 1, PIXELS)
    return (base * 255).to(torch.uint8)


NOISE = {"bytes": Noise("bytes255", (PIXELS,)), "epsilon": Noise("normal", (LATENTS,))}

EVERYTHING = Settings(
    max_epochs=8,
    batch_size=8,
    seed=3,
    micro_batch_size=3,
    monitor="elbo",
    patience=2,
    clip_norm=1.0,
    ema_decay=0.9,
    learning_rate_schedule=WarmUp(0.5, Cosine(8)),
    precision="float64",
    num_threads=1,
    checkpoint_seconds=0,
)
"""Everything that a resume must bring back is on.

101 rows give 13 steps per epoch, the last with 5 rows. The best epoch is the fourth, patience ends the run after the
sixth, at step 78; `test_resume.py` holds this.
"""


def train_tiny(
    settings: Settings = EVERYTHING,
    run: RunFolder | None = None,
    callbacks: Sequence[Callback] = (),
    rows: Tensor | None = None,
    config: dict[str, Any] | None = None,
    learning_rate: float = 0.2,
    **changes: Any,
) -> tuple[TinyVAE, TrainingResult]:
    """Train a `TinyVAE` on 101 rows, with 37 for validation."""
    model = TinyVAE()
    player = Player("vae", model, model.loss, adam(learning_rate), NOISE, {"beta": Linear(0.1, 1, 4)})
    result = train(
        [player],
        grey(101, seed=1) if rows is None else rows,
        module=model,
        settings=replace(settings, **changes),
        valid=grey(37, seed=2),
        validate=model.validate,
        valid_noise=NOISE,
        config=config,
        callbacks=callbacks,
        run=run,
    )
    return model, result


def sha256(module: nn.Module) -> str:
    """Return the sha256 of all weights."""
    found = hashlib.sha256()
    for name, value in module.state_dict().items():
        found.update(name.encode())
        found.update(value.cpu().contiguous().view(torch.uint8).numpy().data)
    return found.hexdigest()


def without_seconds(result: TrainingResult) -> list[dict[str, Any]]:
    """Return the history without what differs from run to run."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in result.history]


class Line(nn.Module):
    """y = w·x + b, in float64, started at 0."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.map = nn.Linear(features, 1, dtype=torch.float64)
        nn.init.zeros_(self.map.weight)
        nn.init.zeros_(self.map.bias)

    def loss(self, rows: Tensor, inputs: Inputs) -> tuple[Tensor, Terms]:
        """Return the mean squared error of the last column given the others."""
        predicted = self.map(rows[:, :-1]).squeeze(-1)
        return mse_loss(predicted, rows[:, -1]), {"squared_error": (predicted - rows[:, -1]).square()}


def table(rows: int, features: int, seed: int = 0) -> Tensor:
    """Return a table whose last column is a noisy linear function of the others."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, features, generator=generator, dtype=torch.float64)
    weights = torch.arange(1, features + 1, dtype=torch.float64)
    y = x @ weights + 0.5 + 0.1 * torch.randn(rows, generator=generator, dtype=torch.float64)
    return torch.cat([x, y[:, None]], dim=1)


def train_line(
    rows: Tensor, optimizer: OptimizerFactory | None = None, valid: Tensor | None = None, **settings: Any
) -> tuple[Line, TrainingResult]:
    """Train a `Line`."""
    line = Line(rows.shape[1] - 1)
    player = Player("line", line, line.loss, optimizer or adam(0.1))
    chosen = {"max_epochs": 1, "batch_size": 100, "seed": 0, "num_threads": 1, "precision": "float64", **settings}
    return line, train([player], rows, module=line, settings=Settings(**chosen), valid=valid)


def steps_of(folder: Path) -> list[int]:
    """Return the steps of the checkpoints in a run folder."""
    return sorted(int(path.name.removeprefix("step-")) for path in (folder / "checkpoints").glob("step-*"))


def assert_same(model: nn.Module, result: TrainingResult, whole: tuple[nn.Module, TrainingResult]) -> None:
    """Fail unless weights, history and outcome are those of the run that was never stopped, bit for bit."""
    assert sha256(model) == sha256(whole[0])
    assert without_seconds(result) == without_seconds(whole[1])
    for name in ("steps", "epochs", "best_epoch", "best_value", "weights_epoch", "stopped", "skipped_steps"):
        assert getattr(result, name) == getattr(whole[1], name), name
