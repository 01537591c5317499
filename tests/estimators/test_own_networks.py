"""Networks and schedules of the user's own: a resumed run and a loaded model must have the same ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import latentia as lt
from latentia.errors import ConfigError, CorruptedError, ResumeError
from latentia.storage import open_folder, write_files
from latentia.training import Cosine, WarmUp
from tests.estimators.cases import levels, raised, vae

X = levels((40, 4, 4))


def networks(activation: nn.Module | None = None) -> tuple[nn.Module, nn.Module]:
    """Return a pair whose weights have the same names and shapes whatever the activation."""
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), activation or nn.ReLU(), nn.Linear(8, 4))
    return encoder, nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 16))


def own(folder: Path | None = None, **changes: Any) -> lt.VAE:
    return vae(**{"network": networks(), "likelihood": "binomial", "run_dir": folder, "max_epochs": 1, **changes})


def test_the_same_networks_are_resumed_and_loaded(tmp_path: Path) -> None:
    own(tmp_path / "run").fit(X)
    longer = own(tmp_path / "run", run_mode="resume", max_epochs=2).fit(X)
    longer.save(tmp_path / "model")
    loaded = lt.load(tmp_path / "model", network=networks(), device="cpu")
    np.testing.assert_array_equal(loaded.score_samples(X), longer.score_samples(X))


def test_another_activation_is_refused_on_resume(tmp_path: Path) -> None:
    own(tmp_path).fit(X)
    said = raised(lambda: own(tmp_path, run_mode="resume", network=networks(nn.ELU())).fit(X), ResumeError)
    assert "config.networks.encoder" in said
    assert "(2): ReLU()" in said
    assert "(2): ELU(alpha=1.0)" in said
    assert "config.networks.decoder" not in said


def test_another_activation_is_refused_on_load(tmp_path: Path) -> None:
    own().fit(X).save(tmp_path)
    said = raised(lambda: lt.load(tmp_path, network=networks(nn.ELU())), ConfigError)
    assert "another encoder" in said
    assert "(2): ReLU()" in said
    assert "(2): ELU(alpha=1.0)" in said


@pytest.mark.parametrize("forged", [None, [], {}, {"encoder": 1, "decoder": "x"}, "Sequential()"])
def test_a_forged_description_is_refused(tmp_path: Path, forged: Any) -> None:
    own().fit(X).save(tmp_path)
    config = json.loads(open_folder(tmp_path).read("config.json", 1 << 20))
    config["spec"]["networks"] = forged
    write_files(tmp_path, {"config.json": json.dumps(config).encode()})
    assert "does not describe" in raised(lambda: lt.load(tmp_path, network=networks()), CorruptedError)


class WithFunction(nn.Module):
    """A module whose text has an address in it, another one in each process."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(16, 4)
        self.function = object()

    def extra_repr(self) -> str:
        return f"function={self.function!r}"

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.map(x.flatten(1))
        return out


def test_addresses_do_not_count(tmp_path: Path) -> None:
    own(network=(WithFunction(), networks()[1])).fit(X).save(tmp_path)
    lt.load(tmp_path, network=(WithFunction(), networks()[1]))


class Secretive(nn.Module):
    """A module whose text does not say its widths."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width, 4), 0.01))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, : len(self.weight)] @ self.weight


def test_weights_of_another_shape_are_refused_whatever_the_text(tmp_path: Path) -> None:
    own(network=(Secretive(8), networks()[1])).fit(X).save(tmp_path)
    narrow = Secretive(6), networks()[1]
    assert "weights do not fit" in raised(lambda: lt.load(tmp_path, network=narrow), CorruptedError)


def at_the_top(epoch: float) -> float:
    return 1.0 / (1.0 + epoch)


@dataclass(frozen=True)
class Frozen:
    rate: float = 0.5

    def __call__(self, epoch: float) -> float:
        return float(self.rate**epoch)


@dataclass
class Changeable:
    rate: float = 0.5

    def __call__(self, epoch: float) -> float:
        return float(self.rate**epoch)


class Plain:
    def __call__(self, epoch: float) -> float:
        return 1.0

    def method(self, epoch: float) -> float:
        return 1.0


def local() -> Any:
    def inside(epoch: float) -> float:
        return 1.0

    return inside


NAMELESS = [lambda epoch: 1.0, local(), Plain(), Plain().method, Changeable(), WarmUp(1.0, lambda epoch: 1.0)]


@pytest.mark.parametrize("schedule", NAMELESS, ids=["lambda", "local", "object", "method", "not frozen", "nested"])
def test_a_schedule_that_cannot_be_compared_needs_no_run_folder(tmp_path: Path, schedule: Any) -> None:
    said = raised(lambda: own(tmp_path / "run", learning_rate_schedule=schedule).fit(X), ConfigError)
    assert "could not be compared" in said
    assert "latentia.training (Constant, Linear, Cosine" in said
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())
    own(learning_rate_schedule=schedule).fit(X)


@pytest.mark.parametrize("schedule", [at_the_top, Frozen(), WarmUp(1.0, Cosine(3)), WarmUp(1.0, at_the_top)])
def test_a_schedule_with_a_name_or_a_text_is_resumed(tmp_path: Path, schedule: Any) -> None:
    own(tmp_path, learning_rate_schedule=schedule).fit(X)
    assert own(tmp_path, learning_rate_schedule=schedule, run_mode="resume", max_epochs=2).fit(X).n_iter_ == 2
    said = raised(lambda: own(tmp_path, learning_rate_schedule=Frozen(0.25), run_mode="resume").fit(X), ResumeError)
    assert "settings.learning_rate_schedule" in said


def test_an_overwritten_run_is_not_lost_to_a_refused_schedule(tmp_path: Path) -> None:
    own(tmp_path).fit(X)
    before: dict[str, bytes] = {p.name: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    raised(lambda: own(tmp_path, learning_rate_schedule=lambda epoch: 1.0, run_mode="overwrite").fit(X), ConfigError)
    assert {p.name: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
