"""The loop against answers known by other means."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from latentia.errors import ConfigError, DataError
from latentia.training import Cosine, EpochEnd, Inputs, Linear, Noise, Player, Settings, adam, permutation, train
from tests.training.cases import Line, TinyVAE, grey, sha256, table, train_line, train_tiny, without_seconds


def sgd(learning_rate: float, momentum: float = 0.0) -> Any:
    return lambda values: torch.optim.SGD(values, lr=learning_rate, momentum=momentum)


def test_linear_regression_reaches_the_least_squares_solution() -> None:
    rows = table(200, 3)
    line, _ = train_line(rows, adam(0.3), max_epochs=60, batch_size=50, learning_rate_schedule=Cosine(60))
    full, _ = train_line(rows, sgd(0.3), max_epochs=400, batch_size=200)
    design = torch.cat([rows[:, :-1], torch.ones(200, 1, dtype=torch.float64)], dim=1)
    exact = torch.linalg.lstsq(design, rows[:, -1:]).solution.flatten()
    assert torch.allclose(torch.cat([full.map.weight.flatten(), full.map.bias]), exact, atol=1e-10)
    assert torch.allclose(torch.cat([line.map.weight.flatten(), line.map.bias]), exact, atol=0.02)


def test_the_mean_of_a_term_is_over_rows_and_not_over_batches() -> None:
    """101 rows in batches of 100: the mean of batch means would give the last row the weight of a hundred."""
    rows = torch.cat([torch.zeros(101, 1), torch.arange(101.0)[:, None]], dim=1).double()
    _, result = train_line(rows, sgd(1e-300))
    assert result.history[0]["train"]["squared_error"] == pytest.approx(
        (torch.arange(101.0) ** 2).mean().item(), rel=1e-12
    )
    assert (result.steps, result.history[0]["step"], result.history[0]["epoch"]) == (2, 2, 1)


@pytest.mark.parametrize("size", [1, 3, 32, 33, 64, 200])
def test_means_do_not_depend_on_the_batch_size(size: int) -> None:
    rows = table(101, 2)
    _, result = train_line(rows, sgd(1e-300), batch_size=size)
    assert result.history[0]["train"]["squared_error"] == pytest.approx(rows[:, -1].square().mean().item(), rel=1e-12)


def test_vector_terms_are_averaged_per_component() -> None:
    model = TinyVAE()
    x, noise = grey(41, 1), {"bytes": Noise("bytes255", (12,)), "epsilon": Noise("normal", (3,))}

    def loss(rows: Tensor, inputs: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        kept = rows.double()[:, :2]
        return 0.0 * model.decoder.weight.sum(), {"kept": kept, "first": kept[:, 0]}

    result = train([Player("p", model, loss, noise=noise)], x, module=model, settings=Settings(2, 7, 0, num_threads=1))
    assert result.history[1]["train"]["kept"] == pytest.approx(x.double()[:, :2].mean(0).tolist(), rel=1e-12)
    assert result.history[1]["train"]["first"] == pytest.approx(x.double()[:, 0].mean().item(), rel=1e-12)


def test_every_row_is_used_once_per_epoch_also_in_a_tail_batch_of_one() -> None:
    seen: list[list[int]] = []
    line = Line(1)

    def loss(rows: Tensor, inputs: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        seen.append(rows[:, 1].int().tolist())
        return line.loss(rows, inputs)

    rows = torch.stack([torch.zeros(9), torch.arange(9.0)], dim=1).double()
    train([Player("line", line, loss)], rows, module=line, settings=Settings(2, 4, seed=5, num_threads=1))
    assert [len(batch) for batch in seen] == [4, 4, 1] * 2
    assert [*chain(*seen[:3])] == permutation(9, 5, 0, "cpu").tolist()
    assert [*chain(*seen[3:])] == permutation(9, 5, 1, "cpu").tolist()


def test_one_row_trains_and_no_row_is_refused() -> None:
    _, result = train_line(table(1, 1), max_epochs=3)
    assert result.steps == 3
    with pytest.raises(DataError, match="0 training rows"):
        train_line(table(0, 1))
    with pytest.raises(DataError, match="0 validation rows"):
        train_line(table(3, 1), valid=table(0, 1))


@pytest.mark.parametrize("micro", [1, 7, 8, 50])
def test_accumulation_equals_the_big_batch(micro: int) -> None:
    big, whole = train_tiny(max_epochs=3, micro_batch_size=None)
    parts, sliced = train_tiny(max_epochs=3, micro_batch_size=micro)
    for one, other in zip(big.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)
    for row, other_row in zip(whole.history, sliced.history, strict=True):
        assert row["train"]["reconstruction"] == pytest.approx(other_row["train"]["reconstruction"], rel=1e-12)
        assert row["train"]["kl"] == pytest.approx(other_row["train"]["kl"], rel=1e-12)


def test_runs_repeat_and_leave_no_trace_in_global_state() -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    first, result = train_tiny(num_threads=2, max_epochs=2)
    torch.manual_seed(1)
    second, again = train_tiny(num_threads=2, max_epochs=2)
    assert sha256(first) == sha256(second)
    assert without_seconds(result) == without_seconds(again)
    other, _ = train_tiny(seed=4, max_epochs=2)
    assert sha256(other) != sha256(first)
    torch.set_rng_state(before)
    train_tiny(max_epochs=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert first.training
    assert all(value.grad is None for value in first.parameters())


def test_the_moving_average_follows_its_formula() -> None:
    """Recompute w̄ from the weights after every step of a run without average."""
    rows, steps, decay = table(40, 2), 12, 0.8
    trail = []
    for count in range(1, steps + 1):
        line, _ = train_line(rows, batch_size=40, max_epochs=count)
        trail.append(line.map.weight.detach().clone())
    average = torch.zeros_like(trail[0])
    for step, weight in enumerate(trail, start=1):
        d = min(decay, (1 + step) / (10 + step))
        average = d * average + (1 - d) * weight
    line, _ = train_line(rows, batch_size=40, max_epochs=steps, ema_decay=decay)
    assert torch.allclose(line.map.weight, average, rtol=1e-12)
    assert not torch.allclose(line.map.weight, trail[-1], rtol=1e-3)


def test_validation_and_callbacks_see_the_average() -> None:
    rows = table(40, 2)
    seen = []
    _, result = train_line(rows, batch_size=40, max_epochs=1, ema_decay=0.8, valid=rows)
    averaged, _ = train_line(rows, batch_size=40, max_epochs=1, ema_decay=0.8)

    def look(event: EpochEnd) -> None:
        assert isinstance(event.module, Line)
        seen.append((event.module.map.weight.detach().clone(), event.module.training))

    line = Line(2)
    train(
        [Player("line", line, line.loss, adam(0.1))], rows, module=line, callbacks=[look],
        settings=Settings(1, 40, 0, ema_decay=0.8, num_threads=1),
    )  # fmt: skip
    expected = averaged.loss(rows, {})[0].item()
    assert result.history[0]["valid"]["squared_error"] == pytest.approx(expected, rel=1e-12)
    assert torch.equal(seen[0][0], averaged.map.weight)
    assert seen[0][1] is False


def test_the_learning_rate_follows_the_schedule_within_epochs() -> None:
    """Plain gradient descent with gradient 1: the parameter ends at minus the sum of all rates."""
    slope = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(slope.weight)

    def loss(rows: Tensor, inputs: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        return slope.weight.sum(), {"row": rows.double()}

    player = Player("slope", slope, loss, sgd(0.5))
    settings = Settings(2, 2, 0, learning_rate_schedule=Linear(1, 0, 2), num_threads=1)
    result = train([player], torch.zeros(8), module=slope, settings=settings)
    rates = [0.5 * (1 - epoch / 2) for epoch in (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75)]
    assert slope.weight.item() == pytest.approx(-sum(rates), rel=1e-12)
    assert [row["learning_rate"] for row in result.history] == pytest.approx([rates[3], rates[7]])


@pytest.mark.parametrize(("clip", "moved"), [(1.0, 1.0), (10.0, 5.0)])
def test_clipping_limits_the_norm_of_the_whole_gradient(clip: float, moved: float) -> None:
    pair = nn.ParameterDict({"a": torch.zeros(1, dtype=torch.float64), "b": torch.zeros(1, dtype=torch.float64)})

    def loss(rows: Tensor, inputs: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        return (3 * pair["a"] + 4 * pair["b"]).sum(), {}

    train(
        [Player("pair", pair, loss, sgd(1.0))], torch.zeros(1), module=pair,
        settings=Settings(1, 1, 0, clip_norm=clip, num_threads=1),
    )  # fmt: skip
    assert -pair["a"].item() == pytest.approx(moved * 3 / 5, rel=1e-5)
    assert -pair["b"].item() == pytest.approx(moved * 4 / 5, rel=1e-5)


def test_scheduled_scalars_reach_the_loss_and_not_the_terms() -> None:
    betas: list[float] = []
    model = TinyVAE()

    def loss(rows: Tensor, inputs: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        assert inputs["beta"].shape == ()
        betas.append(inputs["beta"].item())
        return model.loss(rows, inputs)

    noise = {"bytes": Noise("bytes255", (12,)), "epsilon": Noise("normal", (3,))}
    player = Player("vae", model, loss, noise=noise, schedules={"beta": Linear(0, 1, 2)})
    train([player], grey(8, 0), module=model, settings=Settings(3, 4, 0, num_threads=1, precision="float64"))
    assert betas == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1])


def test_two_players_alternate_and_keep_to_their_own_parameters() -> None:
    """The second loss runs through the first one's parameter, which must not move by it."""
    both = nn.ParameterDict({"a": torch.zeros(1, dtype=torch.float64), "b": torch.zeros(1, dtype=torch.float64)})
    first, second = nn.ParameterList([both["a"]]), nn.ParameterList([both["b"]])
    calls: list[str] = []

    def first_loss(rows: Tensor, inputs: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        calls.append("first")
        return both["a"].sum(), {"rows": rows.double()}

    def second_loss(rows: Tensor, inputs: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        calls.append("second")
        return 2 * both["b"].sum() + 100 * both["a"].sum(), {"rows": rows.double()}

    players = [Player("first", first, first_loss, sgd(1.0)), Player("second", second, second_loss, sgd(1.0), every=3)]
    result = train(players, torch.arange(14.0), module=both, settings=Settings(1, 2, 0, num_threads=1))
    assert calls == ["first", "second", "first", "first", "first", "second", "first", "first", "first", "second"]
    assert (both["a"].item(), both["b"].item()) == (-7.0, -6.0)
    assert set(result.history[0]["train"]) == {"first/rows", "second/rows"}
    assert result.history[0]["train"]["first/rows"] == 6.5
    order = permutation(14, 0, 0, "cpu").view(7, 2)[::3].flatten()  # the second saw batches 0, 3 and 6
    assert result.history[0]["train"]["second/rows"] == pytest.approx(order.double().mean().item())
    assert result.history[0]["learning_rate"] == {"first": 1.0, "second": 1.0}


def test_bfloat16_computes_the_loss_under_autocast_and_keeps_parameters_in_float32() -> None:
    line = nn.Linear(4, 1)
    dtypes = []

    def loss(rows: Tensor, inputs: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        out = line(rows)
        dtypes.append(out.dtype)
        error = out.float().square().flatten()
        return error.mean(), {"error": error}

    train([Player("line", line, loss)], torch.ones(4, 4), module=line,
          settings=Settings(1, 4, 0, precision="bfloat16", num_threads=1))  # fmt: skip
    assert dtypes == [torch.bfloat16]
    assert line.weight.dtype == torch.float32


@pytest.mark.parametrize(("precision", "dtype"), [("float64", torch.float32), ("bfloat16", torch.float64)])
def test_precision_and_parameters_must_fit(precision: str, dtype: torch.dtype) -> None:
    line = Line(1).to(dtype)
    with pytest.raises(ConfigError, match=f"precision is '{precision}', which needs .* has {dtype}"):
        train([Player("a", line, line.loss)], table(3, 1), module=line, settings=Settings(1, 2, 0, precision=precision))


def test_silence(capfd: pytest.CaptureFixture[str]) -> None:
    train_tiny(max_epochs=2)
    line = Line(1)
    train([Player("line", line, line.loss)], table(3, 1), module=line, progress=True,
          settings=Settings(2, 2, 0, num_threads=1))  # fmt: skip
    assert capfd.readouterr() == ("", "")  # standard error is no terminal here, so progress=True shows nothing either


def test_a_callback_ends_training_by_returning_true() -> None:
    events: list[EpochEnd] = []

    def stop(event: EpochEnd) -> bool:
        events.append(event)
        return event.epoch == 2

    model, result = train_tiny(callbacks=[stop])
    assert (result.stopped, result.epochs, result.steps, result.interrupted) == ("callback", 2, 26, None)
    assert [(event.epoch, event.step, event.max_epochs) for event in events] == [(1, 13, 8), (2, 26, 8)]
    assert events[1].row["train"].keys() == {"reconstruction", "kl"}
    assert events[1].module is model


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_epochs": 0}, "max_epochs must be a whole number of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number of at least 1, got 2.5"),
        ({"patience": True}, "patience must be a whole number of at least 1 or None, got True"),
        ({"clip_norm": 0.0}, "clip_norm must be a finite number above 0 or None, got 0.0"),
        ({"ema_decay": 1.0}, "ema_decay must lie between 0 and 1"),
        ({"precision": "half"}, "precision is 'half'; choose 'float32', 'bfloat16' or 'float64'"),
        ({"monitor": "kl"}, r"monitor is 'kl', which is no scalar validation term; choose one of \['elbo'\]"),
        ({"monitor": None}, "patience=2 needs monitor"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train_tiny(**changes)


def test_impossible_players_are_refused() -> None:
    line, rows, settings = Line(1), table(3, 1), Settings(1, 2, 0, num_threads=1)
    frozen = Line(1).requires_grad_(False)
    other = torch.optim.Adam(Line(1).parameters())
    for players, module, message in [
        ([], line, "no players"),
        ([Player("a", line, line.loss), Player("a", line, line.loss)], line, "different names"),
        ([Player("a", Line(1), line.loss)], line, "not in the whole module"),
        ([Player("a", frozen, frozen.loss)], frozen, "nothing to train"),
        ([Player("a", line, line.loss, other)], line, "build it over the module's parameters"),
        ([Player("a", line, lambda rows, inputs: (rows.sum(), {}))], line, "does not depend on its parameters"),
        ([Player("a", line, lambda rows, inputs: (line.map(rows[:, :1]), {}))], line, "not that of a mean"),
        ([Player("a", line, lambda r, i: (line.map.bias.sum(), {"t": r.sum()}))], line, "first axis must be 2"),
    ]:
        with pytest.raises(ConfigError, match=message):
            train(players, rows, module=module, settings=settings)
    with pytest.raises(ConfigError, match="contain '/'"):
        Player("a/b", line, line.loss)
    with pytest.raises(ConfigError, match="every must be at least 1"):
        Player("a", line, line.loss, every=0)
    with pytest.raises(ConfigError, match="both noise and schedules"):
        Player("a", line, line.loss, noise={"n": Noise("normal", ())}, schedules={"n": Linear(0, 1, 2)})


def test_patience_without_validation_is_refused() -> None:
    with pytest.raises(ConfigError, match="patience=2 needs validation rows"):
        train_line(table(3, 1), patience=2, monitor="squared_error")
