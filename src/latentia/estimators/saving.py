"""A fitted estimator as a folder, and back: safetensors and JSON under a manifest; nothing in it is ever executed."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

import latentia
from latentia.data import Support
from latentia.errors import ConfigError, CorruptedError, StorageError
from latentia.estimators import registry
from latentia.estimators.devices import resolve_device
from latentia.estimators.latent_parts import FamilyChoice, PriorChoice
from latentia.estimators.likelihoods import LIKELIHOODS, LikelihoodChoice, resolve
from latentia.estimators.limits import check_parameters
from latentia.estimators.networks import NETWORKS, building, check_same_networks
from latentia.estimators.objectives import ObjectiveChoice
from latentia.estimators.parameters import LOCAL, parameters_as_json, plain, unplain
from latentia.estimators.preprocessing import Preprocessing
from latentia.estimators.sampling import seed_of
from latentia.storage import (
    check_replaceable,
    holds_model,
    holds_training,
    open_folder,
    parse_json,
    refuse_pickle,
    show,
    write_files,
)

if TYPE_CHECKING:
    from latentia.estimators.base import GenerativeEstimator

__all__ = ["load", "save"]

FORMAT = 1
MAX_CONFIG_BYTES = 64 << 20
MAX_WEIGHT_BYTES = 16 << 30
MAX_EVENT = 1 << 28


def save(estimator: GenerativeEstimator, path: str | Path) -> None:
    """Write a fitted estimator to a folder; a model that was saved there is replaced, all or nothing.

    Raises
    ------
    StorageError
        If the folder cannot be written, or holds files with the names of a saved model that belong to none.
    """
    check_replaceable(path)
    weights = {k: v.detach().cpu().contiguous() for k, v in estimator.module_.state_dict().items()}
    fitted = _fitted(estimator)
    content = {
        "format": FORMAT,
        "latentia": latentia.__version__,
        "estimator": type(estimator).__name__,
        "parameters": parameters_as_json(estimator),
        "spec": plain(estimator._spec()),
        "preprocessing": estimator.preprocessing_.to_json(),
        "fitted": fitted,
        "weights": {name: list(tensor.shape) for name, tensor in weights.items()},
    }
    config = json.dumps(content, indent=1, allow_nan=False).encode()
    while len(config) > MAX_CONFIG_BYTES and len(fitted["history_"]) > 2:
        # What cannot be loaded must not be written: of a history that long, every other epoch says as much.
        fitted["history_"] = [*fitted["history_"][:-1:2], fitted["history_"][-1]]
        config = json.dumps(content, indent=1, allow_nan=False).encode()
    files = {
        "config.json": config,
        "model.safetensors": safetensors.torch.save(weights),
        "README.md": model_card(estimator).encode(),
    }
    write_files(path, files)


def load(path: str | Path, *, device: str = "auto", network: tuple[nn.Module, nn.Module] | None = None) -> Any:
    """Load a model that ``save`` wrote; listed files only, verified, and nothing is executed.

    Parameters
    ----------
    path
        The folder.
    device
        "auto" (a GPU if there is one), "cpu" or "cuda".
    network
        The pair of modules, where the model was fitted with networks of one's own.

    Returns
    -------
    estimator
        Fitted, with bit-equal scores on the same device and number of threads.

    Raises
    ------
    StorageError
        If the folder is missing, damaged, of another format, or a pickle.
    ConfigError
        If the model needs its own networks and none were given.
    """
    folder = Path(path)
    if folder.is_file():
        refuse_pickle(folder)
        raise StorageError(f"{folder.name} is a file; a saved model is a folder with config.json and model.safetensors")
    if holds_training(folder) and not holds_model(folder):
        raise StorageError(
            f"{show(folder)} is a run that has not ended, so no model is saved in it yet: go on with run_mode='resume' "
            "(latentia fit … --resume) and fit again"
        )
    opened = open_folder(folder)
    config = parse_json(opened.read("config.json", MAX_CONFIG_BYTES), "config.json")
    if not isinstance(config, dict):
        raise CorruptedError(f"config.json of {show(folder.name)} is not one that Latentia wrote: it is no object")
    if config.get("format") != FORMAT:
        raise StorageError(
            f"the model has format {show(config.get('format'))}, and this version of Latentia ({latentia.__version__}) "
            f"reads format {FORMAT}: load it with the version that wrote it ({show(config.get('latentia'))})"
        )
    own = isinstance(config.get("spec"), dict) and config["spec"].get("network") == "own"
    if own and network is None:
        raise ConfigError(
            "the model has networks of its own: pass them, latentia.load(path, network=(encoder, decoder))"
        )
    if network is not None and not own:
        raise ConfigError("the model was fitted with networks of Latentia: leave network out")
    if own:
        check_same_networks(config["spec"].get("networks"), network)
    place = resolve_device(device)
    try:
        estimator = _restore(config, opened.read("model.safetensors", MAX_WEIGHT_BYTES), network)
    except StorageError:
        raise
    except (
        LookupError,
        TypeError,
        AttributeError,
        ValueError,
        ArithmeticError,
        RuntimeError,
        SafetensorError,
    ) as error:
        if own and isinstance(error, ConfigError):
            raise
        raise CorruptedError(
            f"config.json or model.safetensors of {show(folder.name)} is not one that Latentia wrote: {show(error)}"
        ) from error
    estimator.device_ = place if "device" in estimator.get_params(False) else torch.device("cpu")
    estimator.module_.to(estimator.device_).eval()
    return estimator


def _restore(config: Mapping[str, Any], payload: bytes, network: tuple[nn.Module, nn.Module] | None) -> Any:
    classes = {cls.__name__: cls for cls in map(registry.get, registry.names())}
    cls = classes.get(config["estimator"])
    if cls is None:
        raise CorruptedError(
            f"the model is a {show(repr(config['estimator']))}; known are {', '.join(sorted(classes))}"
        )
    spec, parameters = dict(config["spec"]), dict(config["parameters"])
    if local := sorted(set(parameters) & set(LOCAL)):
        raise CorruptedError(f"config.json sets {', '.join(local)}, which a saved model never does")
    for kind in (LikelihoodChoice, PriorChoice, FamilyChoice, ObjectiveChoice):
        if isinstance(parameters.get(kind.what), dict):
            parameters[kind.what] = kind.from_json(parameters[kind.what])
    if isinstance(parameters.get("hidden"), list):
        parameters["hidden"] = tuple(parameters["hidden"])
    if network is not None:
        parameters["network"] = network
    elif "network" in parameters and parameters["network"] not in NETWORKS:
        raise CorruptedError(f"config.json names the network {show(repr(parameters['network']))}, which is unknown")
    estimator = cls(**parameters)
    check_parameters(cls.__name__, estimator.get_params(False), cls._limits)
    if parameters.get("support") is not None:
        Support.parse(parameters["support"])
    seed_of(parameters.get("random_state"))
    pre = Preprocessing.from_json(config["preprocessing"])
    if math.prod(pre.event_shape) > MAX_EVENT:
        raise CorruptedError(f"config.json gives items the shape {pre.event_shape}, which is out of bounds")
    estimator.preprocessing_, estimator.support_, estimator.event_shape_ = pre, pre.support, pre.event_shape
    _set_fitted(estimator, config["fitted"])
    if "likelihood" in spec:
        estimator.likelihood_ = resolve(LikelihoodChoice.from_json(spec["likelihood"]), pre.model_support, "these data")
    if "network" in spec:
        if spec["network"] not in (*NETWORKS[1:], "own"):
            raise CorruptedError(f"config.json names the network {show(repr(spec['network']))}, which is unknown")
        estimator.network_name_ = spec["network"]
    estimator.module_ = _module(estimator, spec, config["weights"], payload)
    return estimator


def _module(estimator: Any, spec: Mapping[str, Any], shapes: Mapping[str, Any], payload: bytes) -> nn.Module:
    """Build the module, whose tensors must have just the shapes and types of the file, and fill it."""
    weights = safetensors.torch.load(payload)
    found = {name: list(tensor.shape) for name, tensor in weights.items()}
    if found != shapes:
        raise CorruptedError("model.safetensors does not hold the tensors that config.json lists")
    # On "meta" a shape costs no memory, however large config.json claims it to be.
    own = spec.get("network") == "own"
    flows = [spec[part] for part in ("prior", "variational_family") if spec.get(part, {}).get("name") == "flow"]
    numbers = sum(tensor.numel() for tensor in weights.values())
    for flow in flows:  # zuko's masks cannot be made there; each of its layers has at least so many weights
        options = {"transforms": 1, "width": 1, **flow["options"]}
        if options["transforms"] * options["width"] * max(options["width"], estimator._latents // 2) > numbers:
            raise CorruptedError("config.json describes a larger flow than model.safetensors holds")
    with building(), torch.device("cpu" if own or flows else "meta"):
        module: nn.Module = estimator._build(spec)
    wanted = module.state_dict()
    for name in sorted({*wanted, *found}):
        want, have = (_kind(tensors.get(name)) for tensors in (wanted, weights))
        if want != have:
            raise CorruptedError(f"the weights do not fit the model: {name} should be {want}, but is {have}")
    if not own:
        with building():
            module = estimator._build(spec)
    module.load_state_dict(weights)
    return module


def _kind(tensor: torch.Tensor | None) -> str:
    return "absent" if tensor is None else f"{tensor.dtype} of shape {tuple(tensor.shape)}"


_FITTED: Mapping[str, tuple[type, ...]] = {
    "seed_": (int,),
    "num_threads_": (int,),
    "n_features_in_": (int,),
    "info_": (dict,),
    "history_": (list,),
    "likelihood_name_": (str,),
    "n_iter_": (int,),
    "best_epoch_": (int, NoneType),
    "skipped_steps_": (int,),
    "noise_variance_": (float,),
    "evaluations_": (list,),
    "feature_names_in_": (list,),
}
_REQUIRED = ("seed_", "num_threads_", "n_features_in_", "info_", "history_", "likelihood_name_")


def _fitted(estimator: Any) -> dict[str, Any]:
    return {name: plain(getattr(estimator, name)) for name in _FITTED if hasattr(estimator, name)}


def _set_fitted(estimator: Any, values: Mapping[str, Any]) -> None:
    for name, types in _FITTED.items():
        if name in values or name in _REQUIRED:
            if type(values[name]) not in types:
                raise CorruptedError(f"config.json says {name} = {show(repr(values[name]))}, which is of another type")
            setattr(estimator, name, values[name])
    width, names = math.prod(estimator.event_shape_), values.get("feature_names_in_")
    if estimator.n_features_in_ != width or not 0 <= estimator.seed_ < 2**31:
        raise CorruptedError(f"config.json says {estimator.n_features_in_} features and seed {estimator.seed_}")
    if names is not None:
        if len(names) != width or not all(isinstance(name, str) for name in names):
            raise CorruptedError("config.json has feature names that are not one text for each feature")
        estimator.feature_names_in_ = np.array(names, dtype=object)
    if estimator.likelihood_name_ not in LIKELIHOODS:
        raise CorruptedError(f"config.json names the likelihood {show(estimator.likelihood_name_)}, which is unknown")
    for name in ("history_", "evaluations_"):
        if not all(isinstance(row, dict) for row in getattr(estimator, name, ())):
            raise CorruptedError(f"config.json has a {name} that is no list of objects")
    for row in estimator.history_:
        row.update({part: unplain(row[part]) for part in ("train", "valid") if part in row})
    estimator.num_threads_ = max(1, min(estimator.num_threads_, os.cpu_count() or 1))


def model_card(estimator: Any) -> str:
    """Return the model card: what the model is, what it was fitted to, and every number reported for it."""
    info, pre = estimator.info_, estimator.preprocessing_
    lines = [
        f"# {type(estimator).__name__}",
        "",
        f"A {type(estimator).__name__} of Latentia {latentia.__version__}: {estimator.likelihood_name_} likelihood, "
        f"{estimator.num_parameters_:,} parameters.",
        "",
        "## Data",
        "",
        f"- name: {_plain(info.get('name'))}",
        f"- items of shape {tuple(pre.event_shape)}, support {pre.support}, binarize {pre.binarize}",
        f"- {info.get('n_train')} training rows",
    ]
    lines += [f"- {key}: {_plain(info[key])}" for key in ("licence", "split", "fingerprint") if info.get(key)]
    lines += ["", "## How it was fitted", ""]
    lines += [f"- {name}: {_plain(value)}" for name, value in parameters_as_json(estimator).items()]
    lines += [f"- seed: {estimator.seed_}", f"- torch {torch.__version__}, numpy {np.__version__}"]
    evaluations = getattr(estimator, "evaluations_", [])
    if evaluations:
        lines += [
            "",
            "## Reported numbers",
            "",
            "± is the standard error of the mean over the n rows.",
            "",
            f"| {' | '.join(_NUMBERS)} |",
            f"|{' --- |' * len(_NUMBERS)}",
            *(f"| {' | '.join(cell(e) for cell in _NUMBERS.values())} |" for e in evaluations),
        ]
    lines += ["", "## Use", "", "```python", "import latentia as lt", 'model = lt.load("this folder")', "```", ""]
    return "\n".join(lines)


def _decimal(value: Any, digits: int = 2) -> str:
    return f"{value:.{digits}f}" if isinstance(value, int | float) else "-"


def _with_error(evaluation: Mapping[str, Any], value: str, error: str) -> str:
    shown, spread = _decimal(evaluation.get(value)), _decimal(evaluation.get(error))
    return shown if "-" in (shown, spread) else f"{shown} ± {spread}"


def _active(evaluation: Mapping[str, Any]) -> str:
    per_dimension = evaluation.get("kl_per_dimension")  # older evaluations do not say how many there are
    count = evaluation.get("latent_dim", len(per_dimension) if isinstance(per_dimension, list) else None)
    of = f" of {count}" if isinstance(count, int) else ""
    return _plain(evaluation.get("active_units")) + of


_NUMBERS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "on": lambda e: _plain(e.get("on")),
    "n": lambda e: _plain(e.get("n")),
    "log p(x), nats": lambda e: _with_error(e, "log_prob", "standard_error"),
    "what it is": lambda e: _plain(e.get("kind")),
    "K": lambda e: _plain(e.get("num_samples")),
    "bits/dim": lambda e: _decimal(e.get("bits_per_dim"), 3),
    "ELBO, nats": lambda e: _with_error(e, "elbo", "elbo_standard_error"),
    "rate, nats": lambda e: _decimal(e.get("rate")),
    "distortion, nats": lambda e: _decimal(e.get("distortion")),
    "active units": _active,
    "effective sample size": lambda e: _decimal(e.get("effective_sample_size"), 1),
    "precision": lambda e: _plain(e.get("precision")),
}
"""The columns of the model card's table."""


def _plain(value: Any) -> str:
    """Return text that can neither open a tag nor a new line in a page or a terminal."""
    text = "-" if value is None else "".join(c if c.isprintable() else " " for c in str(value))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;")
