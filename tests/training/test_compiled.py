"""The compiled step is the ordinary step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from latentia.errors import ConfigError, ResumeError
from latentia.networks import Linear
from latentia.training import Inputs, Noise, Player, RunFolder, Settings, adam, train
from tests.training.cases import Line, TinyVAE, assert_same, grey, table, train_tiny


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"micro_batch_size": None, "clip_norm": None}])
def test_it_takes_the_same_steps(changes: dict[str, Any]) -> None:
    """With the tail batch, which takes the ordinary path, in between."""
    plain, expected = train_tiny(**changes)
    compiled, result = train_tiny(compile=True, **changes)
    for one, other in zip(plain.parameters(), compiled.parameters(), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)
    assert result.epochs == expected.epochs
    for row, other_row in zip(expected.history, result.history, strict=True):
        for kind, name in [("train", "reconstruction"), ("train", "kl"), ("valid", "elbo")]:
            assert row[kind][name] == pytest.approx(other_row[kind][name], rel=1e-10)


@pytest.mark.slow
def test_it_resumes_exactly(tmp_path: Path) -> None:
    whole = train_tiny(compile=True)
    with RunFolder(tmp_path) as run:
        train_tiny(run=run, compile=True, checkpoint_steps=5, callbacks=[lambda event: event.epoch == 2])
    newest = tmp_path / "checkpoints" / "step-000000026"
    newest.rename(tmp_path / "later")  # so that it goes on from step 25, in the middle of an epoch
    with RunFolder(tmp_path, "resume") as run:
        model, result = train_tiny(run=run, compile=True)
    assert_same(model, result, whole)
    with RunFolder(tmp_path, "resume") as run, pytest.raises(ResumeError, match=r"settings\.compile: true → false"):
        train_tiny(run=run)


@pytest.mark.slow
def test_layers_of_our_own_can_be_compiled() -> None:
    """In single precision, where ``linear`` may choose an operator that the compiler cannot lower."""
    weights = []
    for compiled in (False, True):
        torch.manual_seed(0)
        module = nn.Sequential(Linear(8, 8), nn.Tanh(), Linear(8, 1))

        def loss(rows: Tensor, inputs: Inputs, module: nn.Module = module) -> tuple[Tensor, Mapping[str, Tensor]]:
            error = (module(rows)[:, 0] - rows.sum(-1)).square()
            return error.mean(), {"error": error}

        settings = Settings(3, 4, 0, num_threads=1, compile=compiled)
        train([Player("layers", module, loss)], torch.rand(12, 8), module=module, settings=settings)
        weights.append(torch.cat([value.detach().flatten() for value in module.parameters()]))
    assert torch.allclose(weights[0], weights[1], rtol=0, atol=1e-5)


class Scalar(nn.Module):
    """A 0-dimensional parameter, as of a shared variance, and a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
        self.shift = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def loss(self, rows: Tensor, inputs: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return a loss that is not finite for some noise, so for some steps."""
        error = (rows * self.scale + self.shift - inputs["noise"]).square().sum(-1)
        poison = torch.where(inputs["noise"][0, 0] > 0.8, torch.nan, 1.0)
        return error.mean() * poison, {"error": error * poison}


@pytest.mark.slow
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_it_skips_bad_steps_and_moves_scalars(decay: float) -> None:
    outcomes = []
    for compiled in (False, True):
        module = Scalar()
        noise = {"noise": Noise("normal", (3,))}
        result = train(
            [Player("scalar", module, module.loss, adam(0.1, weight_decay=decay), noise)], table(40, 2), module=module,
            settings=Settings(6, 8, 0, precision="float64", num_threads=1, compile=compiled),
        )  # fmt: skip
        outcomes.append((module, result))
    (plain, expected), (fast, result) = outcomes
    assert expected.skipped_steps == result.skipped_steps > 2
    assert torch.allclose(plain.scale, fast.scale, rtol=1e-12)
    assert torch.allclose(plain.shift, fast.shift, rtol=1e-12)
    assert abs(fast.scale.item() - 2) > 0.5
    errors = [row["train"]["error"] for row in result.history]
    assert errors == pytest.approx([row["train"]["error"] for row in expected.history], rel=1e-10)


@pytest.mark.slow
def test_two_compiled_players_see_each_other_move() -> None:
    outcomes = []
    for compiled in (False, True):
        one, other = TinyVAE(0), TinyVAE(1)
        both = nn.ModuleList([one, other])

        def first(rows: Tensor, inputs: Inputs, one: TinyVAE = one) -> tuple[Tensor, Mapping[str, Tensor]]:
            return one.decoder.weight.square().sum(), {"rows": rows.double()}

        def second(
            rows: Tensor, inputs: Inputs, one: TinyVAE = one, other: TinyVAE = other
        ) -> tuple[Tensor, Mapping[str, Tensor]]:
            return (other.decoder.weight - one.decoder.weight).square().sum(), {"rows": rows.double()}

        players = [Player("first", one.decoder, first, adam(0.1)), Player("second", other.decoder, second, adam(0.2))]
        settings = Settings(3, 8, 0, precision="float64", num_threads=1, compile=compiled)
        train(players, grey(16, 0), module=both, settings=settings)
        outcomes.append([one.decoder.weight.detach(), other.decoder.weight.detach()])
    for plain, fast in zip(*outcomes, strict=True):
        assert torch.allclose(plain, fast, rtol=1e-12)


def test_it_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler and 'no-such-compiler' is not there"):
        train_tiny(compile=True)


def test_it_needs_adam() -> None:
    line = Line(1)
    player = Player("line", line, line.loss, lambda values: torch.optim.SGD(values, lr=0.1))
    with pytest.raises(ConfigError, match=r"needs plain Adam .* has SGD"):
        train([player], table(3, 1), module=line, settings=Settings(1, 2, 0, compile=True, num_threads=1))
