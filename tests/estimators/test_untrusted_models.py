"""A saved model from a stranger: refused by an error of ours, before anything large is made, and no code is run.

The stranger writes the manifest as well: size and sha256 of every file are right, unless the test says otherwise.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import latentia as lt
from latentia.data import Info, Split, Support
from latentia.errors import CorruptedError, LatentiaError, StorageError
from tests.estimators.cases import Array, levels, raised, table, vae

FILES = ("config.json", "model.safetensors", "README.md")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save one model of every kind; tests change copies."""
    folder = tmp_path_factory.mktemp("models")
    named = table(30, 3)
    vae(latent_dim=1, hidden=(3,)).fit(named).save(folder / "vae")
    vae(latent_dim=1, network="conv", binarize="static").fit(levels((20, 4, 4))).save(folder / "conv")
    lt.PPCA(latent_dim=1).fit(named).save(folder / "ppca")
    lt.IndependentPixels().fit(levels((30, 4), 3)).save(folder / "independent")
    return folder


ROWS = {"vae": table(4, 3), "ppca": table(4, 3), "conv": levels((4, 4, 4)), "independent": levels((4, 4), 3)}


def seal(folder: Path) -> None:
    """Write a manifest that agrees with the files."""
    entries = {
        name: {"size": len(data := (folder / name).read_bytes()), "sha256": hashlib.sha256(data).hexdigest()}
        for name in FILES
        if (folder / name).exists()
    }
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "files": entries}))


def tampered(models: Path, name: str, to: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Return a copy of a model whose config.json was changed."""
    folder = to / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(models / name, folder)
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    seal(folder)
    return folder


def paths(content: Any, prefix: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value in JSON content; of long lists only the first two."""
    if prefix:
        yield prefix
    items = (
        content.items() if isinstance(content, dict) else enumerate(content[:2]) if isinstance(content, list) else ()
    )
    for name, value in items:
        yield from paths(value, (*prefix, name))


def put(content: Any, path: tuple[Any, ...], value: Any) -> None:
    for name in path[:-1]:
        content = content[name]
    content[path[-1]] = value


def check(folder: Path, x: Array) -> bool:
    """Load: it works, verbs and all, or is one of our errors; return whether it worked."""
    try:
        model, message = lt.load(folder, device="cpu"), ""
    except LatentiaError as error:
        model, message = None, str(error)
    assert message.isprintable()
    assert len(message) < 1000
    if model is None:
        return False
    try:
        model.score_samples(x)
        model.sample(1)
        model.save(folder.parent / "again")
    except ValueError:
        pass  # rows that do not fit what the config claims
    return True


WRONG: list[Any] = [
    None,
    True,
    0,
    -1,
    1,
    2,
    10**9,
    10**30,
    2.5,
    -1e300,
    "",
    "x",
    "os.system",
    "../../etc",
    [],
    [1],
    {},
    {"a": 1},
]


@pytest.mark.parametrize("name", ["vae", "conv", "ppca", "independent"])
def test_every_value_of_the_config_replaced_by_every_wrong_thing(name: str, models: Path, tmp_path: Path) -> None:
    config = json.loads((models / name / "config.json").read_text())
    places = [path for path in paths(config) if path[1:2] not in (("history_",), ("info_",)) or len(path) == 2]
    rng = np.random.default_rng(0)
    refused = 0
    for path in places:
        chosen = rng.choice(len(WRONG), size=2, replace=False)
        for i in chosen:
            folder = tampered(models, name, tmp_path, lambda content, i=i, path=path: put(content, path, WRONG[i]))  # type: ignore[misc]
            refused += not check(folder, ROWS[name])
    assert refused > 0.6 * len(places)  # most wrong values are refused; 0 and 1 are often allowed


@pytest.mark.parametrize("name", ["vae", "ppca", "independent"])
def test_every_value_of_the_config_left_out(name: str, models: Path, tmp_path: Path) -> None:
    def remove(content: Any, path: tuple[Any, ...]) -> None:
        for part in path[:-1]:
            content = content[part]
        del content[path[-1]]

    config = json.loads((models / name / "config.json").read_text())
    for path in paths(config):
        if path[0] in ("fitted", "weights") and len(path) > 2:
            continue
        folder = tampered(models, name, tmp_path, lambda content, path=path: remove(content, path))  # type: ignore[misc]
        loaded = check(folder, ROWS[name])
        assert not loaded or path[0] in ("latentia", "parameters", "fitted"), path


BOMBS: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "class path": ("vae", lambda c: c.update(estimator="subprocess.Popen")),
    "another class": ("vae", lambda c: c.update(estimator="PPCA")),
    "latent_dim of 1e9": ("vae", lambda c: c["parameters"].update(latent_dim=10**9)),
    "latent_dim of 1e5": ("vae", lambda c: c["parameters"].update(latent_dim=10**5)),
    "hidden of 1e9": ("vae", lambda c: c["parameters"].update(hidden=[10**9])),
    "wide": ("vae", lambda c: c["parameters"].update(hidden=[10**5, 10**5])),
    "a million layers": ("vae", lambda c: c["parameters"].update(hidden=[1] * 10**6)),
    "items of 1e18": ("vae", lambda c: c["preprocessing"].update(event_shape=[10**9, 10**9])),
    "items of 1e8": (
        "ppca",
        lambda c: (c["preprocessing"].update(event_shape=[10**8]), c["fitted"].update(n_features_in_=10**8)),
    ),
    "levels of 1e9": ("independent", lambda c: c["preprocessing"].update(support={"kind": "levels", "levels": 10**9})),
    "65,536 levels of 1e6 pixels": (
        "independent",
        lambda c: (
            c["preprocessing"].update(support={"kind": "levels", "levels": 65536}, event_shape=[1000, 1000]),
            c["fitted"].update(n_features_in_=10**6),
            c["spec"].update(likelihood={"name": "categorical", "options": {}}),
        ),
    ),
    "a giant convolution": (
        "conv",
        lambda c: (c["preprocessing"].update(event_shape=[16000, 16000]), c["fitted"].update(n_features_in_=16000**2)),
    ),
    "a convolution over a table": ("vae", lambda c: c["spec"].update(network="conv")),
    "threads": ("vae", lambda c: c["fitted"].update(num_threads_=10**6)),
    "a seed of a thousand digits": ("vae", lambda c: c["fitted"].update(seed_=10**1000)),
    "where to write": ("vae", lambda c: c["parameters"].update(run_dir="/")),
    "what to call": ("vae", lambda c: c["parameters"].update(callbacks=["os.system"])),
    "a device": ("vae", lambda c: c["parameters"].update(device="cuda:7")),
    "a likelihood's network": ("vae", lambda c: c["spec"]["likelihood"].update(options={"network": "x"})),
    "a floor of zero": ("vae", lambda c: c["spec"]["likelihood"].update(options={"min_scale": 0.0})),
    "a likelihood for other data": ("vae", lambda c: c["spec"].update(likelihood={"name": "bernoulli", "options": {}})),
    "a scale of zero": ("vae", lambda c: c["preprocessing"].update(scale=[0.0, 1.0, 1.0])),
    "a shift alone": ("vae", lambda c: c["preprocessing"].update(scale=None)),
    "rows of int8": ("vae", lambda c: c["preprocessing"].update(dtype="int8")),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_known_attacks(bomb: str, models: Path, tmp_path: Path) -> None:
    name, change = BOMBS[bomb]
    folder = tampered(models, name, tmp_path, change)
    before, start = peak_kilobytes(), time.process_time()
    if bomb == "threads":  # nothing wrong with a larger machine, but no thread beyond this one's
        assert lt.load(folder).num_threads_ <= (os.cpu_count() or 1)
    else:
        with pytest.raises(LatentiaError) as caught:
            lt.load(folder)
        assert "allocate" not in f"{caught.value} {caught.value.__cause__!r}"
    assert peak_kilobytes() - before < 100_000
    assert time.process_time() - start < 5.0


def peak_kilobytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


RAW = {
    "nested": b"[" * 100_000,
    "nested objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "NaN": b'{"format": NaN}',
    "infinity": b'{"format": 1e999}',
    "twice": b'{"format": 1, "format": 1}',
    "not UTF-8": b'{"format": "\xff"}',
    "empty": b"",
    "a list": b"[1]",
    "null": b"null",
    "a number of a million digits": b'{"format": ' + b"1" * 10**6 + b"}",
    "another format": b'{"format": 2, "latentia": "9.0"}',
    "format with a line break": b'{"format": "1\\n\\u001b[31m", "latentia": "\\n"}',
}


@pytest.mark.parametrize("raw", RAW)
def test_texts_that_are_no_config(raw: str, models: Path, tmp_path: Path) -> None:
    folder = tampered(models, "vae", tmp_path, lambda c: None)
    (folder / "config.json").write_bytes(RAW[raw])
    seal(folder)
    message = raised(lambda: lt.load(folder), StorageError)
    assert message.isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(data=st.data())
def test_random_json_at_random_places(
    models: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(ROWS)))
    config = json.loads((models / name / "config.json").read_text())
    chosen = data.draw(st.lists(st.sampled_from(sorted(paths(config), key=str)), min_size=1, max_size=3))
    values = [data.draw(JSON) for _ in chosen]

    def change(content: dict[str, Any]) -> None:
        for path, value in zip(chosen, values, strict=True):
            try:
                put(content, path, value)
            except (KeyError, IndexError, TypeError, AttributeError):
                continue  # an earlier change removed the place

    check(tampered(models, name, tmp_path_factory.mktemp("fuzz"), change), ROWS[name])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(content=JSON)
def test_random_json_instead_of_a_config(models: Path, tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    folder = tampered(models, "vae", tmp_path_factory.mktemp("fuzz"), lambda c: None)
    (folder / "config.json").write_text(json.dumps(content))
    seal(folder)
    with pytest.raises(LatentiaError):
        lt.load(folder)


# The files


@pytest.mark.parametrize("file", [*FILES, "manifest.json"])
def test_one_flipped_byte_is_noticed_and_the_file_is_named(file: str, models: Path, tmp_path: Path) -> None:
    for position in (0, -2):
        folder = tmp_path / str(position)
        shutil.copytree(models / "vae", folder)
        data = bytearray((folder / file).read_bytes())
        data[position] ^= 1
        (folder / file).write_bytes(bytes(data))
        if file == "README.md":  # for people; load does not read it, verify does
            lt.load(folder)
            from latentia.storage import verify_folder

            assert file in raised(lambda folder=folder: verify_folder(folder), CorruptedError)  # type: ignore[misc]
        else:
            assert file in raised(lambda folder=folder: lt.load(folder), StorageError)  # type: ignore[misc]


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "manifest.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "symlink", "hardlink", "folder", "pipe"])
def test_damaged_files(file: str, damage: str, models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models / "vae", folder)
    path, data = folder / file, (folder / file).read_bytes()
    path.unlink()
    if damage == "empty":
        path.touch()
    elif damage == "truncated":
        path.write_bytes(data[:-10])
    elif damage == "symlink":
        (tmp_path / "elsewhere").write_bytes(data)
        path.symlink_to(tmp_path / "elsewhere")
    elif damage == "hardlink":
        (tmp_path / "elsewhere").write_bytes(data)
        path.hardlink_to(tmp_path / "elsewhere")
    elif damage == "folder":
        path.mkdir()
    elif damage == "pipe":
        os.mkfifo(path)
    message = raised(lambda: lt.load(folder), StorageError)
    assert file in message
    assert message.isprintable()


def test_unlisted_files_are_never_opened(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models / "vae", folder)
    for name in ("optim.pt", "hook.py", "config.yaml", ".hidden"):
        os.mkfifo(folder / name)  # whoever opened one would wait for ever
    assert lt.load(folder).n_features_in_ == 3


class Canary:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.path}",))


@pytest.mark.parametrize("suffix", [".pt", ".pkl", ".ckpt", ".joblib", ".safetensors", ""])
@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pickle_is_refused_with_advice_and_never_run(suffix: str, how: str, tmp_path: Path) -> None:
    file, canary = tmp_path / f"model{suffix}", tmp_path / "canary"
    if how == "pickle":
        file.write_bytes(pickle.dumps(Canary(canary)))
    else:
        torch.save({"weights": Canary(canary)}, file)
    message = raised(lambda: lt.load(file), StorageError)
    assert "is a pickle" in message
    assert "convert it" in message
    assert not canary.exists()


def test_a_pickle_under_the_names_of_a_model(models: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for file in ("config.json", "model.safetensors"):
        folder = tampered(models, "vae", tmp_path, lambda c: None)
        (folder / file).write_bytes(pickle.dumps(Canary(canary)))
        seal(folder)
        with pytest.raises(StorageError):
            lt.load(folder)
    assert not canary.exists()


def test_places_that_hold_no_model(tmp_path: Path) -> None:
    assert "does not exist" in raised(lambda: lt.load(tmp_path / "nowhere"), StorageError)
    assert "no saved model" in raised(lambda: lt.load(tmp_path), StorageError)
    (tmp_path / "rows.npy").write_bytes(b"\x93NUMPY")
    assert "is a file; a saved model is a folder" in raised(lambda: lt.load(tmp_path / "rows.npy"), StorageError)


WEIGHTS: dict[str, Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]] = {
    "one missing": lambda w: dict(list(w.items())[1:]),
    "one more": lambda w: {**w, "extra": torch.zeros(3)},
    "renamed": lambda w: {f"x{name}": value for name, value in w.items()},
    "half precision": lambda w: {name: value.half() for name, value in w.items()},
    "whole numbers": lambda w: {name: value.int() for name, value in w.items()},
    "transposed": lambda w: {name: value.t().contiguous() if value.dim() == 2 else value for name, value in w.items()},
    "none": lambda w: {},
}


@pytest.mark.parametrize("case", WEIGHTS)
@pytest.mark.parametrize("config", ["as it was", "in agreement"])
def test_weights_that_do_not_fit(case: str, config: str, models: Path, tmp_path: Path) -> None:
    weights = WEIGHTS[case](safetensors.torch.load((models / "vae" / "model.safetensors").read_bytes()))
    shapes = {name: list(value.shape) for name, value in weights.items()}
    folder = tampered(models, "vae", tmp_path, lambda c: c.update(weights=shapes) if config == "in agreement" else None)
    (folder / "model.safetensors").write_bytes(safetensors.torch.save(weights))
    seal(folder)
    with pytest.raises(CorruptedError, match=r"do not fit the model|does not hold the tensors"):
        lt.load(folder)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 8,
        b"\xff" * 16,
        (2**40).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        b"PK\x03\x04" * 9,
    ],
)
def test_bytes_that_are_no_safetensors(raw: bytes, models: Path, tmp_path: Path) -> None:
    folder = tampered(models, "vae", tmp_path, lambda c: None)
    (folder / "model.safetensors").write_bytes(raw)
    seal(folder)
    with pytest.raises(CorruptedError, match="Latentia wrote"):
        lt.load(folder)


def test_loading_imports_and_runs_nothing_of_the_files(models: Path, tmp_path: Path) -> None:
    """In a child whose working directory and model folder are full of modules of the stranger's."""
    folder = tmp_path / "model"
    shutil.copytree(models / "vae", folder)
    for name in ("torch", "safetensors", "hubconf", "modeling", "sitecustomize"):
        (folder / f"{name}.py").write_text("raise SystemExit('the code of a stranger ran')")
    script = "import sys, latentia; latentia.load(sys.argv[1]); print('loaded')"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stdout) == (0, "loaded\n"), done.stderr


# 38: the model card


def test_a_model_card_cannot_be_broken_out_of(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\n# Heading\x1b[31m\u202e | cell & <b>"
    info = Info(
        evil, (3,), Support("real"), class_names=(evil,), licence=evil, split=evil, fingerprint=evil, citation=evil
    )
    model = vae().fit(Split(table(20, 3), None, info, "train"))
    model.evaluations_ = [{**model.evaluate(table(5, 3)).to_json(), "on": evil}]
    model.save(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    assert "&lt;script" in card
    for words in ("<script", "<b>", "\x1b", "\u202e", "\n# Heading"):
        assert words not in card
    assert all(character.isprintable() or character == "\n" for character in card)
    row = next(line for line in card.splitlines() if line.startswith("| &lt;script"))
    assert row.count("|") == 13  # twelve cells
    loaded = lt.load(tmp_path / "model")
    assert loaded.info_["name"] == evil  # the data keep their own words


def test_numbers_of_a_card_from_a_stranger_do_not_break_it(models: Path, tmp_path: Path) -> None:
    rows = [{"on": 3, "n": "<b>", "num_samples": [], "log_prob": None, "standard_error": "x", "kind": "<i>"}, {}]
    folder = tampered(models, "vae", tmp_path, lambda c: c["fitted"].update(evaluations_=rows))
    lt.load(folder).save(tmp_path / "again")
    card = (tmp_path / "again" / "README.md").read_text()
    assert "<b>" not in card
    assert "<i>" not in card
