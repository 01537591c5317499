"""What a diagnosis says: the same numbers in the object, in the run folder, in tables and in words."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from latentia.errors import CorruptedError
from latentia.estimators.diagnosis import Diagnosis
from latentia.evaluation import (
    AnnealedEstimates,
    BidirectionalBounds,
    ElboDecomposition,
    InferenceGaps,
    Mean,
    PriorEstimates,
    health,
)
from latentia.evaluation.annealing import Annealing
from latentia.report.diagnosis import Quantity, document, read
from latentia.report.wording import (
    doubts,
    gap_table,
    gradient_findings,
    gradient_table,
    information_note,
    ladder_table,
    parts_table,
    verdict,
)
from tests.report import cases
from tests.report.cases import evaluation, found

ROW = np.array([-10.0, -14.0])  # the best estimate of two rows


def diagnosis(**changes: Any) -> Diagnosis:
    ones, annealing = np.ones(2), Annealing(2, 10, 3)
    parts: dict[str, Any] = {
        "n": 2,
        "health": health([[1.0], [-1.0]], [[1.0], [3.0]]),
        "decomposition": ElboDecomposition(ROW - 1, 0.5 * ones, 2 * ones, 1.5 * ones, 0.5 * ones[:, None], 1),
        "importance": Mean(-12.5, 2.0),
        "prior": PriorEstimates(ROW - [20.0, 30.0], np.array([1.0, 50.0]), 100),
        "annealed": AnnealedEstimates(ROW - [0.5, 1.5], ones, ones, ones, annealing),
        "gaps": InferenceGaps(ROW - 4, ROW - 1, ROW - 0.5, ROW, ones, "diagonal", 100, 10),
        "bidirectional": BidirectionalBounds(ROW - 1, ROW + 1, ones, ones, annealing, ROW, ROW),
    }
    return Diagnosis(**{**parts, **changes})


def test_every_number_comes_back_from_the_run_folder() -> None:
    scored = evaluation(log_prob=-12.5, standard_error=2.0, num_samples=100, per_row=ROW - [0.25, 0.75])
    written = json.loads(json.dumps(document(diagnosis(), scored, "two rows")))
    back = read(written)
    assert (back.n, back.rows, back.untrusted, back.num_simulated, back.family) == (2, "two rows", 1, 2, "diagonal")
    levels = {rung.name: rung.level.value for rung in back.rungs}
    assert levels == {
        "Monte Carlo over the prior": -37.0, "ELBO": -16.0, "ELBO, best diagonal q": -13.0, "ELBO, best full q": -12.5,
        "importance sampling": -12.5, "annealed importance sampling": -13.0,
    }  # fmt: skip
    assert {rung.name: rung.below for rung in back.rungs} == {
        "Monte Carlo over the prior": Quantity(25.0, 5.0),  # of 20 and 30: the spread of 10 over √2 · √2
        "ELBO": Quantity(4.0, 0.0),
        "ELBO, best diagonal q": Quantity(1.0, 0.0),
        "ELBO, best full q": Quantity(0.5, 0.0),
        "importance sampling": Quantity(0.5, 0.25),
        "annealed importance sampling": Quantity(1.0, 0.5),
    }
    assert back.best == Quantity(-12.0, 2.0)
    assert (back.lower.value, back.upper.value, back.gap) == (-13.0, -11.0, Quantity(2.0, 0.0))
    assert (back.lacking.value, back.amortisation, back.approximation) == (4.0, Quantity(3.0, 0.0), Quantity(1.0, 0.0))
    assert [rung.trusted for rung in back.rungs] == [False, True, True, True, True, True]
    parts = back.parts
    assert parts.saturated  # 0.5 nats of at most log 2
    assert parts.reconstruction.value - parts.mutual_information.value - parts.marginal_kl.value == parts.elbo.value
    assert parts.total_correlation is not None
    assert parts.dimension_wise_kl is not None
    assert parts.total_correlation.value + parts.dimension_wise_kl.value == parts.marginal_kl.value


def test_what_is_not_known_stays_unknown() -> None:
    """A flow has neither a best member that is known nor densities of single dimensions."""
    ones = np.ones(2)
    flow = diagnosis(
        gaps=InferenceGaps(ROW - 4, ROW - 1, ROW - 0.5, ROW, ones, "other", 100, 10),
        decomposition=ElboDecomposition(ROW - 1, ones, ones, None, None, 1),
        prior=PriorEstimates(np.full(2, -math.inf), np.zeros(2), 100),
    )
    back = read(json.loads(json.dumps(document(flow, evaluation(per_row=ROW, num_samples=100), "rows"))))
    assert (back.amortisation, back.approximation) == (None, None)
    assert (back.parts.total_correlation, back.parts.dimension_wise_kl) == (None, None)
    assert "Monte Carlo over the prior" not in [rung.name for rung in back.rungs]  # −∞ is no number
    assert [row[0] for row in gap_table(back).rows] == ["inference gap", "gap of annealing"]
    assert [row[0] for row in parts_table(back.parts).rows][2] == "− marginal KL"


@pytest.mark.parametrize(
    "change",
    [
        {"gaps": {"log_prob": None}},
        {"gaps": {"log_prob": "\x1b[31m"}},
        {"gaps": {"inference_gap": [1.0]}},
        {"prior": {"untrusted": -1}},
        {"prior": {"untrusted": 0.5}},
        {"bidirectional": {"n": True}},
        {"decomposition": {"elbo": float("nan")}},
    ],
)
def test_a_file_that_says_anything_is_refused_in_a_sentence(change: dict[str, Any]) -> None:
    with pytest.raises(CorruptedError, match="no diagnosis that Latentia wrote"):
        found(**change)
    with pytest.raises(CorruptedError, match="run latentia diagnose again"):
        read({"rows": "some"})
    with pytest.raises(CorruptedError):
        read({**cases.diagnosis(), "gaps": 3})


def test_tables_hold_every_bound_with_its_kind() -> None:
    table = ladder_table(found())
    assert table.header == ("bound on log p(x)", "mean, nats", "below the best, nats", "what it is")
    assert table.rows[0] == (
        "Monte Carlo over the prior", "-140.0", "40.0 ± 2.0",
        "lower bound in expectation; not to be trusted for 3 of 4 rows",
    )  # fmt: skip
    assert table.rows[1] == ("ELBO", "-103.00", "3.00 ± 0.50", "lower bound")
    assert table.rows[-1][:2] == ("best estimate", "-100.0 ± 2.0")
    assert [row[1] for row in gap_table(found()).rows] == ["3.00 ± 0.50", "2.00 ± 0.25", "1.00 ± 0.12", "0.250 ± 0.062"]
    assert parts_table(found().parts).rows[-1] == ("= ELBO", "-103.0 ± 2.5", "lower bound on log p(x)")


def test_small_errors_do_not_blow_up_the_digits() -> None:
    assert str(Quantity(4.60517, 0.00001)) == "4.605 ± 0.001"
    assert str(Quantity(4.60517, 0.0)) == "4.61"
    assert str(Quantity(-61.2345, 0.3456)) == "-61.23 ± 0.35"


def test_doubts_name_what_is_wrong() -> None:
    assert doubts(found()) == []
    loose = doubts(found(bidirectional={"gap": 2.0}))
    assert len(loose) == 1
    assert "annealing leaves 2.000 ± 0.062 nats open" in loose[0]
    low = doubts(found(gaps={"approximation_gap_full": -1.0}))
    assert low == [
        "ELBO, best full q, a lower bound, lies 1.00 ± 0.12 nats above the best estimate, which is therefore too low: "
        "anneal with more temperatures."
    ]
    assert doubts(found(gaps={"approximation_gap_full": -0.3})) == []  # within three standard errors


def test_information_is_bounded_by_the_number_of_rows() -> None:
    assert information_note(found().parts).endswith("at most log 4 = 1.39 nats.")
    full = found(decomposition={"mutual_information": 1.38, "saturated": True}).parts
    assert "and stands there: with more rows it would be larger" in information_note(full)


def test_the_verdict_says_what_is_used() -> None:
    means = np.array([[1.0, 0.0, 0.5], [-1.0, 0.0, -0.5]])
    history = [{"train": {"kl": [1.0, 0.5, 0.5]}}, {"train": {"kl": [1.0, 0.0, 0.5]}}]
    used = health(means, [[1.0, 0.0, 0.5]] * 2, history=history)
    assert verdict(used) == (
        "Healthy: in 2 of 3 latent dimensions the posterior mean varies over the rows. One carries less than 0.01 nats "
        "and is as good as unused, which is normal: the prior switches off what is not needed. It carried 0.1 nats or "
        "more earlier in training."
    )
    gains = health(means, [[1.0, 1.0, 1.0]] * 2, aggregated_gap=Mean(0.5, 0.125))
    assert verdict(gains).endswith("A richer prior could gain at most 0.50 ± 0.12 nats: KL(q(z) ‖ p(z)).")
    whole = health(means, [[1.5]] * 2)
    assert "does not split over dimensions" in verdict(whole)
    dead = verdict(health(0 * means, [[0.0, 0.0, 0.0]] * 2))
    assert dead.startswith("Posterior collapse: q(z | x) is the prior")
    assert "kl_warmup_epochs=20" in dead


def test_gradients_in_words() -> None:
    table = cases.gradient_table()
    shown = gradient_table(table, "encoder")
    assert shown.header == ("estimator", "L = 1", "L = 2", "L = 4")
    assert shown.rows[1] == ("score function", "1.00e+03 (0.00)", "5.00e+02 (0.00)", "2.50e+02 (0.00)")
    assert shown.rows[2][1] == "–"  # one sample cannot be left out
    first, second = gradient_findings(table)
    assert "With L = 4 samples" in first
    assert "1,000 times the variance of the reparameterised one, and 10 times with the other samples" in first
    assert second == "No estimator is biased: none is off by more than its noise explains."
    off = gradient_findings(cases.gradient_table(bias=5.0))
    assert "reparameterised, L = 1, encoder: its bias of 5 is more than noise makes." in off
