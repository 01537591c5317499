"""The sections about inference, on pages of real autoencoders, healthy and collapsed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import latentia as lt
from latentia import report
from latentia.errors import CorruptedError
from latentia.estimators.latent_space import latent_space
from latentia.report.diagnosis import parts_of
from latentia.report.tables import numbers_table
from tests.report.cases import GREY, Linear, diagnosis, evaluation, grey_split

DIGITS = lt.data.load("digits")


def fitted(**settings: Any) -> lt.VAE:
    quick = {"hidden": (16,), "max_epochs": 3, "batch_size": 32, "learning_rate": 1e-2, "num_importance_samples": 4}
    return lt.VAE(latent_dim=3, random_state=0, **{**quick, **settings}).fit(DIGITS.train)


@pytest.fixture(scope="module")
def vae() -> lt.VAE:
    return fitted()


def write(model: Any, folder: Path, **options: Any) -> str:
    return report.write(model, DIGITS.test, folder / "report.html", **options).read_text(encoding="utf-8")


def test_a_page_says_how_the_latent_space_is_used(vae: lt.VAE, tmp_path: Path) -> None:
    page = write(vae, tmp_path)
    assert re.findall(r"<h2>(.*?)</h2>", page) == [
        "Numbers", "What it makes", "Latent space", "Use of the latent space", "Scores", "Learning", "How it was made",
    ]  # fmt: skip
    for title in ("KL per dimension over the epochs", "What the ELBO is made of"):
        assert f"<b>{title}.</b>" in page
    assert "All 180 test rows. The mutual information of 180 rows with z is at most log 180" in page
    assert 'class="alarm"' not in page


def test_a_collapsed_posterior_stands_at_the_top(tmp_path: Path) -> None:
    vae = fitted()
    network: Any = vae.module_.encoder
    with torch.no_grad():
        for parameter in list(network.parameters())[-2:]:  # the last layer: a mean of 0 and a log-scale of 0
            parameter.zero_()
    page = write(vae, tmp_path)
    assert page.index("The latent space is not used.") < page.index("<h2>Numbers")
    assert "Posterior collapse: q(z | x) is the prior (a KL of 0.000 nats over 3 latent dimensions)" in page
    assert "kl_warmup_epochs=20" in page
    assert "0 of 3" in page


def test_one_divergence_for_all_dimensions_is_not_called_a_dimension(tmp_path: Path) -> None:
    vae = fitted(prior="mixture:components=2")
    assert len(vae.evaluate(DIGITS.test.x).kl_per_dimension or []) in (0, 1)
    page = write(vae, tmp_path)
    assert "KL per dimension" not in page
    assert "does not split over dimensions" in page
    assert re.search(r"[0-3] of 3\b", page)
    assert "of 1<" not in page


def test_a_table_counts_dimensions_only_where_it_knows_them() -> None:
    split, whole = [2.0, 3.0], [5.0]
    rows = numbers_table(
        [
            evaluation(active_units=1, kl_per_dimension=split),
            evaluation(active_units=5, kl_per_dimension=whole),
            evaluation(active_units=5),
        ]
    )
    at = rows.header.index("active units")
    assert [row[at] for row in rows.rows] == ["1 of 2", "5", "5"]


def test_the_ladder_is_drawn_where_the_model_was_diagnosed(vae: lt.VAE, tmp_path: Path) -> None:
    page = write(vae, tmp_path, diagnosis=diagnosis())
    section = page[page.index("<h2>Bounds on log p(x)") : page.index("<h2>Scores")]
    assert "Every ruler on 4 of the 9 test rows of toy, chosen with seed 0" in section
    for word in (
        "The ladder of bounds",
        "What the ELBO lacks",
        "annealed importance sampling",
        "−103.00",
        "best estimate",
    ):
        assert word in section
    assert 'class="alarm"' not in section
    names = re.findall(r'\bid="([^"]*)"', page)
    assert len(names) == len(set(names))
    doubtful = write(vae, tmp_path, diagnosis=diagnosis(bidirectional={"gap": 3.0}))
    assert "To be read with care." in doubtful
    with pytest.raises(CorruptedError, match="run latentia diagnose again"):
        write(vae, tmp_path, diagnosis={})


def test_estimators_without_an_encoder_network_have_no_such_section(tmp_path: Path) -> None:
    page = report.write(Linear((4, 4), GREY), grey_split(), tmp_path / "a.html").read_text()
    assert "Use of the latent space" not in page
    ppca = write(lt.PPCA(latent_dim=2).fit(DIGITS.train), tmp_path)
    assert "Use of the latent space" not in ppca


@pytest.mark.parametrize(
    ("objective", "titles"),
    [
        ("ciwae", ["CIWAE: between ELBO and IWAE", "Importance-weighted bound", "ELBO", "Effective sample size"]),
        ("miwae", ["MIWAE: mean of M weighted bounds", "ELBO", "Effective sample size"]),
        (
            "beta_tc",
            ["ELBO", "Reconstruction, E[log p(x | z)]", "KL(q(z | x) ‖ p(z))", "Mutual information of x and z",
             "Total correlation of z", "Dimension-wise KL, Σ KL(q(z_d) ‖ p(z_d))"],
        ),
        ("mmd", ["ELBO", "Reconstruction, E[log p(x | z)]", "KL(q(z | x) ‖ p(z))", "Squared MMD of q(z) and p(z)"]),
    ],
)  # fmt: skip
def test_terms_of_every_objective_have_their_names(objective: str, titles: list[str]) -> None:
    model = lt.VAE(latent_dim=2, hidden=(8,), max_epochs=1, num_samples=2, objective=objective, random_state=0)
    model.fit(DIGITS.train.x[:200])
    ax: Any = report.plots.learning_curves(model)
    assert [panel.get_title(loc="left") for panel in ax.child_axes] == titles
    assert all(panel.get_ylabel() for panel in ax.child_axes)  # every one with its unit


def test_the_parts_on_the_page_are_those_of_the_model(vae: lt.VAE, tmp_path: Path) -> None:
    parts = parts_of(latent_space(vae, DIGITS.test.x).parts)
    page = write(vae, tmp_path)
    drawing = page[page.index('aria-label="What the ELBO is made of') :]
    drawing = drawing[: drawing.index("</svg>")]
    assert parts.total_correlation is not None
    for part in (parts.reconstruction, parts.mutual_information, parts.total_correlation, parts.elbo):
        assert f">{str(part).replace('-', '−')}</text>" in drawing
