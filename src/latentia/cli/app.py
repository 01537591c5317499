"""The commands as they are typed: signatures and help texts; what they do lies in modules imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latentia import __version__
from latentia.cli import completion, rulers
from latentia.cli.commands import (
    Command,
    Device,
    Drop,
    File,
    Group,
    Json,
    Label,
    Out,
    Overwrite,
    Precision,
    Quiet,
    Run,
    Samples,
    Seed,
)
from latentia.cli.console import debug_mode, silence

__all__ = ["app"]

_EXAMPLES = """
[bold]Examples[/bold]

latentia fit vae digits --set latent_dim=2 --out runs/digits

latentia fit vae --help              [dim]# every setting of the estimator[/dim]

latentia evaluate runs/digits --samples 5000

latentia sample runs/digits -n 64 --out samples.png

latentia compare runs/* --out page.html
"""

app = typer.Typer(
    name="latentia",
    cls=Group,
    help="Deep latent-variable generative models you can trust: fit, sample, encode and score log p(x) in nats.",
    epilog=_EXAMPLES,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(cls=Group, help="The data sets known by name, and what is in a file.")
app.add_typer(data_app, name="data")


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="LATENTIA_DEBUG", help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Print the version or the help when no command is given."""
    debug_mode(debug)
    if version:
        typer.echo(f"latentia {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


@app.command(
    cls=Command,
    context_settings={"help_option_names": []},
    epilog="latentia fit vae digits --set latent_dim=2 --set max_epochs=50 --out runs/digits",
)
def fit(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="The estimator; latentia fit NAME --help shows its settings.",
            show_default=False,
            autocompletion=completion.estimators,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="A data set's name, or a path to a file or folder.",
            show_default=False,
            autocompletion=completion.data_names,
        ),
    ] = None,
    assignments: Annotated[
        list[str], typer.Option("--set", metavar="NAME=VALUE", help="A setting of the estimator; repeatable.")
    ] = [],  # noqa: B006 - typer copies it
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings from a .json or .toml file.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run's folder.", show_default="runs/DATA-NAME")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on exactly where the run in --out stopped.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --resume: also with other versions, device or threads than before.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")] = False,
    seed: Annotated[
        int, typer.Option(metavar="SEED", min=0, max=2**32 - 1, help="Of initialisation, order and noise.")
    ] = 0,
    split_seed: Annotated[
        int,
        typer.Option(
            metavar="SEED", min=0, max=2**32 - 1, help="Of the 80/10/10 split, for data that come without one."
        ),
    ] = 0,
    device: Device = None,
    num_seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds", metavar="N", min=1, max=10_000, help="Fit this many seeds as processes of one thread each."
        ),
    ] = None,
    label: Label = None,
    drop: Drop = [],  # noqa: B006
    support: Annotated[
        str | None, typer.Option(metavar="KIND", help="binary, levels:K, unit, real, positive or categories:K.")
    ] = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html.")] = True,
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Fit independent pixels and PPCA for the table.")
    ] = True,
    beat_baseline: Annotated[
        float | None,
        typer.Option(min=0, metavar="Z", help="Exit 1 unless log p(x) beats independent pixels by Z standard errors."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    show_help: Annotated[bool, typer.Option("--help", "-h", help="Show this, and the settings of NAME.")] = False,
) -> int:
    """Fit an estimator to data, evaluate it on the test split and write a report."""
    silence(quiet)
    if show_help:
        from latentia.cli import helping

        typer.echo(context.get_help())
        return helping.show_estimator(name) if name else helping.list_estimators()

    from latentia.cli import fitting

    request = fitting.Request(
        name=name or "",
        data=data or "",
        assignments=tuple(assignments),
        config=config,
        out=out,
        resume=resume,
        force=force,
        overwrite=overwrite,
        seed=seed,
        split_seed=split_seed,
        device=device,
        label=label,
        drop=tuple(drop),
        support=support,
        report=report,
        baselines=baselines,
        beat_baseline=beat_baseline,
        json=json,
        quiet=quiet,
    )
    return fitting.fit(request, num_seeds=num_seeds)


@app.command(cls=Command, epilog="latentia evaluate runs/digits --samples 5000")
def evaluate(
    run: Run,
    samples: Samples = None,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Other data: a name (its test split) or a path (all its rows).")
    ] = None,
    label: Label = None,
    drop: Drop = [],  # noqa: B006
    device: Device = None,
    precision: Annotated[
        Precision, typer.Option(help="Of the decoder's products; bfloat16 is faster, and off by about 0.03 nats a row.")
    ] = Precision.FLOAT32,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Print log p(x) in nats with its standard error, bits/dim and active units, on the test split."""
    from latentia.cli import scoring

    silence(quiet)
    return scoring.evaluate(run, samples, data, label, tuple(drop), device, precision.value, json=json)


app.command(cls=Command, epilog="latentia diagnose runs/digits -n 50 --out diagnosis")(rulers.diagnose)
app.command(cls=Command, epilog="latentia gradients --fresh vae digits --out gradients")(rulers.gradients)


@app.command(cls=Command, epilog="latentia sample runs/digits -n 64 --out samples.png")
def sample(
    run: Run,
    out: Annotated[Path, typer.Option(metavar="FILE", help=".npy, .csv, or .png for images.", show_default=False)],
    count: Annotated[int, typer.Option("--number", "-n", metavar="N", min=1, help="How many samples.")] = 64,
    seed: Seed = 0,
    device: Device = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Draw samples into an array file (in chunks, so any number fits) or a picture."""
    from latentia.cli import arrays

    silence(quiet)
    return arrays.sample(run, out, count, seed, device, overwrite=overwrite, json=json)


def _array_verb(verb: str, summary: str, example: str) -> None:
    def command(
        run: Run,
        file: File,
        out: Out,
        label: Label = None,
        drop: Drop = [],  # noqa: B006
        device: Device = None,
        overwrite: Overwrite = False,
        json: Json = False,
        quiet: Quiet = False,
    ) -> int:
        from latentia.cli import arrays

        silence(quiet)
        return arrays.apply(verb, run, file, out, label, tuple(drop), device, overwrite=overwrite, json=json)

    app.command(verb, cls=Command, help=summary, epilog=example)(command)


_array_verb("encode", "Write the posterior means of rows: one row of latent values each.",
            "latentia encode runs/digits data.npy --out z.npy")  # fmt: skip
_array_verb("decode", "Write the likelihood's means at latent values.",
            "latentia decode runs/digits z.npy --out x.npy")  # fmt: skip
_array_verb("reconstruct", "Write what encoding and decoding make of rows.",
            "latentia reconstruct runs/digits data.npy --out x.npy")  # fmt: skip


@app.command(cls=Command, epilog="latentia score runs/digits data.npy --out log_prob.npy")
def score(
    run: Run,
    file: File,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help=".npy or .csv for one value a row.", show_default="mean only")
    ] = None,
    samples: Samples = None,
    label: Label = None,
    drop: Drop = [],  # noqa: B006
    device: Device = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Score log p(x) of every row in nats: print its mean, and write the values where --out says."""
    from latentia.cli import arrays

    silence(quiet)
    return arrays.score(run, file, out, samples, label, tuple(drop), device, overwrite=overwrite, json=json)


@app.command(cls=Command, epilog="latentia compare runs/* --out page.html")
def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUNS...", help="Folders of fitted models.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="PAGE", help="A page with pictures side by side.", show_default="table only")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Put models side by side: one table by their test evaluations, and one page of pictures."""
    from latentia.cli import comparing

    silence(quiet)
    return comparing.compare(runs, out, overwrite=overwrite, json=json)


@app.command(cls=Command, epilog="latentia report runs/digits --out page.html")
def report(
    run: Run,
    out: Annotated[Path | None, typer.Option(metavar="PAGE", help="The page.", show_default="RUN/report.html")] = None,
    device: Device = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Write the report of a fitted model again."""
    from latentia.cli import reporting

    silence(quiet)
    return reporting.report(run, out, device, json=json)


@app.command(cls=Command, epilog="latentia info runs/digits")
def info(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A model or run folder.", show_default=False)],
    card: Annotated[bool, typer.Option("--card", help="Print the model card.")] = False,
    json: Json = False,
) -> int:
    """Say what a folder holds, without loading the model."""
    from latentia.cli import folders

    return folders.info(path, card=card, json=json)


@app.command(cls=Command, epilog="latentia verify runs/digits")
def verify(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A model, run or checkpoint folder.", show_default=False)
    ],
    json: Json = False,
) -> int:
    """Compare every file of a model and of its checkpoints with size and sha256 of the manifests."""
    from latentia.cli import folders

    return folders.verify(path, json=json)


@app.command(cls=Command)
def doctor(json: Json = False) -> int:
    """Say what this machine offers: versions, threads, GPU, compiler, data, disk. Never fails."""
    from latentia.cli import doctor

    return doctor.doctor(json=json)


@data_app.callback(invoke_without_command=True)
def data_root(context: typer.Context) -> None:
    """Print the help when no command is given."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@data_app.command("list", cls=Command)
def data_list(json: Json = False) -> int:
    """List the data sets known by name, and whether they are here."""
    from latentia.cli import datasets

    return datasets.show_all(json=json)


@data_app.command("info", cls=Command)
def data_info(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A data set's name or a path.",
            show_default=False,
            autocompletion=completion.data_names,
        ),
    ],
    label: Label = None,
    drop: Drop = [],  # noqa: B006
    json: Json = False,
) -> int:
    """Describe a data set: rows, shape, support, classes, licence, split."""
    from latentia.cli import datasets

    return datasets.show(name, label, tuple(drop), json=json)


@app.command(cls=Command, epilog="latentia reproduce static-mnist-vae --out runs/static-mnist-vae")
def reproduce(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The recipe; none lists them.", show_default=False)
    ] = None,
    seeds: Annotated[
        list[int], typer.Option("--seed", metavar="SEED", min=0, max=2**32 - 1, help="Of one fit; repeatable.")
    ] = [0],  # noqa: B006 - typer copies it
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep one run folder a seed here.", show_default="none kept")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the runs in --out.")] = False,
    results: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Add a row to this table of results.", show_default="none")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Run a published result: fit, evaluate on the test split, compare with the expected number."""
    from latentia.cli import reproducing

    silence(quiet)
    if name is None:
        return reproducing.list_recipes(json=json)
    return reproducing.reproduce(name, tuple(seeds), out, results, resume=resume, json=json)
