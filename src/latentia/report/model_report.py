"""The page of one fitted estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentia.errors import DataError
from latentia.report import inference, page, sections
from latentia.report.contracts import Fitted, as_fitted, is_encoder, name_of, require_fitted
from latentia.report.diagnosis import read
from latentia.report.provenance import how_it_was_made, signature
from latentia.report.sections import Subject
from latentia.report.tables import describe_kind
from latentia.report.text import clean, counted, plain_number, with_error

if TYPE_CHECKING:
    from latentia.data import Split
    from latentia.evaluation import Evaluation

__all__ = ["write"]

STORIES = {
    "VAE": "A variational autoencoder",
    "PPCA": "Probabilistic principal component analysis",
    "IndependentPixels": "The baseline that models every value on its own",
}

LIKELIHOODS = {
    "bernoulli": "Bernoulli",
    "gaussian": "Gaussian",
    "gaussian_shared": "Gaussian (one variance for all)",
    "gaussian_network": "Gaussian (variance from the network)",
    "gaussian_fixed": "Gaussian (variance given)",
    "discretized_logistic": "discretised logistic",
}


def write(
    fitted: Fitted,
    split: Split,
    path: str | Path,
    baselines: Sequence[Fitted | Evaluation] = (),
    *,
    evaluation: Evaluation | None = None,
    diagnosis: Mapping[str, Any] | None = None,
    random_state: int = 0,
) -> Path:
    """Write the report of a fitted estimator: one page that needs nothing else, replaced as a whole.

    Sections that do not apply are left out: no learning curves for closed forms, no latent space for a product of
    pixels, histograms in place of pictures for tables.

    Parameters
    ----------
    fitted
        Any estimator of this library.
    split
        The rows that are scored and pictured, usually `dataset.test`.
    path
        The file to write, `….html`; its folder is made.
    baselines
        Estimators or evaluations to stand beside it in the table, scored on the same rows.
    evaluation
        What `fitted.evaluate(split.x)` returned, if it is known already.
    diagnosis
        What `diagnosis.document` made of a diagnosis, if there is one.
    random_state
        The seed of the rows and samples that are shown.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    NotFittedError
        When the estimator has seen no data.
    DataError
        When the split has no rows.
    CorruptedError
        When the diagnosis is none.
    StorageError
        When the file cannot be written; what was there before is kept.
    """
    from latentia import storage
    from latentia.evaluation import Evaluation

    require_fitted(fitted)
    x = np.asarray(split.x)
    if len(x) == 0:
        raise DataError("a report needs at least one row to score: the split is empty")
    own = evaluation if evaluation is not None else fitted.evaluate(as_fitted(fitted, x))
    others = [item if isinstance(item, Evaluation) else item.evaluate(as_fitted(item, x)) for item in baselines]
    path = Path(path)
    found = None if diagnosis is None else read(diagnosis)
    subject = Subject(fitted, split, x, own, others, random_state, found)
    storage.write_files(path.parent, {path.name: render(subject, path).encode()}, manifest=False)
    return path


def render(subject: Subject, path: Path) -> str:
    """Return the page as text."""
    return page.document(
        f"{name_of(subject.fitted)} on {subject.data_name}",
        "Latentia report",
        summary(subject),
        [
            inference.collapse(subject),
            sections.numbers(subject),
            sections.makes(subject),
            sections.latent(subject),
            inference.use_of_latent_space(subject),
            inference.bounds(subject),
            sections.scores(subject),
            sections.learning(subject),
            how_it_was_made(subject.fitted, subject.split, path),
        ],
        signature(),
        tiles=tiles(subject),
    )


def summary(subject: Subject) -> str:
    """Say in one sentence what was fitted to what."""
    fitted = subject.fitted
    having = [counted(fitted.latent_dim, "latent dimension")] if is_encoder(fitted) else []
    likelihood = clean(getattr(fitted, "likelihood_name_", "") or "", 60)
    likelihood = LIKELIHOODS.get(likelihood, likelihood.replace("_", " "))
    if likelihood:
        having.append(f"a {likelihood} likelihood")
    with_what = f" with {' and '.join(having)}" if having else ""
    story = STORIES.get(name_of(fitted), name_of(fitted))
    return (
        f"{story}{with_what}, fitted to {subject.data_name} ({subject.items}) "
        f"and scored on {counted(len(subject.x), f'{subject.split_name} row')}."
    )


def tiles(subject: Subject) -> str:
    """Return the numbers that matter."""
    own = subject.own
    value, spread = with_error(own.log_prob, own.standard_error)
    found = [page.Tile("log p(x)", value, spread or "", f"nats a row, higher is better; {describe_kind(own)}")]
    bits = own.bits_per_dim
    if bits is not None:
        found.append(page.Tile("Bits per dimension", plain_number(bits, 3), "", "lower is better"))
    units, fitted = own.active_units, subject.fitted
    if units is not None:
        total = f" of {fitted.latent_dim}" if is_encoder(fitted) else ""
        found.append(page.Tile("Active units", f"{units}{total}", "", "latent dimensions in use"))
    found.append(page.Tile("Parameters", f"{own.num_parameters:,}", "", "numbers learned"))
    return page.tiles(found)
