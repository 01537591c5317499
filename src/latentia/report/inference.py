"""The sections about inference: how the latent space is used, and what the bounds on log p(x) leave open."""

from __future__ import annotations

from latentia.report import page, plots
from latentia.report.diagnosis import parts_of
from latentia.report.plots.health import kl_by_epoch
from latentia.report.sections import Subject
from latentia.report.wording import doubts, information_note, ladder_table, verdict

__all__ = ["bounds", "collapse", "use_of_latent_space"]


def collapse(subject: Subject) -> str:
    """Return the warning that stands above everything else, where the latent space is not used."""
    space = subject.space
    if space is None or space.health.warning is None:
        return ""
    return page.alarm("The latent space is not used.", verdict(space.health))


def use_of_latent_space(subject: Subject) -> str:
    """Return the verdict, what each dimension carried over the epochs, and what the bound is made of."""
    space = subject.space
    if space is None:
        return ""
    parts = parts_of(space.parts)
    drawn = []
    if len(kl_by_epoch(subject.fitted)[0]):
        drawn.append(
            page.figure(
                plots.kl_history(subject.fitted),
                "klhistory",
                "KL per dimension over the epochs",
                "What each latent dimension carried on the training rows; one that falls to zero was given up.",
            )
        )
    which = f"All {parts.n:,}" if parts.n == len(subject.x) else f"The first {parts.n:,} of {len(subject.x):,}"
    drawn.append(
        page.figure(
            plots.elbo_parts(parts),
            "parts",
            "What the ELBO is made of",
            "From the reconstruction down: what z knows of x, how its dimensions hang together, and how each differs "
            f"from the prior. {which} {subject.split_name} rows. {information_note(parts)}",
        )
    )
    bad = space.health.warning is not None
    said = "Not used: what is wrong, and what helps, stands at the top of this page." if bad else verdict(space.health)
    return page.section("Use of the latent space", said, page.figures("two", *drawn))


def bounds(subject: Subject) -> str:
    """Return the ladder of bounds, where somebody has diagnosed the model."""
    found = subject.diagnosis
    if found is None:
        return ""
    ladder = page.figure(
        plots.bound_ladder(found),
        "ladder",
        "The ladder of bounds",
        "Triangles point to where log p(x) lies; an arrow means far outside, grey not to be trusted. Error bars are "
        "two standard errors of the difference to the best estimate on the same rows. Below, rows that the model "
        "itself generates: there log p(x) is known from both sides.",
    )
    gaps = page.figure(
        plots.bound_gaps(found),
        "gaps",
        "What the ELBO lacks",
        "Amortisation: the encoder’s q against the best q of its family, optimised for each row. Approximation: that "
        "best q against p(z | x).",
    )
    said = doubts(found)
    return page.section(
        "Bounds on log p(x)",
        f"Every ruler on {found.rows}: what the ELBO lacks, and which part loses it.",
        page.alarm("To be read with care.", " ".join(said)) if said else "",
        page.figures("two", ladder, gaps),
        page.numbers(ladder_table(found), own=len(found.rungs)),
    )
