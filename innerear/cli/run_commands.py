"""Commands that measure."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from innerear.cli.console import DataDir, Strict, complain, found_in, names, out, say
from innerear.util.errors import InnerearError

app = typer.Typer()


@app.command()
def run(
    models: Annotated[
        list[str] | None,
        typer.Option(metavar="A,B,…", help="Models: names, folders, hub:owner/name@revision."),
    ] = None,
    tasks: Annotated[
        list[str] | None, typer.Option(metavar="A,B,…", help="Tasks: names, or paths of YAML files.")
    ] = None,
    suite: Annotated[str | None, typer.Option(help="A named set of tasks and models [quick].")] = None,
    full: Annotated[
        bool,
        typer.Option("--full", help="All clips that the suite's tasks name, not its share."),
    ] = False,
    corpus: Annotated[str | None, typer.Option(help="Corpus to test on: a name, or a manifest.")] = None,
    train_corpus: Annotated[
        str | None, typer.Option(help="Corpus to train probes on, where it is another one.")
    ] = None,
    clips_per_speaker: Annotated[int | None, typer.Option(min=1, help="Clips of each speaker.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Clips in all, spread over speakers.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of splits, twins and control labels.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    batch_size: Annotated[int | None, typer.Option(min=1, help="Clips in a forward pass.")] = None,
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("runs"),
    tracking_uri: Annotated[
        str | None,
        typer.Option(help="MLflow server [SQLite in the output folder].", envvar="MLFLOW_TRACKING_URI"),
    ] = None,
    data_dir: DataDir = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what is known.")] = False,
    strict: Strict = False,
) -> None:
    """Measure models on tasks, log and rank them. Without options: the `quick` suite."""
    from innerear.report.leaderboard import tables as make_tables
    from innerear.report.markdown import to_rich
    from innerear.report.plots import layer_curves
    from innerear.results.store import Store
    from innerear.runs import runner

    changes = {
        "corpus": corpus, "train_corpus": train_corpus, "clips_per_speaker": clips_per_speaker,
        "limit": limit, "seed": seed,
    }  # fmt: skip
    wanted = runner.plan(names(models), names(tasks), suite, full, **changes)
    options = runner.Options(
        output, device, batch_size, strict, fresh, data_dir=data_dir, tracking_uri=tracking_uri
    )
    results = runner.run(wanted, options, say, title=" ".join(["innerear", *sys.argv[1:]]))
    store = Store(output)
    groups = {result.group for result in results}
    for table in make_tables(store):
        if table.results[0].group not in groups:
            continue
        out.print(to_rich(table, out.width))
        if not any(result.main for result in table.results):
            continue
        first = table.results[0]
        plot = (
            store.path_of(first).parent / f"layers-{first.task.sha256[:8]}-{first.corpus.fingerprint[:8]}.png"
        )
        layer_curves(table.results, plot)
        out.print(Text(f"layer curves: {plot}"), soft_wrap=True)
    refused = {entry for result in results for entry in result.corpus.refused}
    if refused:
        name, reason = min(refused)
        complain(f"{len(refused)} clips were left out; the first: {name}: {reason}")
    out.print(
        Text(f"results: {output} (`innerear show FILE`, `innerear leaderboard --results {output}`)"),
        soft_wrap=True,
    )


@app.command()
def reproduce(
    results: Annotated[list[Path], typer.Argument(help="Result files, or folders of results.")],
    work: Annotated[
        Path | None, typer.Option(help="Keep what is measured here, and go on there [a temporary folder].")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1, mps [where the result was measured].")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Measure results again from their files alone, and hold old and new against each other."""
    from tempfile import TemporaryDirectory

    from innerear.report.comparisons import reproduced
    from innerear.results.store import read_result
    from innerear.runs.reproduce import reproduce as again

    paths = found_in(results)
    codes = []
    then = [read_result(path) for path in paths]
    with TemporaryDirectory() as folder:
        for at, found in again(then, work or Path(folder), data_dir, device, say):
            codes.append(found.exit_code if isinstance(found, InnerearError) else int(found.off))
            for line in (str(paths[at]), *reproduced(found)):
                out.print(Text(line), soft_wrap=True)
    out.print(f"{codes.count(0)} of {len(paths)} reproduced")
    if any(codes):
        raise typer.Exit(max(codes))


@app.command()
def validate(
    results: Annotated[Path, typer.Option(help="Folder of results, for the expensive checks.")] = Path(
        "results"
    ),
    models: Annotated[
        list[str] | None, typer.Option(metavar="A,B,…", help="Only references to these models.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write the report into this JSON file.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Hold innerear against what others published; exit code 1 if a check fails."""
    from innerear.audit.validation import COLUMNS, LEGEND, cells
    from innerear.audit.validation import validate as check
    from innerear.report.markdown import grid
    from innerear.results.store import Store
    from innerear.util.io import write_json

    found = check(Store(results), data_dir, names(models))
    if output is not None:
        write_json(output, found.model_dump(mode="json"))
    typer.echo(grid(COLUMNS, [cells(finding) for finding in found.findings]))
    typer.echo(f"\n{LEGEND}\n")
    outcomes = [finding.outcome for finding in found.findings]
    counts = (f"{outcomes.count(kind)} {kind}" for kind in dict.fromkeys(["pass", "fail", *outcomes]))
    typer.echo(f"{len(outcomes)} checks: {', '.join(counts)}")
    if found.failed:
        raise typer.Exit(1)


@app.command()
def audit(
    models: Annotated[
        list[str] | None, typer.Option(metavar="A,B,…", help="Models [moonshine-tiny].")
    ] = None,
    tasks: Annotated[
        list[str] | None, typer.Option(metavar="A,B,…", help="Tasks [those of the suite `audit`].")
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of published results.")] = Path("results"),
    work: Annotated[Path, typer.Option(help="Keep what is measured here.")] = Path("runs/audit"),
    output: Annotated[
        Path | None, typer.Option(help="Write the audit here; the leaderboard reads audit.json.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Ask of every headline metric what moves it and what should; exit code 1 if one fails."""
    from innerear.audit.audit import audit as examine
    from innerear.audit.audit_table import COLUMNS, LEGEND, cells, failures
    from innerear.report.markdown import grid
    from innerear.results.store import Store
    from innerear.runs.runner import Options
    from innerear.util.io import write_json

    found = examine(Store(results), Options(work, data_dir=data_dir), names(models), names(tasks), say)
    if output is not None:
        write_json(output, found.model_dump(mode="json"))
    typer.echo(grid(COLUMNS, [cells(metric) for metric in found.metrics]))
    typer.echo(f"\n{LEGEND}\n")
    for line in failures(found):
        typer.echo(f"- {line}")
    if found.failed:
        raise typer.Exit(1)


@app.command()
def doctor() -> None:
    """Tell what is installed, what is reachable, and how fast this machine is."""
    from innerear.runs.doctor import examine

    table = Table("check", "finding", box=None)
    problems = 0
    for finding in examine():
        problems += not finding.good
        table.add_row(finding.name, Text(finding.text, style="" if finding.good else "red"))
    out.print(table)
    if problems:
        raise typer.Exit(1)
