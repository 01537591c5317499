"""The page that puts several models side by side: one table, and the same rows through each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from latentia.errors import ConfigError
from latentia.report import page, plots
from latentia.report.contracts import Fitted, as_fitted, drawn_support, info_of, is_encoder, name_of, require_fitted
from latentia.report.pictures import is_picture
from latentia.report.plots.latent import shown_classes
from latentia.report.plots.rows import shown_features
from latentia.report.provenance import signature
from latentia.report.sections import Subject, read_numbers
from latentia.report.style import new_axes
from latentia.report.tables import numbers_table, paired_sentence
from latentia.report.text import clean, counted

if TYPE_CHECKING:
    from latentia.data import Split
    from latentia.evaluation import Evaluation

__all__ = ["compare"]

NUM_SAMPLES = 36
NUM_PAIRS = 12
MOST_POINTS = 8000  # on all maps together
MOST_COLUMNS = 6


def compare(
    runs: Mapping[str, Fitted | str | Path] | Sequence[Fitted | str | Path],
    path: str | Path,
    *,
    split: Split | None = None,
    evaluations: Sequence[Evaluation] | None = None,
    random_state: int = 0,
) -> Path:
    """Write a page that compares models on the same rows: their numbers, reconstructions, samples and latent maps.

    Parameters
    ----------
    runs
        Fitted estimators or folders of saved ones, at least two; a mapping also gives their names. Otherwise a folder
        is called by its name and an estimator by its class.
    path
        The file to write, `….html`; its folder is made.
    split
        The rows that are scored and pictured; the test split of the data set that the first model names when not given.
    evaluations
        What `evaluate(split.x)` returned for each run, if it is known already.
    random_state
        The seed of the rows and samples that are shown.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ConfigError
        With fewer than two runs, for models of different data or shapes, or where the data set cannot be told.
    StorageError
        When a run cannot be read or the page cannot be written.
    """
    from latentia import storage

    models = named_models(runs)
    rows = split if split is not None else test_split(next(iter(models.values())))
    for name, model in models.items():
        require_same_data(name, model, rows)
    x = np.asarray(rows.x)
    scored = list(evaluations) if evaluations is not None else [m.evaluate(as_fitted(m, x)) for m in models.values()]
    if len(scored) != len(models):
        raise ConfigError(f"compare needs an evaluation for each of the {len(models)} runs: got {len(scored)}")
    subjects = {
        name: Subject(model, rows, x, evaluation, [], random_state)
        for (name, model), evaluation in zip(models.items(), scored, strict=True)
    }
    path = Path(path)
    storage.write_files(path.parent, {path.name: render(subjects).encode()}, manifest=False)
    return path


def named_models(runs: Mapping[str, Any] | Sequence[Any]) -> dict[str, Fitted]:
    """Load what is a folder, and give every model a name of its own."""
    pairs = list(runs.items()) if isinstance(runs, Mapping) else [(None, run) for run in runs]
    if len(pairs) < 2:
        raise ConfigError(f"compare needs at least two runs: got {len(pairs)}")
    models: dict[str, Fitted] = {}
    for given, run in pairs:
        saved = isinstance(run, str | Path)
        model: Fitted = load(run) if saved else run
        require_fitted(model)
        name = clean(given if given is not None else Path(run).resolve().name if saved else name_of(model), 60)
        count = sum(other == name or other.startswith(f"{name} (") for other in models)
        models[f"{name} ({count + 1})" if count else name] = model
    return models


def load(folder: str | Path) -> Fitted:
    """Load a saved estimator."""
    from latentia import estimators

    model: Fitted = estimators.load(folder)
    return model


def test_split(model: Fitted) -> Split:
    """Return the test rows of the data set that a model names."""
    from latentia import data

    name = info_of(model).get("name")
    if name not in data.names():
        raise ConfigError(f"compare cannot tell the test rows of {clean(repr(name))}: pass split=")
    return data.load(str(name)).test


def require_same_data(name: str, model: Fitted, split: Split) -> None:
    """Refuse a model of other data than the rows to compare on: its test rows may be another's training rows."""
    theirs, ours = info_of(model).get("fingerprint"), split.info.fingerprint
    if theirs and ours and theirs != ours:
        raise ConfigError(
            f"compare needs models of the same data: {name} was fitted to {clean(info_of(model).get('name'), 80)} with "
            f"fingerprint {clean(theirs)[:12]}…, and the rows have {clean(ours)[:12]}…"
        )
    if tuple(model.event_shape_) != tuple(split.x.shape[1:]):
        raise ConfigError(
            f"compare needs models of the same items: {name} takes shape {tuple(model.event_shape_)} and the rows have "
            f"{tuple(split.x.shape[1:])}"
        )


def render(subjects: Mapping[str, Subject]) -> str:
    """Return the page as text."""
    first = next(iter(subjects.values()))
    pictured = is_picture(tuple(first.fitted.event_shape_))
    return page.document(
        f"{counted(len(subjects), 'model')} on {first.data_name}",
        "Latentia comparison",
        f"{', '.join(subjects)}: scored on the same {counted(len(first.x), f'{first.split_name} row')} of "
        f"{first.data_name} ({first.items}).",
        [
            numbers(subjects),
            reconstructions(subjects) if pictured else "",
            samples(subjects) if pictured else columns(subjects),
            maps(subjects),
        ],
        signature(),
    )


def numbers(subjects: Mapping[str, Subject]) -> str:
    """Return the ranking as a figure and as a table, with a warning where two numbers cannot be compared."""
    evaluations = [subject.own for subject in subjects.values()]
    table = numbers_table(evaluations, list(subjects))
    supports = {name: str(drawn_support(subject.fitted)) for name, subject in subjects.items()}
    lead = ""
    if len(set(supports.values())) > 1:
        listed = ", ".join(f"{name} scores {support} values" for name, support in supports.items())
        lead = f"These log p(x) are of different things and cannot be compared with each other: {listed}."
    best = None if lead else max(range(len(evaluations)), key=lambda index: evaluations[index].log_prob)
    if best is not None:
        called = list(subjects)
        lead = " ".join(
            paired_sentence(evaluations[best], other, (called[best], name))
            for name, other in zip(called, evaluations, strict=True)
            if other is not evaluations[best]
        )
    ranking = page.figure(
        plots.log_probs(evaluations, names=list(subjects)),
        "ranking",
        "The ranking",
        "A dot is exact; a triangle is a lower bound, and the true value lies to its right.",
    )
    return page.section(
        "Numbers", lead, page.numbers(table, own=best), read_numbers(table, evaluations), page.figures("one", ranking)
    )


def reconstructions(subjects: Mapping[str, Subject]) -> str:
    """Return the same rows through every model that has a latent space."""
    said, drawn = "", []
    for index, (name, subject) in enumerate(subjects.items()):
        if is_encoder(subject.fitted):
            rows, said = subject.choose(NUM_PAIRS)
            ax = plots.reconstructions(subject.fitted, subject.x[rows], columns=4)
            drawn.append(page.figure(ax, f"pairs{index}", name, ""))
    lead = f"Data above what each model makes of them. {said}"
    return page.section("Originals and reconstructions", lead, page.figures("many", *drawn))


def samples(subjects: Mapping[str, Subject]) -> str:
    """Return a sheet of samples from every model."""
    drawn, seed = [], next(iter(subjects.values())).seed
    for index, (name, subject) in enumerate(subjects.items()):
        count = int(np.sqrt(subject.affordable(NUM_SAMPLES, share=len(subjects)))) ** 2
        ax = plots.samples(subject.fitted, n=count, random_state=subject.seed)
        drawn.append(page.figure(ax, f"samples{index}", name, ""))
    return page.section("Samples", f"Drawn from each model with seed {seed}.", page.figures("many", *drawn))


def columns(subjects: Mapping[str, Subject]) -> str:
    """Return, column by column of a table, the data's histogram with each model's samples over it."""
    first = next(iter(subjects.values()))
    rows, said = first.choose(MOST_POINTS // len(subjects))
    x = first.x[rows]
    lines = []
    for feature in shown_features(x)[:MOST_COLUMNS]:
        drawn = [
            page.figure(histogram(subject, x, feature), f"column{feature}of{index}", name, "")
            for index, (name, subject) in enumerate(subjects.items())
        ]
        lines.append(page.figures("many", *drawn))
    return page.section(
        "Data and samples", f"Data in grey, as many samples outlined, seed {first.seed}. {said}", *lines
    )


def histogram(subject: Subject, x: NDArray[Any], feature: int) -> Any:
    """Draw one column of one model."""
    return plots.marginals(subject.fitted, x, features=[feature], random_state=subject.seed, legend=False)


def maps(subjects: Mapping[str, Subject]) -> str:
    """Return the latent map of every model that has one."""
    said, drawn = "", []
    for index, (name, subject) in enumerate(subjects.items()):
        if is_encoder(subject.fitted):
            rows, said = subject.choose(MOST_POINTS // len(subjects))
            y = None if subject.y is None else subject.y[rows]
            ax = plots.latent_scatter(subject.fitted, subject.x[rows], y, new_axes(320, 320))
            drawn.append(page.figure(ax, f"map{index}", name, ""))
    coloured = ", coloured by class" if shown_classes(next(iter(subjects.values())).y) else ""
    return page.section("Latent maps", f"Posterior means{coloured}. {said}", page.figures("many", *drawn))
