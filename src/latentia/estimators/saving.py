"""A fitted estimator as a folder, and back: safetensors and JSON under a manifest; nothing in it is ever executed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

import latentia
from latentia.errors import ConfigError, CorruptedError, DataError, StorageError
from latentia.estimators import registry
from latentia.estimators.devices import resolve_device
from latentia.estimators.likelihoods import LIKELIHOODS, LikelihoodChoice
from latentia.estimators.limits import check_parameters
from latentia.estimators.networks import NETWORKS
from latentia.estimators.preprocessing import Preprocessing
from latentia.storage import open_folder, parse_json, refuse_pickle, write_files

if TYPE_CHECKING:
    from latentia.estimators.base import GenerativeEstimator

__all__ = ["load", "save"]

FORMAT = 1
MAX_CONFIG_BYTES = 64 << 20
MAX_WEIGHT_BYTES = 16 << 30
MAX_EVENT = 1 << 28
# Arguments that say how a model was fitted here, not what it is.
_LOCAL = ("run_dir", "run_mode", "callbacks", "verbose", "device")


def save(estimator: GenerativeEstimator, path: str | Path) -> None:
    """Write a fitted estimator to a folder; what stood there under the same names is replaced, all or nothing."""
    weights = {k: v.detach().cpu().contiguous() for k, v in estimator.module_.state_dict().items()}
    config = {
        "format": FORMAT,
        "latentia": latentia.__version__,
        "estimator": type(estimator).__name__,
        "parameters": _parameters(estimator),
        "spec": estimator._spec(),
        "preprocessing": estimator.preprocessing_.to_json(),
        "fitted": _fitted(estimator),
        "weights": {name: list(tensor.shape) for name, tensor in weights.items()},
    }
    write_files(
        path,
        {
            "config.json": json.dumps(config, indent=1, allow_nan=False).encode(),
            "model.safetensors": safetensors.torch.save(weights),
            "README.md": model_card(estimator).encode(),
        },
    )


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
    opened = open_folder(folder)
    config = parse_json(opened.read("config.json", MAX_CONFIG_BYTES), "config.json")
    try:
        estimator = _restore(config, opened.read("model.safetensors", MAX_WEIGHT_BYTES), device, network)
    except (KeyError, TypeError, AttributeError, OverflowError, DataError) as error:
        raise CorruptedError(f"config.json of {folder.name} is not one that Latentia wrote: {error}") from error
    return estimator


def _restore(config: Any, payload: bytes, device: str, network: tuple[nn.Module, nn.Module] | None) -> Any:
    if config["format"] != FORMAT:
        raise StorageError(
            f"the model has format {config['format']!r}, and this version of Latentia ({latentia.__version__}) reads "
            f"format {FORMAT}: load it with the version that wrote it ({config['latentia']!r})"
        )
    classes = {cls.__name__: cls for cls in map(registry.get, registry.names())}
    cls = classes.get(config["estimator"])
    if cls is None:
        raise CorruptedError(f"the model is a {config['estimator']!r}; known are {', '.join(sorted(classes))}")
    parameters = dict(config["parameters"])
    if isinstance(parameters.get("likelihood"), dict):
        parameters["likelihood"] = _likelihood(parameters["likelihood"])
    if isinstance(parameters.get("hidden"), list):
        parameters["hidden"] = tuple(parameters["hidden"])
    if config["spec"].get("network") == "own":
        if network is None:
            raise ConfigError(
                f"the model was fitted with networks of its own, {parameters['network']!r}: pass them again, "
                "latentia.load(path, network=(encoder, decoder))"
            )
        parameters["network"] = network
    elif network is not None:
        raise ConfigError("the model was fitted with networks of Latentia: leave network out")
    estimator = cls(**parameters)
    check_parameters(cls.__name__, parameters | estimator.get_params(False), cls._limits)
    pre = Preprocessing.from_json(config["preprocessing"])
    if not pre.event_shape or not all(n > 0 for n in pre.event_shape) or math.prod(pre.event_shape) > MAX_EVENT:
        raise CorruptedError(f"config.json gives items the shape {pre.event_shape}, which is out of bounds")
    estimator.preprocessing_, estimator.support_, estimator.event_shape_ = pre, pre.support, pre.event_shape
    _set_fitted(estimator, config["fitted"])
    spec = config["spec"]
    if "likelihood" in spec:
        estimator.likelihood_ = _likelihood(spec["likelihood"])
    if "network" in spec:
        if spec["network"] not in (*NETWORKS, "own"):
            raise CorruptedError(f"config.json names the network {spec['network']!r}, which is unknown")
        estimator.network_name_ = spec["network"]
    estimator.module_ = _module(estimator, spec, config["weights"], payload)
    estimator.device_ = resolve_device(device) if "device" in estimator.get_params(False) else torch.device("cpu")
    estimator.module_.to(estimator.device_).eval()
    return estimator


def _module(estimator: Any, spec: Mapping[str, Any], shapes: Mapping[str, Any], payload: bytes) -> nn.Module:
    """Build the module, whose tensors must have just the shapes of the file, and fill it."""
    weights = safetensors.torch.load(payload)
    found = {name: list(tensor.shape) for name, tensor in weights.items()}
    if found != dict(shapes):
        raise CorruptedError("model.safetensors does not hold the tensors that config.json lists")
    own = spec.get("network") == "own"
    # On "meta" a shape costs no memory, however large config.json claims it to be.
    with torch.device("cpu" if own else "meta"):
        expected = estimator._build(spec)
    wanted = {name: list(tensor.shape) for name, tensor in expected.state_dict().items()}
    if wanted != found:
        different = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
        name = different[0]
        raise CorruptedError(
            f"the weights do not fit the model: {name} should have the shape {wanted.get(name)}, but has "
            f"{found.get(name)}"
        )
    module: nn.Module = expected if own else estimator._build(spec)
    module.load_state_dict(weights)
    return module


def _likelihood(content: Mapping[str, Any]) -> LikelihoodChoice:
    if content["name"] not in LIKELIHOODS:
        raise CorruptedError(f"config.json names the likelihood {content['name']!r}, which is unknown")
    return LikelihoodChoice(content["name"], tuple(sorted(content["options"].items())))


def _parameters(estimator: GenerativeEstimator) -> dict[str, Any]:
    """Return the constructor's arguments as JSON values; what only makes sense here is left out."""
    values: dict[str, Any] = {}
    for name, value in estimator.get_params(deep=False).items():
        if name in _LOCAL:
            continue
        if isinstance(value, LikelihoodChoice):
            value = {"name": value.name, "options": dict(value.options)}
        elif name == "network" and not isinstance(value, str):
            value = [type(module).__name__ for module in value]
        elif name == "random_state" and not (value is None or isinstance(value, (int, np.integer))):
            value = estimator.seed_
        elif name == "learning_rate_schedule" and not isinstance(value, str):
            value = "constant"  # a function is no data, and a fitted model needs it no more
        elif isinstance(value, (tuple, list)):
            value = [int(v) for v in value]
        elif isinstance(value, np.generic):
            value = value.item()
        values[name] = value
    return values


_FITTED = (
    "seed_",
    "num_threads_",
    "n_features_in_",
    "info_",
    "history_",
    "likelihood_name_",
    "n_iter_",
    "best_epoch_",
    "skipped_steps_",
    "noise_variance_",
    "evaluations_",
)


def _fitted(estimator: Any) -> dict[str, Any]:
    values = {name: getattr(estimator, name) for name in _FITTED if hasattr(estimator, name)}
    if hasattr(estimator, "feature_names_in_"):
        values["feature_names_in_"] = [str(name) for name in estimator.feature_names_in_]
    return values


def _set_fitted(estimator: Any, values: Mapping[str, Any]) -> None:
    for name in _FITTED:
        if name in values:
            setattr(estimator, name, values[name])
    if "feature_names_in_" in values:
        estimator.feature_names_in_ = np.array(values["feature_names_in_"], dtype=object)
    estimator.seed_, estimator.num_threads_ = int(estimator.seed_), max(1, min(4096, int(estimator.num_threads_)))


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
    lines += [f"- {name}: {_plain(value)}" for name, value in _parameters(estimator).items()]
    lines += [f"- seed: {estimator.seed_}", f"- torch {torch.__version__}, numpy {np.__version__}"]
    evaluations = getattr(estimator, "evaluations_", [])
    if evaluations:
        lines += [
            "",
            "## Reported numbers",
            "",
            "| on | n | K | log p(x), nats | what it is |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {_plain(e.get('on'))} | {e['n']} | {e['num_samples'] or '-'} | {e['log_prob']:.2f} ± "
            f"{e['standard_error'] or math.nan:.2f} | {e['kind']} |"
            for e in evaluations
        ]
    lines += ["", "## Use", "", "```python", "import latentia as lt", 'model = lt.load("this folder")', "```", ""]
    return "\n".join(lines)


def _plain(value: Any) -> str:
    """Return text that can neither open a tag nor a new line in a page or a terminal."""
    text = "".join(c if c.isprintable() else " " for c in str(value))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;")
