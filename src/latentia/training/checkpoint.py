"""The state of a run as a folder: safetensors and JSON, no pickle.

::

    checkpoints/step-000001200/
        model.safetensors     weights as the optimiser moves them
        ema.safetensors       their moving average, where there is one
        best.safetensors      weights of the best epoch so far, where one is chosen
        optim.safetensors     optimiser state, by player, parameter and name
        terms.safetensors     sums of terms of the epoch that is under way
        history.jsonl         the rows of all epochs that are done
        state.json            position, counters, what the run was made from, with which versions
        manifest.json         size and sha256 of each
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from latentia.errors import CorruptedError, ResumeError
from latentia.storage import VerifiedFolder, open_folder, parse_json, show, write_folder
from latentia.training.position import check_numbers

__all__ = ["FORMAT", "State", "difference", "digest", "lines", "read_numbers", "read_state", "write_state"]

FORMAT = 1
_LARGEST_TEXT = 1 << 28
_SLACK = 1 << 24


@dataclass
class State:
    """Everything that the next step depends on.

    Parameters
    ----------
    numbers
        The content of ``state.json``.
    history
        The rows of the epochs that are done.
    tensors
        By file (``"model"``, ``"optim"``, …), then by name.
    """

    numbers: dict[str, Any]
    history: list[dict[str, Any]] = field(default_factory=list)
    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict)


def write_state(folder: Path, state: State) -> None:
    """Write a state as a new folder, which appears whole or not at all; an intact folder of that name is replaced."""
    files: dict[str, bytes] = {
        f"{name}.safetensors": save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
        for name, tensors in state.tensors.items()
    }
    files["history.jsonl"] = lines(state.history)
    files["state.json"] = (json.dumps({"format": FORMAT, **state.numbers}, indent=1, allow_nan=False) + "\n").encode()
    write_folder(folder, files, replace=True)


def read_state(folder: Path, weight_bytes: int) -> State:
    """Read a state; every file is checked against the manifest first.

    Parameters
    ----------
    folder
        Of the checkpoint.
    weight_bytes
        Size of the module's weights; files much larger than they can be are not read into memory.
    """
    opened = open_folder(folder)
    numbers = read_numbers(opened)
    rows = opened.read("history.jsonl", _LARGEST_TEXT).splitlines()
    history = [_numbers(_object(parse_json(row, "history.jsonl"), folder), folder) for row in rows]
    tensors = {}
    for name in opened.manifest.files:
        if name.endswith(".safetensors"):
            content = opened.read(name, 8 * weight_bytes + _SLACK)
            try:
                tensors[name.removesuffix(".safetensors")] = load(content)
            except (SafetensorError, LookupError, ValueError) as error:
                raise CorruptedError(f"{show(folder / name)} is no safetensors file: {show(error)}") from error
    return State(numbers, history, tensors)


def read_numbers(opened: VerifiedFolder) -> dict[str, Any]:
    """Read ``state.json`` of a checkpoint and check every value that is used.

    Raises
    ------
    CorruptedError
        If it is not what `write_state` writes.
    ResumeError
        If another version wrote it.
    """
    folder = opened.path
    numbers = _object(parse_json(opened.read("state.json", _LARGEST_TEXT), "state.json"), folder)
    if numbers.get("format") != FORMAT:
        raise ResumeError(
            f"Checkpoint {show(folder)} has format {show(numbers.get('format'))}, this version reads {FORMAT}; "
            "resume with the version of latentia that wrote it."
        )
    check_numbers(numbers, show(folder))
    return numbers


def lines(history: Sequence[Mapping[str, Any]]) -> bytes:
    """Return rows as JSON lines; a number that is not finite becomes null."""
    return b"".join(json.dumps(_nulls(row), allow_nan=False).encode() + b"\n" for row in history)


def digest(content: Mapping[str, Any]) -> str:
    """Return the sha256 of JSON content, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def difference(before: Any, now: Any, path: str = "") -> list[str]:
    """Return one line for each place where two JSON values differ: ``config.latent_dim: 20 → 10``."""
    if isinstance(before, dict) and isinstance(now, dict):
        found = []
        for name in sorted(before.keys() | now.keys()):
            inner = f"{path}.{name}" if path else name
            if name not in before:
                found.append(f"{inner}: (absent) → {_short(now[name])}")
            elif name not in now:
                found.append(f"{inner}: {_short(before[name])} → (absent)")
            else:
                found += difference(before[name], now[name], inner)
        return found
    if before == now:
        return []
    if isinstance(before, str) and isinstance(now, str) and "\n" in before + now:  # a network's description
        return [f"{path}:\n    {_indented(before)}\n  →\n    {_indented(now)}"]
    return [f"{path}: {_short(before)} → {_short(now)}"]


def _indented(text: str) -> str:
    return "\n    ".join(map(show, text.splitlines()))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _object(value: Any, folder: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CorruptedError(f"A checkpoint in {show(folder)} is damaged: an object was expected; use an earlier one.")
    return value


def _nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _nulls(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_nulls(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _numbers(row: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Undo `_nulls` in the terms of a row."""
    for kind in ("train", "valid"):
        for name, value in _object(row.get(kind, {}), folder).items():
            if isinstance(value, list):
                row[kind][name] = [math.nan if one is None else one for one in value]
            elif value is None:
                row[kind][name] = math.nan
    return row


def flatten_optimizer(
    optimizer: torch.optim.Optimizer, names: Mapping[int, str], prefix: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return an optimiser's state per parameter: tensors and other values, under ``prefix/parameter/name``.

    Parameters
    ----------
    optimizer
        Whose state; its options are not part of it.
    names
        Parameter names by ``id``.
    prefix
        The player.
    """
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            key = f"{prefix}/{names[id(parameter)]}/{name}"
            if isinstance(value, Tensor):
                tensors[key] = value
            else:
                values[key] = value
    return tensors, values


def load_optimizer(
    optimizer: torch.optim.Optimizer,
    names: Mapping[int, str],
    prefix: str,
    tensors: Mapping[str, Tensor],
    values: Mapping[str, Any],
) -> None:
    """Give an optimiser the state that `flatten_optimizer` returned."""
    optimizer.state.clear()
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            start = f"{prefix}/{names[id(parameter)]}/"
            state = {key.removeprefix(start): value for key, value in values.items() if key.startswith(start)}
            for key, value in tensors.items():
                if key.startswith(start):
                    name = key.removeprefix(start)
                    state[name] = _placed(value, parameter, name, bool(group.get("fused") or group.get("capturable")))
            if state:
                optimizer.state[parameter] = state


def _placed(value: Tensor, parameter: Tensor, name: str, on_device: bool) -> Tensor:
    """Return a state tensor where and how the optimiser made it: like its parameter, or a step counter."""
    if value.shape not in (parameter.shape, torch.Size([])):
        raise CorruptedError(
            f"optim.safetensors is not one that Latentia wrote: {show(name)} has shape {tuple(value.shape)}, and its "
            f"parameter {tuple(parameter.shape)}"
        )
    if value.shape == parameter.shape and name != "step":
        return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
    return value.to(parameter.device) if name != "step" or on_device else value.clone()
