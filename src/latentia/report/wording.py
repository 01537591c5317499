"""What the rulers found, in sentences and rows of text: the same on the page and in the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from latentia.report.diagnosis import Found, Parts, Quantity
from latentia.report.tables import ABSENT, NumbersTable
from latentia.report.text import counted

if TYPE_CHECKING:
    from latentia.evaluation import GradientTable, Health

__all__ = [
    "doubts",
    "gap_table",
    "gradient_findings",
    "gradient_table",
    "information_note",
    "ladder_table",
    "parts_table",
    "verdict",
]

CLEAR = 3.0  # standard errors from which on a difference is one
BIASED = 3.0  # times what noise alone makes of a bias
LOOSE = 0.5  # nats between the two sides of annealing from which on its settings are worth a word


def verdict(health: Health) -> str:
    """Say in a few sentences how the latent space is used, or what is wrong and what helps."""
    if health.warning is not None:
        return f"{health.warning[:1].upper()}{health.warning[1:]}."
    total = counted(health.latent_dim, "latent dimension")
    found = [f"Healthy: in {health.active_units} of {total} the posterior mean varies over the rows."]
    if health.unused is None:
        found.append("KL(q(z | x) ‖ p(z)) does not split over dimensions with these parts, so none is called unused.")
    elif health.unused:
        found.append(
            f"{health.unused} carry less than 0.01 nats and are as good as unused, which is normal: the prior switches "
            "off what is not needed."
            if health.unused > 1
            else "One carries less than 0.01 nats and is as good as unused, which is normal: the prior switches off "
            "what is not needed."
        )
    if health.lost:
        which = "It" if health.unused == 1 else "One of them" if health.lost == 1 else f"{health.lost} of them"
        found.append(f"{which} carried 0.1 nats or more earlier in training.")
    if health.aggregated_gap is not None:
        gap = Quantity(health.aggregated_gap.value, health.aggregated_gap.standard_error)
        found.append(f"A richer prior could gain at most {gap} nats: KL(q(z) ‖ p(z)).")
    return " ".join(found)


def information_note(parts: Parts) -> str:
    """Say what the number of rows does to the parts of the bound."""
    most = (
        f"The mutual information of {parts.n:,} rows with z is at most log {parts.n:,} = {math.log(parts.n):.2f} nats"
    )
    if not parts.saturated:
        return f"{most}."
    return f"{most}, and stands there: with more rows it would be larger, and what is below it smaller by as much."


def ladder_table(found: Found) -> NumbersTable:
    """Return the bounds from the loosest kind to the tightest, and the best estimate of log p(x)."""
    doubt = f"; not to be trusted for {found.untrusted:,} of {counted(found.n, 'row')}"
    rows = [
        (rung.name, rung.shown, str(rung.below), rung.kind + ("" if rung.trusted else doubt)) for rung in found.rungs
    ]
    return NumbersTable(
        ("bound on log p(x)", "mean, nats", "below the best, nats", "what it is"),
        (*rows, ("best estimate", str(found.best), ABSENT, "± one standard error over the rows")),
    )


def gap_table(found: Found) -> NumbersTable:
    """Return what the bound lacks and why, and what annealing leaves open."""
    family = found.family
    rows: list[tuple[str, Quantity | None, str]] = [
        ("inference gap", found.lacking, "log p(x) − ELBO: all that the bound lacks"),
        ("amortisation gap", found.amortisation, f"what the encoder loses against the best {family} q of each row"),
        ("approximation gap", found.approximation, f"what that {family} q still loses: the family’s fault"),
        ("gap of annealing", found.gap, f"upper − lower bound, on {counted(found.num_simulated, 'simulated row')}"),
    ]
    return NumbersTable(
        ("gap", "nats", "what it is"),
        tuple((name, str(value), what) for name, value, what in rows if value is not None),
    )


def parts_table(parts: Parts) -> NumbersTable:
    """Return the parts of the evidence lower bound."""
    rows = [
        ("reconstruction", parts.reconstruction, "E[log p(x | z)]"),
        ("− mutual information", parts.mutual_information, "of x and z under q"),
    ]
    if parts.total_correlation is not None and parts.dimension_wise_kl is not None:
        rows += [
            ("− total correlation", parts.total_correlation, "KL(q(z) ‖ Π q(z_d))"),
            ("− dimension-wise KL", parts.dimension_wise_kl, "Σ KL(q(z_d) ‖ p(z_d))"),
        ]
    else:
        rows += [("− marginal KL", parts.marginal_kl, "KL(q(z) ‖ p(z))")]
    rows += [("= ELBO", parts.elbo, "lower bound on log p(x)")]
    return NumbersTable(("part", "nats", "what it is"), tuple((name, str(value), what) for name, value, what in rows))


def doubts(found: Found) -> list[str]:
    """Say which numbers are not to be trusted, and what to do about it."""
    said = []
    above = [rung for rung in found.rungs if -rung.below.value > CLEAR * (rung.below.error or math.inf)]
    if above:
        highest = min(above, key=lambda rung: rung.below.value)
        below = Quantity(-highest.below.value, highest.below.error)
        name = f"{highest.name[:1].upper()}{highest.name[1:]}"
        said.append(
            f"{name}, a {highest.kind}, lies {below} nats above the best estimate, which is therefore too low: anneal "
            "with more temperatures."
        )
    if found.gap.value > LOOSE:
        said.append(
            f"With these settings annealing leaves {found.gap} nats open between its two sides: more temperatures "
            "close them."
        )
    return said


def gradient_table(table: GradientTable, part: str) -> NumbersTable:
    """Return variance and signal-to-noise ratio of every estimator, a column for each number of samples."""
    rows = table.select(part=part)
    counts = sorted({row.num_samples for row in rows})
    cells = {(row.estimator, row.num_samples): f"{row.variance:.2e} ({row.signal_to_noise:.2f})" for row in rows}
    names = dict.fromkeys(row.estimator for row in rows)
    return NumbersTable(
        ("estimator", *(f"L = {count}" for count in counts)),
        tuple((name, *(cells.get((name, count), ABSENT) for count in counts)) for name in names),
    )


def gradient_findings(table: GradientTable) -> list[str]:
    """Say how the score function compares with reparameterisation, and whether any estimator is biased."""
    rows = {(row.estimator, row.num_samples): row for row in table.select(part="encoder")}
    counts = sorted({count for name, count in rows if name == "score function, leave one out"})
    said = []
    if counts:
        count = counts[len(counts) // 2]
        plain, score, left = (
            rows[name, count].variance
            for name in ("reparameterised", "score function", "score function, leave one out")
        )
        if plain > 0:
            said.append(
                f"With L = {count} samples the score function’s gradient of the encoder has {score / plain:,.0f} times "
                f"the variance of the reparameterised one, and {left / plain:,.0f} times with the other samples as its "
                "baseline: it takes so many times the samples to be as steady."
            )
    biased = [row for row in table.rows if row.bias is not None and row.bias > BIASED * (row.bias_error or math.inf)]
    said += [
        f"{row.estimator}, L = {row.num_samples}, {row.part}: its bias of {row.bias:.3g} is more than noise makes."
        for row in biased
    ]
    if not biased and any(row.bias is not None for row in table.rows):
        said.append("No estimator is biased: none is off by more than its noise explains.")
    return said
