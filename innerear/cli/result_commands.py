"""Commands on results that are there: rank, draw, compare, check, hand on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from innerear.cli.console import complain, filled, found_in, out
from innerear.util.errors import InnerearError

app = typer.Typer()


@app.command()
def leaderboard(
    results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("runs"),
    output: Annotated[
        Path | None, typer.Option(help="Write README.md and plots into this folder of results instead.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="markdown, csv, json, latex or model-card.")
    ] = "markdown",
) -> None:
    """Rank what a folder holds, floors included."""
    from innerear.report.export import FORMATS
    from innerear.report.leaderboard import tables as make_tables
    from innerear.report.markdown import publish
    from innerear.results.store import Store
    from innerear.util.errors import InputError, unknown_name

    if form not in FORMATS:
        raise InputError(unknown_name("format", form, list(FORMATS)))
    if output is not None:
        if form != "markdown" or results not in (Path("runs"), output):
            raise InputError(
                "--output writes README.md and plots into the folder of results that it names; other formats "
                "are printed: leave --output out"
            )
        out.print(Text(str(publish(filled(Store(output))))))
        return
    typer.echo(FORMATS[form](make_tables(filled(Store(results)))), nl=False)


@app.command()
def site(
    results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("runs"),
    output: Annotated[Path, typer.Option(help="Folder of the pages.")] = Path("site"),
) -> None:
    """Build pages of a folder's results: open index.html, no server needed."""
    from innerear.report.site import build
    from innerear.results.store import Store

    out.print(Text(str(build(filled(Store(results)), output))), soft_wrap=True)


@app.command()
def figures(
    results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("runs"),
    output: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path("figures"),
    form: Annotated[str, typer.Option("--format", help="pdf, svg or png.")] = "pdf",
) -> None:
    """Draw all that a folder's results have to show, for a paper: curves, heat maps, the overview."""
    from innerear.report.all_figures import draw_all
    from innerear.results.store import Store

    made = draw_all(filled(Store(results)), output, form)
    out.print(Text(f"{len(made)} pictures in {output}"), soft_wrap=True)


@app.command()
def agreement(results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("runs")) -> None:
    """Hold results on synthesised speech against those on human speech, as Markdown."""
    from innerear.report.agreement import COLUMNS, orders, pairs
    from innerear.report.markdown import grid
    from innerear.results.store import Store
    from innerear.util.errors import InputError

    found = pairs(filled(Store(results)))
    if not found:
        raise InputError(f"{results}: no task has results on both synthesised and human speech")
    typer.echo(grid(COLUMNS, [pair.cells for pair in found]))
    columns = ("task", "order of models, synthesised", "order, human", "the same")
    rows = [(*row[:3], "yes" if row[3] else "no") for row in orders(found)]
    if rows:
        typer.echo("\n" + grid(columns, rows))


@app.command()
def compare(
    models: Annotated[list[str], typer.Argument(help="Two models or more, by name.")],
    results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("runs"),
) -> None:
    """Tell models apart on every task that they share: paired differences, corrected for their number."""
    from innerear.report.comparisons import COLUMNS, LEGEND, cells
    from innerear.report.markdown import grid
    from innerear.results.compare import compare as comparisons
    from innerear.results.store import Store

    found, refused = comparisons(filled(Store(results)), models)
    typer.echo(grid(COLUMNS, [cells(each) for each in found]))
    typer.echo("\n" + LEGEND)
    for line in refused:
        complain(f"not compared: {line}")


@app.command()
def show(result: Annotated[Path, typer.Argument(help="A result's JSON file.")]) -> None:
    """Tell what a result measured, on what, how sure, and how to repeat it."""
    from innerear.report.result_details import show as render
    from innerear.results.store import read_result

    out.print(render(read_result(result), result))


@app.command()
def verify(
    results: Annotated[list[Path], typer.Argument(help="Result files, or folders of results.")],
) -> None:
    """Check result files without a model: schema, hashes, and that they agree with themselves."""
    from innerear.results.verify import verify as problems
    from innerear.util.errors import InputError

    paths = found_in(results)
    bad = 0
    for path in paths:
        try:
            found = problems(path, placed=path not in results)
        except InputError:
            raise
        except InnerearError as error:
            found = [str(error).removeprefix(f"{path}: ")]
        bad += bool(found)
        for line in found:
            out.print(Text(f"{path}: {line}"), soft_wrap=True)
    out.print(f"{len(paths) - bad} of {len(paths)} results are whole and agree with themselves")
    if bad:
        raise typer.Exit(1)


def _list(added: Sequence[object], refused: Sequence[object]) -> None:
    """What was taken, and what was not and why."""
    for line in (*(f"added: {path}" for path in added), *(f"refused: {why}" for why in refused)):
        out.print(Text(line), soft_wrap=True)


@app.command()
def submit(
    results: Annotated[list[Path], typer.Argument(help="Result files, or folders of results.")],
    into: Annotated[Path, typer.Option(help="Folder of published results, in a clone.")] = Path("results"),
) -> None:
    """Check results and copy them to the published ones, for a pull request."""
    from innerear.results.store import Store
    from innerear.runs.submit import submit as put

    paths = found_in(results)
    made = put(paths, Store(into))
    _list(made.added, made.refused)
    out.print(f"{len(made.added)} added, {len(made.known)} there already, of {len(paths)}")
    if made.refused:
        raise typer.Exit(1)


@app.command()
def pull(
    tracking_uri: Annotated[
        str, typer.Option(help="MLflow server to copy from.", envvar="MLFLOW_TRACKING_URI")
    ],
    experiment: Annotated[str | None, typer.Option(help="One experiment only [all].")] = None,
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("runs"),
) -> None:
    """Copy results from an MLflow server into a folder, each checked first."""
    from innerear.results.store import Store
    from innerear.runs.pull import pull as fetch

    made = fetch(tracking_uri, Store(output), experiment)
    _list(made.added, made.refused)
    out.print(f"{len(made.added)} added, {made.known} there already, {len(made.refused)} refused")
    if made.refused:
        raise typer.Exit(1)


@app.command()
def cite(results: Annotated[list[Path], typer.Argument(help="Result files.")]) -> None:
    """BibTeX for a result: innerear, task, model, corpus, and a sentence that states it."""
    from innerear.report.cite import cite as entries
    from innerear.results.store import read_result

    typer.echo(entries([read_result(path) for path in results]))
