"""How a model was made: configuration, seed, data, licence, versions, and how to load it again."""

from __future__ import annotations

import inspect
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentia import citations
from latentia.report import page
from latentia.report.contracts import Fitted, info_of, name_of
from latentia.report.text import clean, counted

if TYPE_CHECKING:
    from latentia.data import Split

__all__ = ["how_it_was_made", "signature", "versions_line"]

PACKAGES = ("latentia", "torch", "numpy", "scikit-learn")
LONGEST_VALUE = 200
LOCAL = ("run_dir", "run_mode", "callbacks", "verbose")  # where and how it ran, not what it is


def how_it_was_made(fitted: Fitted, split: Split, path: Path) -> str:
    """Return the last section of a page: everything needed to make the model again, or to use it."""
    info = {**known(getattr(split, "info", None)), **{k: v for k, v in info_of(fitted).items() if v is not None}}
    fingerprint = str(info.get("fingerprint") or "")
    lines = [
        ("Estimator", f"{name_of(fitted)}({written(changed(fitted))})"),
        ("Likelihood", str(getattr(fitted, "likelihood_name_", None) or "")),
        ("Preprocessing", preprocessing(fitted)),
        ("Seed", seeding(fitted)),
        ("Epochs", epochs(fitted)),
        ("Data", str(info.get("name") or "")),
        ("Description", str(info.get("description") or "")),
        ("Split", str(info.get("split") or "")),
        ("Licence of the data", str(info.get("licence") or "not stated")),
        ("Fingerprint of the data", f"sha256 {fingerprint}" if fingerprint else ""),
        ("Versions", versions_line()),
    ]
    return page.section(
        "How it was made",
        "",
        page.facts(lines),
        page.heading("Use it again"),
        page.code(loading(fitted, path)),
        page.folded("All arguments", written(arguments(fitted), ",\n")),
        page.folded("Cite the methods and the data", citations_of(fitted)),
    )


def arguments(fitted: Fitted) -> dict[str, Any]:
    """Return the constructor's arguments, those that were left alone too, but none about this machine."""
    parameters: dict[str, Any] = fitted.get_params(deep=False) if hasattr(fitted, "get_params") else {}
    return {name: value for name, value in parameters.items() if name not in LOCAL}


def changed(fitted: Fitted) -> dict[str, Any]:
    """Return the arguments that differ from their defaults, in the signature's order."""
    given = arguments(fitted)
    defaults = {name: p.default for name, p in inspect.signature(type(fitted)).parameters.items() if name in given}
    return {name: given[name] for name, default in defaults.items() if repr(given[name]) != repr(default)}


def written(values: Mapping[str, Any], between: str = ", ") -> str:
    """Write arguments as they would be typed."""
    return between.join(f"{name}={clean(repr(value), LONGEST_VALUE)}" for name, value in values.items())


def seeding(fitted: Fitted) -> str:
    """Say which seed was used, and which was asked for where they differ."""
    seed, asked = getattr(fitted, "seed_", None), arguments(fitted).get("random_state")
    if seed is None:
        return ""
    return f"{seed}, drawn from random_state={clean(repr(asked), 80)}" if repr(asked) != repr(seed) else str(seed)


def preprocessing(fitted: Fitted) -> str:
    """Say what was done to the data before the model saw them."""
    done = getattr(fitted, "preprocessing_", None)
    said = []
    if binarize := getattr(done, "binarize", None):
        said.append(f"grey values made binary ({binarize}): log p(x) is that of the binary rows")
    if getattr(done, "scale", None) is not None:
        said.append("standardised inside the model; every number is in the units of the data")
    return "; ".join(said)


def epochs(fitted: Fitted) -> str:
    """Say how long it was trained."""
    history = getattr(fitted, "history_", None)
    if not history:
        return ""
    best = getattr(fitted, "best_epoch_", None)
    kept = "" if best is None else f"; the weights are those of epoch {best}"
    steps = history[-1].get("step")
    return counted(len(history), "epoch") + ("" if steps is None else f", {counted(int(steps), 'step')}") + kept


def known(info: Any) -> dict[str, Any]:
    """Take what a data set says of itself."""
    names = ("name", "description", "split", "licence", "fingerprint")
    return {name: value for name in names if (value := getattr(info, name, None)) is not None}


def loading(fitted: Fitted, path: Path) -> str:
    """Write the lines that bring the model back; a report beside a saved model knows the folder."""
    folder = clean(path.parent if not path.is_absolute() else path.parent.name)
    saved = (path.parent / "config.json").is_file()
    variable = name_of(fitted).lower()
    lines = ["import latentia as lt", ""]
    if not saved:
        folder = f"models/{variable}"
        lines.append(f"{variable}.save({folder!r})")
    lines += [f"{variable} = lt.load({folder!r})", f"{variable}.score_samples(x)"]
    return "\n".join(lines)


def citations_of(fitted: Fitted) -> str:
    """Return the BibTeX of the methods and of the data, where they are known."""
    return citations.cite(fitted) if hasattr(fitted, "_citations") else str(info_of(fitted).get("citation") or "")


def signature() -> str:
    """Return the page's last line."""
    return f"Made with Latentia {metadata.version('latentia')}. This page runs no script and fetches nothing."


def versions_line() -> str:
    """Write the versions that made this page."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join([*found, f"Python {platform.python_version()}"])
