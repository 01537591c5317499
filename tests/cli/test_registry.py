"""The names of estimators."""

from __future__ import annotations

import inspect

import pytest

from latentia.errors import ConfigError
from latentia.estimators import registry
from tests.cli.commands import register_dummies


@pytest.fixture(autouse=True)
def _dummies(monkeypatch: pytest.MonkeyPatch) -> None:
    register_dummies(monkeypatch)


def test_a_registered_class_is_found_by_name() -> None:
    from tests.cli.dummy_estimator import Dummy

    assert registry.names()[:3] == ("vae", "ppca", "independent-pixels")
    assert registry.names()[3] == "dummy"
    assert registry.get("dummy") is Dummy
    assert registry.summary("dummy") == "One Gaussian for everything."
    assert registry.signature("dummy") == inspect.signature(Dummy)


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no estimator 'VEA': did you mean 'vae'\? known are vae, ppca"):
        registry.get("VEA")
    with pytest.raises(ConfigError, match="no estimator 'xyz': known are vae"):
        registry.summary("xyz")


@pytest.mark.parametrize("name", ["", "Dummy", "a_b", "-a", "a b", "a--b", "a\x1b[31m"])
def test_malformed_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is not usable"):
        registry.register(name, "tests.cli.dummy_estimator:Dummy", "x")


@pytest.mark.parametrize(
    "target", ["tests.cli.dummy_estimator", ":Dummy", "tests.cli.dummy_estimator:", "dummy_estimator:Dummy.x"]
)
def test_malformed_targets_are_refused(target: str) -> None:
    with pytest.raises(ConfigError, match="is not usable"):
        registry.register("another", target, "x")


def test_a_name_stands_for_one_class() -> None:
    registry.register("dummy", "tests.cli.dummy_estimator:Dummy", "A better summary.")
    assert registry.summary("dummy") == "A better summary."
    with pytest.raises(ConfigError, match=r"already stands for tests.cli.dummy_estimator:Dummy"):
        registry.register("dummy", "tests.cli.dummy_estimator:Refusing", "x")


def test_a_target_without_a_class_is_named() -> None:
    registry.register("lost", "tests.cli.dummy_estimator:Lost", "x")
    with pytest.raises(ConfigError, match=r"registered as tests.cli.dummy_estimator:Lost, but there is no such class"):
        registry.get("lost")
