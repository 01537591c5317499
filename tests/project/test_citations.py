"""Whom to cite: well-formed entries, each model's own, the data set's after fitting."""

from __future__ import annotations

import re

import pytest

import latentia as lt
from latentia.citations import BIBTEX, cite
from latentia.errors import ConfigError


@pytest.mark.parametrize("key", BIBTEX)
def test_entry_is_well_formed(key: str) -> None:
    entry = BIBTEX[key]
    assert re.match(rf"@(inproceedings|article)\{{{key},\n", entry)
    assert entry.count("{") == entry.count("}")
    fields = dict(re.findall(r"^  (\w+) = \{(.*)\},?$", entry, re.MULTILINE))
    assert {"author", "title", "year"} <= fields.keys()
    assert key.endswith(fields["year"])
    first_author = fields["author"].split(",")[0].lower()
    assert key.startswith(first_author.split()[-1])


class _Model:
    _citations = ("kingma2014", "burda2016", "kingma2014")
    info_: dict[str, object]


def test_class_and_instance_name_each_paper_once() -> None:
    assert cite(_Model) == cite(_Model()) == BIBTEX["kingma2014"] + "\n\n" + BIBTEX["burda2016"]


def test_data_are_cited_after_fitting() -> None:
    fitted = _Model()
    fitted.info_ = {"name": "digits", "citation": "@misc{digits,\n  title = {Digits}\n}\n"}
    assert cite(fitted).endswith("\n\n@misc{digits,\n  title = {Digits}\n}")
    fitted.info_ = {"name": "an array", "citation": None}
    assert cite(fitted) == cite(_Model)


def test_an_object_without_citations_is_refused() -> None:
    with pytest.raises(ConfigError, match="int names no citations"):
        cite(3)


@pytest.mark.parametrize("estimator", [lt.VAE, lt.PPCA, lt.IndependentPixels])
def test_every_estimator_can_be_cited(estimator: type) -> None:
    assert lt.cite(estimator) == lt.cite(estimator())
    if estimator is not lt.IndependentPixels:
        assert lt.cite(estimator).startswith("@")


def test_the_data_set_is_cited_with_the_model() -> None:
    digits = lt.data.load("digits")
    fitted = lt.IndependentPixels().fit(digits.train)
    assert digits.info.citation
    assert lt.cite(fitted).endswith(digits.info.citation.strip())
    assert BIBTEX["tipping1999"] in lt.cite(lt.PPCA(latent_dim=2).fit(digits.train))
