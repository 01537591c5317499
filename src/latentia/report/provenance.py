"""How a model was made: configuration, seed, data, licence, versions, and how to load it again."""

from __future__ import annotations

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

__all__ = ["how_it_was_made", "versions_line"]

PACKAGES = ("latentia", "torch", "numpy", "scikit-learn")
LONGEST_VALUE = 200


def how_it_was_made(fitted: Fitted, split: Split, path: Path) -> str:
    """Return the last section of a page: everything needed to make the model again, or to use it."""
    info = {**known(getattr(split, "info", None)), **{k: v for k, v in info_of(fitted).items() if v is not None}}
    seed = getattr(fitted, "seed_", None)
    fingerprint = str(info.get("fingerprint") or "")
    lines = [
        ("Estimator", f"{name_of(fitted)}({configuration(fitted)})"),
        ("Likelihood", str(getattr(fitted, "likelihood_name_", None) or "")),
        ("Preprocessing", mapping_line(getattr(fitted, "preprocessing_", None))),
        ("Seed", "" if seed is None else str(seed)),
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
        page.folded("Cite the methods and the data", citations_of(fitted)),
    )


def configuration(fitted: Fitted) -> str:
    """Write the constructor's arguments, those that were left alone too."""
    parameters: Mapping[str, Any] = fitted.get_params(deep=False) if hasattr(fitted, "get_params") else {}
    return ", ".join(f"{name}={clean(repr(value), LONGEST_VALUE)}" for name, value in parameters.items())


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


def mapping_line(values: Any) -> str:
    """Write what was done to the data before the model saw them."""
    if not isinstance(values, Mapping):
        return "" if values is None else clean(values)
    return "; ".join(f"{name}: {clean(value, 80)}" for name, value in values.items() if value not in (None, False, {}))


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


def versions_line() -> str:
    """Write the versions that made this page."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join([*found, f"Python {platform.python_version()}"])
