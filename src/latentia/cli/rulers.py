"""The commands of the rulers as they are typed; what they do lies in modules imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latentia.cli import completion
from latentia.cli.commands import Device, Drop, Json, Label, Overwrite, Quiet, Run, Seed, Where
from latentia.cli.console import silence

__all__ = ["diagnose", "gradients"]

Folder = Annotated[
    Path | None,
    typer.Option("--out", metavar="FOLDER", help="For pictures (.png, .svg) and numbers (.json).", show_default="none"),
]


def diagnose(
    run: Run,
    where: Where = "test",
    count: Annotated[int, typer.Option("--number", "-n", metavar="ROWS", min=2, help="Rows, chosen by a seed.")] = 100,
    samples: Annotated[
        int, typer.Option("--samples", "-K", metavar="K", min=2, help="Importance samples, and draws of the prior.")
    ] = 1000,
    chains: Annotated[int, typer.Option(metavar="C", min=1, help="Chains a row of annealed importance sampling.")] = 8,
    temperatures: Annotated[
        int, typer.Option(metavar="T", min=1, help="Its temperatures: more are tighter, and cost as much more.")
    ] = 200,
    leapfrog_steps: Annotated[int, typer.Option(metavar="L", min=1, help="Leapfrog steps of a move.")] = 10,
    out: Folder = None,
    label: Label = None,
    drop: Drop = [],  # noqa: B006
    device: Device = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Put every ruler to the same rows: what the ELBO lacks, which part loses it, and how sure log p(x) is."""
    from latentia.cli import diagnosing

    silence(quiet)
    return diagnosing.diagnose(
        run,
        where,
        count,
        label,
        tuple(drop),
        device,
        out,
        num_samples=samples,
        num_chains=chains,
        num_temperatures=temperatures,
        num_leapfrog_steps=leapfrog_steps,
        overwrite=overwrite,
        json=json,
    )


def gradients(
    what: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="The folder of a fitted model; with --fresh the name of an estimator.",
            show_default=False,
        ),
    ],
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="With --fresh: a data set's name, or a path to a file or folder.",
            show_default=False,
            autocompletion=completion.data_names,
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="A model with the weights that training begins with.")] = False,
    assignments: Annotated[
        list[str], typer.Option("--set", metavar="NAME=VALUE", help="With --fresh: a setting; repeatable.")
    ] = [],  # noqa: B006 - typer copies it
    where: Where = "train",
    count: Annotated[
        int, typer.Option("--number", "-n", metavar="ROWS", min=2, help="Rows of the batch, chosen by a seed.")
    ] = 32,
    samples: Annotated[
        str, typer.Option("--samples", "-L", metavar="L,L,…", help="Samples of z a row and gradient.")
    ] = "1,2,4,8,16",
    repeats: Annotated[int, typer.Option(metavar="R", min=2, help="Gradients of each estimator.")] = 200,
    out: Folder = None,
    seed: Seed = 0,
    split_seed: Annotated[
        int, typer.Option(metavar="SEED", min=0, max=2**32 - 1, help="With --fresh: of data that come without a split.")
    ] = 0,
    support: Annotated[
        str | None, typer.Option(metavar="KIND", help="With --fresh: binary, levels:K, unit, real, positive, …")
    ] = None,
    label: Label = None,
    drop: Drop = [],  # noqa: B006
    device: Device = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Compare estimators of the gradient: variance, signal-to-noise and bias, reparameterised or by the score."""
    from latentia.cli import gradients as measuring

    silence(quiet)
    return measuring.gradients(
        measuring.Request(
            what=what,
            data=data,
            fresh=fresh,
            assignments=tuple(assignments),
            where=where,
            count=count,
            samples=measuring.sample_counts(samples),
            repeats=repeats,
            seed=seed,
            split_seed=split_seed,
            support=support,
            label=label,
            drop=tuple(drop),
            device=device,
            out=out,
            overwrite=overwrite,
            json=json,
        )
    )
