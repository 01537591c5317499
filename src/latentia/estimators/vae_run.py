"""One training run of a variational autoencoder: its loss, its noise and the settings of the engine."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from latentia.data import fingerprint
from latentia.estimators.base import Array
from latentia.estimators.objectives import ObjectiveChoice
from latentia.estimators.parameters import parameters_as_json
from latentia.objectives import Result
from latentia.training import (
    Cosine,
    Cyclic,
    Exponential,
    Linear,
    Noise,
    OptimizerFactory,
    Player,
    RunFolder,
    Settings,
    Stages,
    TrainingResult,
    adagrad,
    adam,
    train,
)

if TYPE_CHECKING:
    from latentia.estimators.vae import VAE

__all__ = ["RunMode", "Schedule", "train_vae"]

RunMode = Literal["new", "resume", "resume-force", "overwrite"]
Schedule = Callable[[float], float]

# Arguments that the first release did not have: at their defaults they are left out, so that its runs can be resumed.
_LATER = ("optimizer", "epsilon", "prior", "variational_family", "kl_annealing")


def train_vae(
    vae: VAE, rows: Array, valid: Array | None, *, micro_batch_size: int | None, run_mode: RunMode
) -> TrainingResult:
    """Train the module of an estimator, which has everything but its weights.

    Parameters
    ----------
    vae
        Whose arguments and preprocessing decide; its history grows while it trains.
    rows, valid
        Stored rows, shape (N, *E); validation rows are binary already where the model is.
    micro_batch_size
        Rows per forward and backward pass, None for a whole batch.
    run_mode
        What to do with the run's folder, if there is one.
    """
    pre, model, dtype, device = vae.preprocessing_, vae.module_, vae._dtype, vae.device_
    choice = ObjectiveChoice.resolve(vae.objective)
    value_name, weights = choice.row.value, {"beta": _beta(vae), "capacity": _capacity(choice)}
    bound, plain = choice.bound(int(vae.num_samples), len(rows)), choice.plain_bound(int(vae.num_samples))
    fixed = {name: given for name, given in weights.items() if isinstance(given, float)}
    scheduled = {name: given for name, given in weights.items() if callable(given)}

    def terms(result: Result) -> dict[str, Tensor]:
        return {value_name: result.value, **result.terms}

    def loss(batch: Tensor, inputs: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        x = pre.batch(batch, inputs.get("binarize"), dtype)
        noise = {argument: inputs[name].transpose(0, 1) for name, argument in names.items()}
        result = bound(model, x, **noise, **fixed, **{name: inputs[name] for name in scheduled})
        return -result.maximand.mean(), terms(result)

    def validate(batch: Tensor, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return terms(plain(model, batch.to(dtype), noise=inputs["z"].transpose(0, 1)))

    draws = choice.draws(int(vae.num_samples))
    z_noise = {"z": Noise("normal", (draws, vae._noise_size))}
    names = {"z": "noise"}
    prior_noise = {}
    if choice.name == "mmd":
        prior_noise, names["prior"] = {"prior": Noise("normal", (draws, model.prior().noise_size))}, "prior_noise"
    kind = pre.noise_kind
    binarizing = {} if kind is None else {"binarize": Noise(kind, vae.event_shape_)}
    player = Player(
        "vae",
        model,
        loss,
        optimizer=_optimizer(vae),
        noise={**z_noise, **prior_noise, **binarizing},
        schedules=scheduled,
    )
    held = None if valid is None or len(valid) == 0 else valid
    settings = Settings(
        max_epochs=int(vae.max_epochs),
        batch_size=int(vae.batch_size),
        seed=vae.seed_,
        monitor=None if held is None else value_name,
        micro_batch_size=micro_batch_size,
        patience=None if vae.patience is None else int(vae.patience),
        clip_norm=vae.clip_norm,
        ema_decay=vae.ema_decay,
        learning_rate_schedule=_rate_schedule(vae),
        precision=vae.precision,
        compile=vae.compile,
        num_threads=int(vae.num_threads) if vae.num_threads else (None if vae.random_state is None else 1),
    )
    if vae.run_dir is not None:
        settings.numbers()  # refuses a schedule that cannot be compared on resume, before the folder is touched
    run = contextlib.nullcontext() if vae.run_dir is None else _run_folder(vae.run_dir, run_mode)
    seen = [rows] if held is None else [rows, held]
    with run as folder:
        return train(
            [player],
            torch.from_numpy(rows).to(device),
            module=model,
            settings=settings,
            valid=None if held is None else torch.from_numpy(held).to(device),
            validate=validate,
            valid_noise=z_noise,
            config=_config(vae),
            data_fingerprint="" if vae.run_dir is None else fingerprint(*seen),
            callbacks=(lambda event: vae.history_.append(dict(event.row)), *(vae.callbacks or ())),
            progress=vae.verbose > 0,
            run=folder,
        )


def _run_folder(path: str | Path, run_mode: RunMode) -> RunFolder:
    if run_mode == "resume-force":
        return RunFolder(path, "resume", force=True)
    return RunFolder(path, run_mode)


def _beta(vae: VAE) -> float | Schedule | None:
    """Return the weight of the divergence where it is not simply 1."""
    epochs = int(vae.kl_warmup_epochs)
    if epochs and vae.kl_annealing == "cyclic":
        return Cyclic(2 * epochs, stop=float(vae.beta))
    if epochs:
        return Linear(0.0, float(vae.beta), epochs)
    return None if vae.beta == 1.0 else float(vae.beta)


def _capacity(choice: ObjectiveChoice) -> float | Schedule | None:
    """Return the capacity of the divergence, which may grow from 0."""
    capacity, epochs = choice.values.get("capacity"), choice.values.get("capacity_epochs")
    if capacity is None:
        return None
    return Linear(0.0, float(capacity), int(epochs)) if epochs else float(capacity)


def _optimizer(vae: VAE) -> OptimizerFactory:
    make = adagrad if vae.optimizer == "adagrad" else adam
    return make(vae.learning_rate) if vae.epsilon is None else make(vae.learning_rate, eps=vae.epsilon)


def _rate_schedule(vae: VAE) -> Schedule | None:
    match vae.learning_rate_schedule:
        case "constant":
            return None
        case "cosine":
            return Cosine(int(vae.max_epochs))
        case "exponential":
            return Exponential(1.0, 0.05, int(vae.max_epochs))
        case "stages":
            return Stages()
        case other:
            return other  # type: ignore[return-value]  # the limits let only a function through


def _config(vae: VAE) -> dict[str, Any]:
    """Return the arguments that decide a run's weights, as JSON values: a resumed run must have the same."""
    free = {"max_epochs", "num_threads", "network", "num_importance_samples", "learning_rate_schedule"}
    free |= {"random_state", "likelihood"}
    values = {name: value for name, value in parameters_as_json(vae).items() if name not in free}
    defaults = inspect.signature(type(vae)).parameters
    for name in _LATER:
        if values.get(name) == defaults[name].default:
            values.pop(name, None)
    return {**values, **vae._spec(), "preprocessing": vae.preprocessing_.to_json()}
