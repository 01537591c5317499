"""Settings from signatures and docstrings, and values by type."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Optional

import pytest

from latentia.cli.exits import UsageError
from latentia.cli.kinds import Kinds, kinds_of, matches, parse
from latentia.cli.settings import assign, read_config, settings_of
from tests.cli import dummy_estimator
from tests.cli.commands import register_dummies, run
from tests.cli.dummy_estimator import Dummy


@pytest.fixture(autouse=True)
def _dummies(monkeypatch: pytest.MonkeyPatch) -> None:
    register_dummies(monkeypatch)


def kinds(annotation: object, default: object = None) -> Kinds:
    return kinds_of(annotation, default, vars(dummy_estimator))


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        ("int", "20", 20),
        ("int", "1_000", 1000),
        (int, "-3", -3),
        ("float", "1e-3", 1e-3),
        ("float", "2", 2.0),
        ("bool", "true", True),
        ("bool", "No", False),
        ("bool", "1", True),
        ("bool | int", "1", 1),
        ("str", "mlp", "mlp"),
        ("str", "none", "none"),
        ("str | None", "none", None),
        (Optional[str], "None", None),  # noqa: UP045 - the older spelling must work too
        ("str | None", "static", "static"),
        ("str", "", ""),
        ("str", "a=b,c", "a=b,c"),
        ("int | float", "3", 3),
        ("int | float", "3.5", 3.5),
        ("float | str", "auto", "auto"),
        ("float | str", "0.5", 0.5),
        ("tuple[int, ...]", "64,32", (64, 32)),
        ("tuple[int, ...]", "64", (64,)),
        ("tuple[int, ...]", "(64, 32)", (64, 32)),
        ("tuple[float, float]", "0.9,0.999", (0.9, 0.999)),
        ("list[int]", "[64,32]", [64, 32]),
        (Sequence[float] | None, "1,2", [1.0, 2.0]),
        ("Literal['a', 'b']", "b", "b"),
        (Literal["a", 2], "2", 2),
        ("Width", "64", 64),
        ("Width", "64,32", (64, 32)),
        ("str | Network", "mlp", "mlp"),
        ("Annotated[str, 'any text']", "7", "7"),
    ],
)
def test_text_becomes_the_narrowest_kind_of_its_annotation(annotation: object, text: str, value: object) -> None:
    parsed = parse(text, kinds(annotation))
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        ("int", "2.5"),
        ("int", "many"),
        ("int", ""),
        ("int", "true"),
        ("float", "nan"),
        ("float", "inf"),
        ("float", "fast"),
        ("bool", "2"),
        ("int", "none"),
        ("Literal['a', 'b']", "c"),
        ("tuple[int, ...]", "64,x"),
        ("tuple[int, ...]", ""),
        ("Network | None", "mlp"),
    ],
)
def test_text_of_another_kind_is_refused(annotation: object, text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse(text, kinds(annotation))


def test_without_an_annotation_the_default_tells_the_kind() -> None:
    empty = inspect.Parameter.empty
    assert parse("3", kinds_of(empty, 1, {})) == 3
    assert parse("3", kinds_of(empty, "x", {})) == "3"
    assert parse("none", kinds_of(empty, None, {})) is None


def test_values_of_a_typed_file_must_fit_as_they_are() -> None:
    assert matches(3, kinds("float"))
    assert matches([64, 32], kinds("tuple[int, ...]"))
    assert matches(None, kinds("str | None"))
    for value, annotation in (
        ("3", "int"),
        (True, "int"),
        (3.5, "int"),
        (math.nan, "float"),
        ([1], "int"),
        ({}, "str"),
    ):
        assert not matches(value, kinds(annotation))


def test_settings_come_from_signature_and_docstring() -> None:
    settings = settings_of(Dummy)
    assert list(settings) == list(inspect.signature(Dummy).parameters)
    assert settings["latent_dim"].help == "Number of latent dimensions, at least 1."
    assert settings["latent_dim"].default_text == "2"
    assert str(settings["latent_dim"].kinds) == "int"
    assert settings["strength"].help == "How hard it tries. Between 0 and 1."  # from the class it inherits
    assert settings["network"].help == 'What computes, see Network and "mlp".'
    assert settings["binarize"].help == settings["kind"].help == "One sentence for two."
    assert settings["binarize"].default_text == "none"
    assert str(settings["binarize"].kinds) == "text | none"
    assert str(settings["kind"].kinds) == "a | b"
    assert settings["width"].default_text == "64,32"
    assert settings["shuffle"].default_text == "true"
    assert str(settings["model"].kinds) == "Python only"
    assert settings["run_dir"].help == ""


def test_a_new_estimator_appears_with_its_settings() -> None:
    outcome = run("fit", "dummy", "--help")
    assert outcome.code == 0
    for text in ("latent_dim", "Number of latent dimensions, at least 1.", "64,32", "a | b", "Python only", "--set"):
        assert text in outcome.stdout
    assert "second paragraph" not in outcome.stdout
    assert "run_dir (--out)" in outcome.stdout
    everything = run("fit", "--help")
    assert "One Gaussian for everything." in everything.stdout
    assert "independent-pixels" in everything.stdout


def test_names_and_their_options_are_listed() -> None:
    shown = run("fit", "vae", "--help").stdout
    for text in (
        "standard | learned | mixture | vamp | flow", "diagonal | full | mixture | flow", "adam | adagrad",
        "static | dynamic | threshold | none", "Options of a name, after a colon", "a whole number from 1 to 100,000",
    ):  # fmt: skip
        assert text in shown
    rows = [line.split()[:4] for line in shown.splitlines()]
    for row in (
        "prior vamp components 500", "variational_family mixture components 5", "prior flow bins none",
        "objective elbo free_bits none", "objective mmd kernel imq", "objective score_function baseline leave_one_out",
    ):  # fmt: skip
        assert row.split() in rows
    assert "Options of a name" not in run("fit", "dummy", "--help").stdout  # an estimator without such tables


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("prior=vamp:component=5", "a vamp prior has no option 'component': it has only 'components'"),
        ("prior=vmap", "prior of VAE must be one of 'standard', 'learned', 'mixture', 'vamp', 'flow'"),
        ("objective=elbo:free_bits=-1", "free_bits of a elbo objective must be a finite number of at least 0"),
        ("optimizer=sgd", "optimizer of VAE must be one of 'adam', 'adagrad', got 'sgd'"),
        ("latent_dim=0", "latent_dim of VAE must be a whole number from 1"),
    ],
)
def test_a_bad_option_is_one_sentence_before_anything_is_read(
    assignment: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from latentia import data

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the data were read")

    monkeypatch.setattr(data, "load", fail)
    outcome = run("fit", "vae", "digits", "--set", assignment, "--out", tmp_path / "run")
    assert outcome.code == 1
    assert outcome.stderr.count("\n") == 1
    assert sentence in outcome.stderr
    assert not (tmp_path / "run").exists()


def test_set_wins_over_config_and_flags_have_their_own_options() -> None:
    settings = settings_of(Dummy)
    values = assign(["latent-dim=5", "width=8"], {"latent_dim": 3, "rates": [0.1], "width": [1, 2]}, settings, {})
    assert values == {"latent_dim": 5, "width": 8, "rates": [0.1]}
    assert assign([], {"width": [1, 2]}, settings, {}) == {"width": (1, 2)}
    with pytest.raises(UsageError, match="run_dir has an option of its own: use --out"):
        assign(["run_dir=x"], {}, settings, {"run_dir": "--out"})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--set", "latent_dims=3"],
            "there is no setting 'latent_dims': did you mean 'latent_dim'? known are latent_dim",
        ),
        (["--set", "latent_dim"], "--set takes name=value, got 'latent_dim'"),
        (["--set", "latent_dim=two"], "setting latent_dim takes int, got 'two'"),
        (["--set", "latent_dim=1", "--set", "latent_dim=2"], "--set latent_dim is given twice"),
        (["--set", "model=x"], "setting model takes a Python object"),
        (["--set", "random_state=3"], "use --seed"),
        (["--device", "cpu"], "dummy runs on the CPU only"),
        (["--resume", "--overwrite"], "exclude each other"),
        (["--config", "missing.json"], "cannot be read"),
    ],
)
def test_a_wrong_setting_is_a_usage_error_in_one_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    outcome = run("fit", "dummy", "digits", "--out", tmp_path / "run", *arguments)
    assert outcome.code == 2
    assert sentence in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert outcome.stdout == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.json", '{"latent_dim": 3}', {"latent_dim": 3}),
        ("a.toml", "latent_dim = 3\nwidth = [1, 2]", {"latent_dim": 3, "width": [1, 2]}),
        ("a.json", "[1]", "must be one table"),
        ("a.json", "{", "is not valid JSON"),
        ("a.toml", "latent_dim =", "is not valid TOML"),
        ("a.yaml", "latent_dim: 3", "must end in .json or .toml"),
        ("a.json", "[" * 100_000, "is not valid JSON"),
        ("a.json", " " * (2 << 20), "larger than 1 MiB"),
    ],
)
def test_configuration_files(name: str, content: str, expected: Any, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    if isinstance(expected, dict):
        assert read_config(tmp_path / name) == expected
        return
    with pytest.raises(UsageError, match=expected):
        read_config(tmp_path / name)


def test_a_required_setting_is_asked_for(tmp_path: Path) -> None:
    outcome = run("fit", "needy", "digits", "--out", tmp_path / "run")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "needy needs a value for target: add --set target=" in outcome.stderr
    assert "target *" in run("fit", "needy", "--help").stdout
