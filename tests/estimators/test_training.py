"""What a fit reports, keeps and survives: exact means, averages, early stopping, divergence, a lack of memory."""

from __future__ import annotations

import dataclasses
import functools
import os
import pickle
import signal
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils import check_random_state

import latentia as lt
from latentia.errors import ConfigError, DivergedError, Interrupted
from latentia.estimators.objectives import OBJECTIVES
from latentia.objectives import elbo
from latentia.training import EpochEnd
from tests.estimators.cases import Array, binary, levels, raised, table, vae

FROZEN = 1e-30  # a learning rate that changes no weight


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.module_.state_dict().items()}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def kl(model: Any, x: Array) -> Array:
    """KL(q ‖ N(0, 1)) of every row and dimension: it needs no noise."""
    q = model.posterior(x)
    divergence: Array = 0.5 * (q.mean**2 + q.sd**2 - 1) - np.log(q.sd)
    return divergence


def test_history_holds_exact_means_over_all_rows() -> None:
    """101 rows in batches of 25: the mean of batch means is another number."""
    x, valid = table(101, 4), table(33, 4, seed=1)
    x[100] *= 50.0  # alone in the last batch of some epoch, it would count 25 times
    model = vae(batch_size=25, learning_rate=FROZEN, precision="float64", max_epochs=3).fit(x, X_valid=valid)
    for row in model.history_:
        np.testing.assert_allclose(row["train"]["kl"], kl(model, x).mean(0), rtol=1e-9)
        np.testing.assert_allclose(row["valid"]["kl"], kl(model, valid).mean(0), rtol=1e-9)
    evaluation = model.evaluate(valid)
    assert evaluation.kl_per_dimension == pytest.approx(kl(model, valid).mean(0).tolist(), rel=1e-9)
    assert [row["epoch"] for row in model.history_] == [1, 2, 3]
    assert [row["step"] for row in model.history_] == [5, 10, 15]
    assert model.n_iter_ == 3


def test_history_is_the_bound_of_known_rows_and_noise() -> None:
    """With the posterior of a frozen model every term has a closed form for a linear decoder and a fixed variance."""
    x = table(60, 4)
    model = vae(
        network="linear",
        likelihood="gaussian_fixed",
        precision="float64",
        learning_rate=FROZEN,
        validation_fraction=0,
        num_samples=400,
    ).fit(x)
    q, decoder = model.posterior(x), model.module_.decoder.state_dict()
    weight, bias = decoder["network.layers.0.weight"].numpy(), decoder["network.layers.0.bias"].numpy()
    standardised = (x - x.mean(0)) / x.std(0)
    spread = np.square(q.sd) @ np.square(weight).sum(0)  # E‖W σ ε‖², per row
    squared = np.square(standardised - q.mean @ weight.T - bias).sum(1) + spread
    exact = float((-0.5 * squared - 2.0 * np.log(2 * np.pi)).mean())
    for row in model.history_:
        # 24,000 draws a row of history; the standard error is below 0.01 nats.
        assert row["train"]["reconstruction"] == pytest.approx(exact, abs=0.05)
        assert row["train"]["elbo"] == pytest.approx(exact - kl(model, x).sum(1).mean(), abs=0.05)


@pytest.mark.parametrize("changes", [{"beta": 0.1}, {"beta": 7.0}, {"beta": 0.0}, {"kl_warmup_epochs": 3}])
def test_beta_and_warm_up_never_leak_into_a_reported_value(changes: dict[str, Any]) -> None:
    x = table(60, 4)
    settings: dict[str, Any] = {"precision": "float64", "max_epochs": 4, "learning_rate": 1e-2}
    model = vae(**settings, **changes).fit(x)
    for row in model.history_:
        for part in (row["train"], row["valid"]):
            assert set(part) == {"elbo", "reconstruction", "kl"}
            assert part["elbo"] == pytest.approx(part["reconstruction"] - sum(part["kl"]), rel=1e-12)
    evaluation = model.evaluate(x)
    assert evaluation.elbo is not None
    assert evaluation.rate is not None
    assert evaluation.distortion is not None
    assert evaluation.elbo == pytest.approx(-evaluation.rate - evaluation.distortion, rel=1e-12)
    assert evaluation.rate == pytest.approx(kl(model, x).sum(1).mean(), rel=1e-9)
    plain = vae(**settings).fit(x)
    assert plain.history_[-1]["train"]["kl"] != model.history_[-1]["train"]["kl"]  # but it was trained differently


def test_the_selected_epoch_is_that_of_the_bound_and_not_of_the_surrogate() -> None:
    x = table(60, 4)
    model = vae(beta=50.0, max_epochs=12, learning_rate=2e-2).fit(x)
    bounds = [row["valid"]["elbo"] for row in model.history_]
    assert model.best_epoch_ == 1 + int(np.argmax(bounds))
    surrogate = [row["valid"]["reconstruction"] - 50 * sum(row["valid"]["kl"]) for row in model.history_]
    assert int(np.argmax(surrogate)) != int(np.argmax(bounds))  # else the test could not tell


def test_iwae_reports_its_bound_and_the_elbo_below_it() -> None:
    model = vae(objective="iwae", num_samples=8, max_epochs=3).fit(table(60, 4))
    for row in model.history_:
        for part in (row["train"], row["valid"]):
            assert part["iwae"] > part["elbo"]
            assert 1.0 <= part["effective_sample_size"] <= 8.0


def test_public_verbs_use_the_average_of_the_weights() -> None:
    """One step an epoch, so that every step's weights can be caught; the average is then computed by hand."""
    x, seen = table(40, 3), []
    settings: dict[str, Any] = {"precision": "float64", "batch_size": 40, "validation_fraction": 0, "max_epochs": 30}

    def catch(event: EpochEnd) -> None:
        seen.append({name: value.clone() for name, value in event.module.state_dict().items()})

    average = weights(vae(**settings, learning_rate=FROZEN).fit(x))
    plain = vae(**settings, learning_rate=1e-2, callbacks=(catch,)).fit(x)
    for step, now in enumerate(seen, 1):
        decay = min(0.8, (1 + step) / (10 + step))
        average = {name: decay * value + (1 - decay) * now[name] for name, value in average.items()}
    averaged = vae(**settings, learning_rate=1e-2, ema_decay=0.8).fit(x)
    for name, value in weights(averaged).items():
        torch.testing.assert_close(value, average[name], rtol=1e-12, atol=1e-12)
    assert (averaged.transform(x) != plain.transform(x)).any()
    plain.module_.load_state_dict(weights(averaged))
    np.testing.assert_array_equal(plain.transform(x), averaged.transform(x))


def test_early_stopping_ends_and_brings_the_best_epoch_back() -> None:
    x, valid, seen = levels((40, 16)), levels((30, 16), seed=5), []

    def catch(event: EpochEnd) -> None:
        seen.append({name: value.clone() for name, value in event.module.state_dict().items()})

    model = vae(patience=3, max_epochs=500, learning_rate=3e-2, hidden=(64,), callbacks=(catch,)).fit(x, X_valid=valid)
    bounds = [row["valid"]["elbo"] for row in model.history_]
    assert model.best_epoch_ == 1 + int(np.argmax(bounds))
    assert model.n_iter_ == model.best_epoch_ + 3 == len(seen) < 500
    assert_equal(weights(model), seen[model.best_epoch_ - 1])
    for value, last in zip(weights(model).values(), seen[-1].values(), strict=True):
        assert not torch.equal(value, last) or value.numel() == 0


def test_callbacks_see_every_epoch_and_may_stop() -> None:
    events: list[EpochEnd] = []

    def stop(event: EpochEnd) -> bool:
        events.append(event)
        return event.epoch == 2

    model = vae(max_epochs=9, callbacks=[stop, lambda event: None]).fit(table(40, 3))
    assert [event.epoch for event in events] == [1, 2]
    assert model.n_iter_ == 2
    assert [dict(event.row) for event in events] == model.history_
    assert events[0].max_epochs == 9


@pytest.mark.parametrize(
    ("schedule", "factor"),
    [
        ("constant", lambda t: 1.0),
        ("cosine", lambda t: 0.5 * (1 + np.cos(np.pi * t))),
        ("exponential", lambda t: 0.05**t),
        (lambda epoch: 1.0 / (1.0 + epoch), lambda t: 1.0 / (1.0 + 5.0 * t)),
    ],
)
def test_learning_rates_follow_the_schedule(schedule: Any, factor: Any) -> None:
    """The history holds the rate of each epoch's last step: with 4 steps an epoch, at 3/4 of it."""
    settings: dict[str, Any] = {"max_epochs": 5, "batch_size": 10, "learning_rate": 0.01, "validation_fraction": 0}
    model = vae(learning_rate_schedule=schedule, **settings).fit(table(40, 3))
    expected = [0.01 * factor((epoch + 0.75) / 5) for epoch in range(5)]
    assert [row["learning_rate"] for row in model.history_] == pytest.approx(expected)


def test_silence_by_default(capfd: pytest.CaptureFixture[str]) -> None:
    model = vae().fit(table(40, 3))
    model.score_samples(table(4, 3))
    model.sample(2)
    model.set_params(verbose=1).fit(table(40, 3))  # a bar is for terminals only
    assert capfd.readouterr() == ("", "")


def test_training_starts_at_the_independent_pixel_model() -> None:
    """A decoder's bias is at first what the baseline ends with: the odds of the smoothed frequencies."""
    x = binary((30, 16))
    settings: dict[str, Any] = {"learning_rate": FROZEN, "validation_fraction": 0, "precision": "float64"}
    bias = weights(vae(**settings).fit(x))["decoder.network.layers.2.bias"]
    baseline = lt.IndependentPixels().fit(x).module_.state_dict()["likelihood.network.values"]
    torch.testing.assert_close(bias, baseline, rtol=1e-6, atol=1e-6)
    grey = levels((30, 16))
    odds = weights(vae(binarize="dynamic", **settings).fit(grey))["decoder.network.layers.2.bias"].numpy()
    smoothed = (grey.sum(0) / 255.0 + 1.0) / 32.0
    np.testing.assert_allclose(odds, np.log(smoothed / (1 - smoothed)), rtol=1e-6)


# Seeds


def test_the_same_seed_gives_the_same_model_whatever_the_global_generators_say() -> None:
    x = levels((50, 5, 5))
    torch.manual_seed(1)
    first = vae(binarize="dynamic").fit(x)
    torch.manual_seed(2)
    torch.rand(7)
    second = vae(binarize="dynamic").fit(x)
    assert_equal(weights(first), weights(second))
    assert [row["train"] for row in first.history_] == [row["train"] for row in second.history_]
    other = vae(binarize="dynamic", random_state=1).fit(x)
    assert other.history_[0]["train"] != first.history_[0]["train"]


@pytest.mark.parametrize("make", [vae, lt.PPCA, lt.IndependentPixels])
@pytest.mark.parametrize("random_state", [None, 0])
def test_global_generators_are_not_touched(make: Any, random_state: Any, tmp_path: Path) -> None:
    x = levels((40, 5, 5), 17)
    if make is vae:
        make = functools.partial(vae, num_threads=1)  # else it measures how many are best, which takes a while
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002 - the legacy one is the point
    model = make(random_state=random_state, support="levels:17").fit(x)
    model.score_samples(x)
    model.sample(3)
    if hasattr(model, "transform"):
        model.reconstruct(x)
    model.save(tmp_path / "model")
    lt.load(tmp_path / "model").sample(2)
    numpy_after: Any = np.random.get_state()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)
    for one, other in zip(numpy_before, numpy_after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_random_states_of_every_kind() -> None:
    x = table(40, 3)
    one, other = (vae(random_state=None, num_threads=1).fit(x) for _ in range(2))
    assert one.seed_ != other.seed_
    assert (one.sample(3) != one.sample(3)).any()
    state = np.random.RandomState(3)
    first, second = (vae(random_state=state).fit(x) for _ in range(2))
    assert first.seed_ != second.seed_  # it goes on
    assert first.seed_ == int(check_random_state(3).randint(np.iinfo(np.int32).max))
    fixed = vae().fit(x)
    np.testing.assert_array_equal(fixed.sample(3), fixed.sample(3))
    assert (fixed.sample(3, random_state=1) != fixed.sample(3)).any()
    np.testing.assert_array_equal(fixed.sample(3, random_state=1), fixed.sample(3, random_state=1))
    assert "cannot be used to seed" in raised(lambda: vae(random_state="seven").fit(x), ValueError)


def test_samples_have_the_moments_of_the_model() -> None:
    """x = W z + b + σ ε for a linear decoder: mean b, covariance W Wᵀ + σ² I, in the units passed in."""
    from tests.tolerance import assert_mean

    x = table(80, 3)
    model = vae(network="linear", likelihood="gaussian_shared", max_epochs=20, learning_rate=2e-2).fit(x)
    decoder = {name: value.double().numpy() for name, value in model.module_.decoder.state_dict().items()}
    pre = model.preprocessing_
    assert pre.scale is not None
    assert pre.shift is not None
    weight = decoder["network.layers.0.weight"] * pre.scale[:, None]
    noise = np.diag(np.square(np.exp(decoder["log_scale"]) * pre.scale))
    mean = decoder["network.layers.0.bias"] * pre.scale + pre.shift
    drawn = model.sample(20_000)
    assert_mean(drawn, mean)
    centred = drawn - mean
    assert_mean(np.einsum("ni,nj->nij", centred, centred), weight @ weight.T + noise)


# 16: divergence


@pytest.mark.parametrize("learning_rate", [1e3, 1e4, 1e6, 1e37])
@pytest.mark.parametrize("likelihood", ["gaussian_network", "gaussian"])
def test_an_absurd_learning_rate_stops_with_advice_or_stays_finite(learning_rate: float, likelihood: str) -> None:
    x = table(200, 4)
    model = vae(learning_rate=learning_rate, likelihood=likelihood, max_epochs=15, batch_size=16)
    try:
        model.fit(x)
        message = ""
    except DivergedError as error:
        message = str(error)
    for words in ("Term", "epoch", "step", "rows", f"learning rate {learning_rate:.3g}", "Try", "clip_norm"):
        assert words in message or not message
    assert message or learning_rate < 1e37
    assert model.n_iter_ == len(model.history_)
    assert np.isfinite(model.transform(x)).all()
    assert message or np.isfinite(model.score_samples(x)).all()
    assert model.sample(2).shape == (2, 4)


class Doomed(torch.nn.Module):
    """Linear, until a number of calls in training; then NaN."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)
        self.calls = calls

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls -= self.training
        out: torch.Tensor = self.linear(x)
        return out if self.calls >= 0 else out * torch.nan


def test_divergence_leaves_a_model_that_can_be_used(tmp_path: Path) -> None:
    x = table(100, 4)
    model = vae(network=(Doomed(25), torch.nn.Linear(2, 4)), max_epochs=50, batch_size=10, validation_fraction=0)
    with pytest.raises(
        DivergedError, match=r"20 steps in a row .* in epoch 5, step 44, rows .* Try a learning rate of 0.0001"
    ):
        model.fit(x)
    assert len(model.history_) == model.n_iter_ == 4  # epochs that ended, the last two with skipped steps
    assert [row["skipped"] for row in model.history_] == [0, 0, 5, 10]
    fitted: Any = model.module_
    fitted.encoder.network.network.calls = 1000
    assert np.isfinite(model.score_samples(x)).all()
    model.save(tmp_path / "model")
    loaded = lt.load(tmp_path / "model", network=(Doomed(1000), torch.nn.Linear(2, 4)))
    np.testing.assert_equal(loaded.history_, model.history_)  # NaN and all, though JSON has none
    assert np.isnan(loaded.history_[3]["train"]["elbo"])


# 8: Ctrl-C without a run folder


def test_one_interrupt_ends_the_fit_and_the_model_is_usable() -> None:
    def interrupt(event: EpochEnd) -> None:
        if event.epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)

    x = table(40, 3)
    model = vae(max_epochs=100, callbacks=(interrupt,)).fit(x)
    assert isinstance(model.interrupted_, Interrupted)
    again = pickle.loads(pickle.dumps(model.set_params(callbacks=())))  # as a notebook or a pool of workers does
    assert (str(again.interrupted_), again.interrupted_.exit_code) == (str(model.interrupted_), 130)
    assert model.interrupted_.exit_code == 130
    assert model.n_iter_ == 2
    assert np.isfinite(model.score_samples(x)).all()


# 41: memory


def limited(most: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let training fail as torch does where memory ends, with more than so many rows at a time."""
    sizes: list[int] = []

    def fake(model: Any, x: torch.Tensor, **options: Any) -> Any:
        sizes.append(len(x))
        if torch.is_grad_enabled() and len(x) > most:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:128] err == 0. DefaultCPUAllocator: can't allocate memory: "
                "you tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
            )
        return elbo(model, x, **options)

    monkeypatch.setitem(OBJECTIVES, "elbo", dataclasses.replace(OBJECTIVES["elbo"], part=fake))
    return sizes


def test_where_memory_runs_out_smaller_passes_give_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    x = table(70, 4)
    settings: dict[str, Any] = {"precision": "float64", "max_epochs": 4, "ema_decay": 0.9}
    expected = vae(**settings).fit(x)
    sizes = limited(9, monkeypatch)
    with pytest.warns(UserWarning, match=r"memory ran out with .* rows at a time: starting again") as caught:
        model = vae(**settings).fit(x)
    assert len(caught) == 2  # 32 rows, 16, 8
    assert max(sizes[2:60]) <= 9
    for name, value in weights(model).items():
        torch.testing.assert_close(value, weights(expected)[name], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.score_samples(x), expected.score_samples(x), rtol=1e-9)
    for row, same in zip(model.history_, expected.history_, strict=True):
        assert row["train"]["elbo"] == pytest.approx(same["train"]["elbo"], rel=1e-9)


def test_where_memory_does_not_suffice_for_a_row_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(0, monkeypatch)
    model = vae()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        message = raised(lambda: model.fit(table(40, 3)), ConfigError)
    assert message.startswith(
        "memory ran out in training with 1 rows at a time: choose a smaller batch_size or network"
    )
    assert not hasattr(model, "module_")


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("the moon is in the wrong house")

    monkeypatch.setitem(OBJECTIVES, "elbo", dataclasses.replace(OBJECTIVES["elbo"], part=fail))
    with pytest.raises(RuntimeError, match="moon"):
        vae().fit(table(40, 3))


def test_a_run_that_fell_back_is_resumed_with_its_smaller_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = binary((60, 16))
    with monkeypatch.context() as patch:
        limited(9, patch)
        with pytest.warns(UserWarning, match="memory ran out"):
            first = vae(max_epochs=2, run_dir=tmp_path / "run").fit(x)
    assert (tmp_path / "run" / "metrics.jsonl").read_text().count("\n") == 2
    longer = vae(max_epochs=4, run_dir=tmp_path / "run", run_mode="resume").fit(x)  # memory is back, and is not used
    assert longer.n_iter_ == 4
    assert [row["train"] for row in longer.history_[:2]] == [row["train"] for row in first.history_]


def test_a_history_too_long_for_the_config_is_thinned_and_the_model_still_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = vae(max_epochs=40).fit(table(40, 3))
    monkeypatch.setattr("latentia.estimators.saving.MAX_CONFIG_BYTES", 9000)
    model.save(tmp_path / "model")
    epochs = [row["epoch"] for row in lt.load(tmp_path / "model").history_]
    assert 2 <= len(epochs) < 40
    assert (epochs[0], epochs[-1]) == (1, 40)
    assert epochs == sorted(epochs)
    assert len(model.history_) == 40
