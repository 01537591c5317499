"""Names with options at the door: what they stand for, and the sentence for what they cannot be."""

from __future__ import annotations

from typing import Any

import pytest

import latentia as lt
from latentia.errors import ConfigError
from latentia.estimators.latent_parts import FamilyChoice, PriorChoice
from latentia.estimators.objectives import ObjectiveChoice
from tests.estimators.cases import binary, raised, vae


def test_a_text_with_options_is_the_choice_that_the_function_returns() -> None:
    assert PriorChoice.parse("vamp:components=100") == lt.prior("vamp", components=100)
    assert FamilyChoice.parse("mixture:components=3") == lt.variational_family("mixture", components=3)
    assert ObjectiveChoice.parse("elbo:capacity=5, capacity_epochs=20") == lt.objective(
        "elbo", capacity_epochs=20, capacity=5.0
    )
    assert ObjectiveChoice.parse("score_function:baseline=none").values == {"baseline": "none"}
    assert lt.LikelihoodChoice.parse("gaussian_fixed:variance=0.5") == lt.likelihood("gaussian_fixed", variance=0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prior": "vampire"}, "prior of VAE must be one of 'standard', 'learned', 'mixture', 'vamp'"),
        ({"prior": "vamp:parts=3"}, "a vamp prior has no option 'parts': it has only 'components'"),
        ({"prior": "vamp:components=0"}, "components of a vamp prior must be a whole number from 1"),
        ({"prior": "vamp:components=many"}, "components of a vamp prior must be a whole number from 1"),
        ({"prior": "vamp:components"}, "written option=value, got 'components'"),
        ({"prior": 3}, "prior of VAE must be one of"),
        ({"variational_family": "mixture:components=-1"}, "components of a mixture variational family must be"),
        ({"objective": "elbo:free_bits=-0.5"}, "free_bits of a elbo objective must be a finite number of at least 0"),
        ({"objective": "ciwae:weight=2"}, "weight of a ciwae objective must be"),
        ({"objective": "iwae", "beta": 2.0}, "objective='iwae' has no divergence to weigh"),
        ({"objective": "iwae_dreg", "kl_warmup_epochs": 5}, "has no divergence to weigh"),
        ({"objective": "score_function"}, "choose num_samples of at least 2"),
        ({"objective": "beta_tc", "batch_size": 1}, "compares the rows of a batch: choose a batch_size of at least 2"),
        ({"objective": "score_function:baseline=mean", "batch_size": 1}, "compares the rows of a batch"),
        (
            {"objective": "mmd", "batch_size": 35, "validation_fraction": 0.1},
            "the last batch of 35 would be a single one",
        ),
        ({"objective": "elbo:capacity_epochs=3"}, "give a capacity too"),
        ({"objective": "elbo:capacity=3,free_bits=1"}, "give one of them"),
        ({"objective": "beta_tc", "prior": "mixture"}, "use a standard or learned diagonal normal prior"),
        ({"num_samples": 0}, "num_samples of VAE must be a whole number from 1"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(arguments: dict[str, Any], message: str) -> None:
    text = raised(lambda: vae(**arguments).fit(binary((40, 16))), ConfigError)
    assert message in text
    assert "\n" not in text


def test_a_vamp_prior_refuses_categories() -> None:
    model = vae(prior="vamp", support="categories:3")
    text = raised(lambda: model.fit(binary((40, 4)).astype("int64") * 2), ConfigError)
    assert "prior='mixture'" in text.replace('"', "'")
