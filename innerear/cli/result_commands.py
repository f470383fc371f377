"""Commands on existing results: rank, draw, compare, check, share, cite."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from innerear.cli.console import out, print_error, print_line, result_files, verified_results
from innerear.util.errors import InnerearError

app = typer.Typer()


@app.command()
def leaderboard(
    results: Annotated[Path | None, typer.Option(help="Folder of results.", show_default="runs")] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of results to write README.md and plots into, instead of printing."),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="markdown, csv, json, latex or model-card.")
    ] = "markdown",
) -> None:
    """Print the leaderboard of a folder of results: models, random twins and floors."""
    from innerear.report.export import FORMATS
    from innerear.report.leaderboard import tables as make_tables
    from innerear.report.markdown import publish
    from innerear.util.errors import InputError, unknown_name

    if form not in FORMATS:
        raise InputError(unknown_name("format", form, list(FORMATS)))
    if output is not None:
        if form != "markdown" or results not in (None, output):
            raise InputError(
                "--output writes README.md and plots into the folder of results that it names; other formats "
                "are printed only, without --output"
            )
        with verified_results(output) as store:
            print_line(str(publish(store)))
        return
    with verified_results(results or Path("runs")) as store:
        typer.echo(FORMATS[form](make_tables(store)), nl=False)


@app.command()
def site(
    results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("runs"),
    output: Annotated[Path, typer.Option(help="Folder to write the pages into.")] = Path("site"),
) -> None:
    """Build web pages from a folder of results; open index.html, no server is needed."""
    from innerear.report.site import build

    with verified_results(results) as store:
        print_line(str(build(store, output)))


@app.command()
def figures(
    results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("runs"),
    output: Annotated[Path, typer.Option(help="Folder to write the figures into.")] = Path("figures"),
    form: Annotated[str, typer.Option("--format", help="pdf, svg or png.")] = "pdf",
) -> None:
    """Draw all figures of a folder of results, for a paper: curves, heat maps, the overview."""
    from innerear.report.all_figures import draw_all

    with verified_results(results) as store:
        figures = draw_all(store, output, form)
        print_line(f"{len(figures)} figures in {output}")


@app.command()
def agreement(results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("runs")) -> None:
    """Compare results on synthetic and on human speech; prints Markdown tables."""
    from innerear.report.agreement import COLUMNS, orders, pairs
    from innerear.report.markdown import grid
    from innerear.util.errors import InputError

    with verified_results(results) as store:
        paired = pairs(store)
        if not paired:
            raise InputError(f"{results}: no task has results on both synthetic and human speech")
        typer.echo(grid(COLUMNS, [pair.cells for pair in paired]))
        columns = ("task", "order of models, synthetic", "order, human", "the same")
        rows = [(*row[:3], "yes" if row[3] else "no") for row in orders(paired)]
        if rows:
            typer.echo("\n" + grid(columns, rows))


@app.command()
def compare(
    models: Annotated[
        list[str], typer.Argument(help="Names of two or more models; NAME@HASH where several have one name.")
    ],
    results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("runs"),
    form: Annotated[str, typer.Option("--format", help="markdown or json.")] = "markdown",
) -> None:
    """Compare models on the tasks they share: paired differences, p-values corrected by Holm's method."""
    from innerear.report.comparisons import FORMATS
    from innerear.results.compare import compare as comparisons
    from innerear.util.errors import InputError, unknown_name

    if form not in FORMATS:
        raise InputError(unknown_name("format", form, list(FORMATS)))

    with verified_results(results) as store:
        compared, not_compared = comparisons(store, models)
        typer.echo(FORMATS[form](compared), nl=False)
        for line in not_compared:
            print_error(f"not compared: {line}")


@app.command()
def show(result: Annotated[Path, typer.Argument(help="A result's JSON file.")]) -> None:
    """Show one result: what was measured, on which corpus, how certain it is, and how to repeat it."""
    from innerear.report.result_details import show as render
    from innerear.results.store import read_result

    out.print(render(read_result(result), result))


@app.command()
def verify(
    results: Annotated[list[Path], typer.Argument(help="Result files, or folders of results.")],
) -> None:
    """Check result files without running a model: hashes, consistency, and the registered task and model."""
    from innerear.results.verify import verify as problems
    from innerear.util.errors import InputError

    paths = result_files(results)
    invalid = 0
    for path in paths:
        try:
            lines = problems(path, placed=path not in results)
        except InputError:
            raise
        except InnerearError as error:
            lines = [str(error).removeprefix(f"{path}: ")]
        invalid += bool(lines)
        for line in lines:
            print_line(f"{path}: {line}")
    out.print(f"{len(paths) - invalid} of {len(paths)} results are complete and consistent")
    if invalid:
        raise typer.Exit(1)


@app.command()
def migrate(
    results: Annotated[Path, typer.Argument(help="Folder of results.")],
) -> None:
    """Make results of schema 3 readable: numbers stay as they are, hashes and file names are made anew."""
    from innerear.results.store import Store
    from innerear.runs.migrate import migrate as migrate_results

    migrated = migrate_results(Store(results), notify=print_line)
    _print_outcomes((), migrated.refused)
    out.print(f"{len(migrated.results)} migrated, {len(migrated.refused)} refused")
    if migrated.refused:
        raise typer.Exit(1)


def _print_outcomes(added: Sequence[object], refused: Sequence[object]) -> None:
    """Print which results were copied, and which were refused and why."""
    for line in (*(f"added: {path}" for path in added), *(f"refused: {reason}" for reason in refused)):
        print_line(line)


@app.command()
def submit(
    results: Annotated[list[Path], typer.Argument(help="Result files, or folders of results.")],
    into: Annotated[Path, typer.Option(help="Folder of published results in your clone of innerear.")] = Path(
        "results"
    ),
) -> None:
    """Check results and copy them into the published ones, for a pull request."""
    from innerear.results.store import Store
    from innerear.runs.submit import submit as submit_results

    paths = result_files(results)
    submission = submit_results(paths, Store(into))
    _print_outcomes(submission.added, submission.refused)
    out.print(f"{len(submission.added)} of {len(paths)} added, {len(submission.known)} already there")
    if submission.refused:
        raise typer.Exit(1)


@app.command()
def pull(
    tracking_uri: Annotated[
        str, typer.Option(help="MLflow server to copy from.", envvar="MLFLOW_TRACKING_URI")
    ],
    experiment: Annotated[
        str | None, typer.Option(help="Copy from this experiment only.", show_default="all")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder to copy the results into.")] = Path("runs"),
) -> None:
    """Copy results from an MLflow server into a folder, after checking each of them."""
    from innerear.results.store import Store
    from innerear.runs.pull import pull as pull_results

    pulled = pull_results(tracking_uri, Store(output), experiment)
    _print_outcomes(pulled.added, pulled.refused)
    out.print(f"{len(pulled.added)} added, {pulled.known} already there, {len(pulled.refused)} refused")
    if pulled.refused:
        raise typer.Exit(1)


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="Name of a model; NAME@HASH where several have one name.")],
    dataset: Annotated[
        str,
        typer.Option(metavar="OWNER/NAME", help="Data set on the hub that is, or will be, the benchmark."),
    ],
    repo: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER/NAME",
            help="The model on the hub.",
            show_default="the repository of the weights that were measured",
        ),
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("runs"),
    output: Annotated[Path, typer.Option(help="Folder to write the files into.")] = Path("export"),
) -> None:
    """Write a model's scores as files for the Hugging Face hub, and print the commands that would send them.

    `.eval_results/innerear.yaml` is for the model's repository, and `eval.yaml` for a data set that is to be
    a benchmark. Nothing is sent.
    """
    from innerear.report.eval_results import prepare

    with verified_results(results) as store:
        prepared = prepare(store, model, dataset, output, repo)
        for path in prepared.paths:
            print_line(f"written: {path}")
        for line in prepared.left_out:
            print_line(f"left out: {line}")
        for command in prepared.commands:
            print_line(f"opens a pull request, with your token: {command}")


@app.command()
def cite(results: Annotated[list[Path], typer.Argument(help="Result files.")]) -> None:
    """Print BibTeX entries for a result (innerear, task, model, corpus) and a sentence that states it."""
    from innerear.report.cite import cite as entries
    from innerear.results.store import read_result

    typer.echo(entries([read_result(path) for path in results]))
