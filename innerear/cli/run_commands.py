"""Commands that run models: run, reproduce, validate, audit; and doctor."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from innerear.cli.console import (
    DataDir,
    Strict,
    complete_models,
    complete_tasks,
    out,
    print_error,
    print_line,
    print_status,
    result_files,
    split_names,
)
from innerear.cli.dry_run import print_estimate
from innerear.cli.json_log import LogJson
from innerear.util.errors import InnerearError, InputError
from innerear.util.sanitise import clean
from innerear.util.words import counted

if TYPE_CHECKING:
    from innerear.results.schema import Result
    from innerear.runs.failures import Failure
    from innerear.tasks.task import Task
    from innerear.util.executors import Executor

app = typer.Typer()


@app.command()
def run(
    models: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B,…",
            help="Models: names, folders, or hub:owner/name@revision.",
            autocompletion=complete_models,
        ),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B,…",
            help="Tasks: names, or paths to YAML files; with --suite, some of its.",
            autocompletion=complete_tasks,
        ),
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="A named set of tasks and models.", show_default="the suite quick")
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Use all clips of the suite's tasks instead of the suite's smaller selection."
        ),
    ] = False,
    corpus: Annotated[
        str | None, typer.Option(help="Corpus to test on: a name, or a path to a manifest.")
    ] = None,
    train_corpus: Annotated[
        str | None, typer.Option(help="Corpus to train probes on, if not the test corpus.")
    ] = None,
    clips_per_speaker: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of clips per speaker.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of clips in all, spread over speakers.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of splits, random twins and control labels.")] = None,
    device: Annotated[
        str,
        typer.Option(help="Device: cpu, cuda, cuda:1, mps, or auto: all GPUs, or the CPU if there is none."),
    ] = "cpu",
    dtype: Annotated[
        str,
        typer.Option(
            metavar="TYPE",
            help="Type of the numbers of models: float32, bfloat16 or float16. Part of their hash.",
        ),
    ] = "float32",
    batch_size: Annotated[int | None, typer.Option(min=1, help="Clips per forward pass.")] = None,
    output: Annotated[Path, typer.Option(help="Folder to write the results into.")] = Path("runs"),
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            help="MLflow server to log to.", envvar="MLFLOW_TRACKING_URI", show_default="SQLite in --output"
        ),
    ] = None,
    data_dir: DataDir = None,
    executor: Annotated[
        str, typer.Option(help="Who measures: processes of this machine, or ray: the nodes of a Ray cluster.")
    ] = "processes",
    address: Annotated[
        str | None,
        typer.Option(
            help="Ray cluster: auto or HOST:PORT.",
            show_default="RAY_ADDRESS, one on this machine, or a new one",
        ),
    ] = None,
    cpus: Annotated[
        int | None,
        typer.Option(
            min=1, help="On Ray: CPUs of a pass of a model.", show_default="as many as threads here"
        ),
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option(
            min=0, help="On Ray: GPUs of a pass; 0.25: four passes share one.", show_default="1 on cuda"
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Measure again even if the results or the cache have it.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print what it would take (clips, hours, disk, time, downloads), and do nothing.",
        ),
    ] = False,
    strict: Strict = False,
    log_json: LogJson = None,
) -> None:
    """Run models on tasks, store and log the results, and print the tables. Default: the suite `quick`.

    The exit code is 1 if a model, or a task on a model, could not be measured, or a result not be logged.
    """
    from innerear.runs import plans

    changes = {
        "corpus": corpus, "train_corpus": train_corpus, "clips_per_speaker": clips_per_speaker,
        "limit": limit, "seed": seed,
    }  # fmt: skip
    plan = plans.plan(split_names(models), split_names(tasks), suite, full, **changes)
    where = _executor(executor, device, address, cpus, gpus)  # takes seconds: it imports torch

    from innerear.report.chart import save
    from innerear.report.layer_charts import table_chart
    from innerear.report.leaderboard import tables as make_tables
    from innerear.report.markdown import picture_path, to_rich
    from innerear.report.overview import all_looks
    from innerear.results.store import Store
    from innerear.runs import runner
    from innerear.runs.failures import Failure, Incomplete, Untracked

    options = plans.Options(
        output, device, dtype, batch_size, strict, fresh, data_dir=data_dir, tracking_uri=tracking_uri
    )
    if dry_run:
        print_estimate(plan, options)
        return
    failures: list[Failure] = []
    untracked = ""
    try:
        title = " ".join(["innerear", *sys.argv[1:]])
        results = runner.run(plan, options, print_status, title, executor=where)
    except Incomplete as error:
        results, failures = error.results, error.failures
        untracked = str(error) if isinstance(error, Untracked) else ""
    store = Store(output)
    groups = {result.group for result in results}
    shown = make_tables(store)
    looks = all_looks(shown)
    for table in shown:
        if table.results[0].group not in groups:
            continue
        out.print(to_rich(table, out.width))
        if any(result.main for result in table.drawn):
            plot = picture_path(store, table, "layers")
            save(table_chart(table.drawn, looks), plot)
            print_line(f"layer curves: {plot}")
    corpora = [corpus for result in results for corpus in (result.corpus, result.train_corpus) if corpus]
    refused = {entry for corpus in corpora for entry in corpus.refused}
    if refused:
        name, reason = min(refused)
        print_error(f"{counted(len(refused), 'clip', 'was')} left out; the first: {name}: {reason}")
    print_line(f"results: {output} (`innerear show FILE`, `innerear leaderboard --results {output}`)")
    if failures:
        listed = Table("not measured", "why", box=None)
        for part, why in failures:
            listed.add_row(Text(clean(part.name)), Text(clean(why)))
        out.print(listed)
    unknown = len(plan.tasks) > 1 and _print_cells(results, failures, plan.tasks)
    if untracked:
        print_error(untracked)
    if failures or untracked or unknown:
        raise typer.Exit(1)


def _executor(
    name: str, device: str, address: str | None, cpus: int | None, gpus: float | None
) -> "Executor":
    """The executor of this name.

    Raises
    ------
    InputError
        If there is none, or an option does not fit it.
    """
    from innerear.util.executors import PROCESSES
    from innerear.util.ray_cluster import RayCluster, gpus_of_a_pass

    if name == "ray":
        return RayCluster(address, cpus, gpus_of_a_pass(device, gpus), print_status)
    if name != "processes":
        raise InputError(f"no executor {name!r}; there are processes and ray")
    for option, value in (("--address", address), ("--cpus", cpus), ("--gpus", gpus)):
        if value is not None:
            raise InputError(f"{option} is for --executor ray")
    return PROCESSES


def _print_cells(results: "Sequence[Result]", failures: "Sequence[Failure]", tasks: "Sequence[Task]") -> int:
    """Print models by tasks, and the reasons where there is no score; how many cells are unknown."""
    from innerear.report.cells import cells_of, cells_to_rich

    failed = {(part.model, part.task): why for part, why in reversed(failures)}
    made = cells_of(results, failed, tasks)
    for table in cells_to_rich(made, out.width):
        out.print(table)
    print_line(made.summary)
    for at, note in enumerate(made.notes, start=1):
        print_line(f"[{at}] {note}")
    return made.unknown


@app.command()
def reproduce(
    results: Annotated[list[Path], typer.Argument(help="Result files, or folders of results.")],
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder to keep new results in; a second call continues there.",
            show_default="a temporary folder",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Device: cpu, cuda, cuda:1 or mps.", show_default="where the result was measured"),
    ] = None,
    data_dir: DataDir = None,
    log_json: LogJson = None,
) -> None:
    """Measure results again from their files alone, and compare old with new."""
    from tempfile import TemporaryDirectory

    from innerear.report.comparisons import reproduction_lines
    from innerear.results.store import read_result
    from innerear.runs.reproduce import reproduce as measure_again

    paths = result_files(results)
    codes = []
    old = [read_result(path) for path in paths]
    with TemporaryDirectory() as folder:
        for at, outcome in measure_again(old, work or Path(folder), data_dir, device, print_status):
            codes.append(outcome.exit_code if isinstance(outcome, InnerearError) else int(outcome.off))
            for line in (str(paths[at]), *reproduction_lines(outcome)):
                print_line(line)
    out.print(f"{codes.count(0)} of {len(paths)} reproduced")
    if any(codes):
        raise typer.Exit(max(codes))


@app.command()
def validate(
    results: Annotated[Path, typer.Option(help="Folder of results that the expensive checks read.")] = Path(
        "results"
    ),
    models: Annotated[
        list[str] | None, typer.Option(metavar="A,B,…", help="Check only these models.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Also write the report to this JSON file.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Compare innerear's numbers with published ones; exit code 1 if a check fails."""
    from innerear.audit.validation import COLUMNS, cells
    from innerear.audit.validation import validate as check
    from innerear.report.json_reports import READING
    from innerear.report.markdown import grid
    from innerear.results.store import Store
    from innerear.util.io import write_json

    report = check(Store(results), data_dir, split_names(models))
    if output is not None:
        write_json(output, report.model_dump(mode="json"))
    typer.echo(grid(COLUMNS, [cells(finding) for finding in report.findings]))
    typer.echo(f"\n{READING['validation']}\n")
    outcomes = [finding.outcome for finding in report.findings]
    counts = (f"{outcomes.count(kind)} {kind}" for kind in dict.fromkeys(["pass", "fail", *outcomes]))
    typer.echo(f"{len(outcomes)} checks: {', '.join(counts)}")
    if report.failed:
        raise typer.Exit(1)


@app.command()
def audit(
    models: Annotated[
        list[str] | None,
        typer.Option(metavar="A,B,…", help="Models to audit on.", show_default="moonshine-tiny"),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(metavar="A,B,…", help="Tasks to audit.", show_default="those of the suite audit"),
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of published results.")] = Path("results"),
    work: Annotated[Path, typer.Option(help="Folder to keep measurements in.")] = Path("runs/audit"),
    output: Annotated[
        Path | None,
        typer.Option(
            help="Also write the audit to this JSON file, or add it to what is there; the leaderboard reads "
            "results/audit.json."
        ),
    ] = None,
    data_dir: DataDir = None,
    log_json: LogJson = None,
) -> None:
    """Stress-test every headline metric; exit code 1 if one fails."""
    from innerear.audit.audit import audit as run_audit
    from innerear.audit.audit_table import COLUMNS, LEGEND, cells, failures
    from innerear.report.markdown import grid
    from innerear.results.audit import Audit
    from innerear.results.reports import earlier_report
    from innerear.results.store import Store
    from innerear.runs.plans import Options
    from innerear.util.io import write_json

    report, whole = run_audit(
        Store(results),
        Options(work, data_dir=data_dir),
        split_names(models),
        split_names(tasks),
        print_status,
        earlier=earlier_report(output, Audit, "an audit", "innerear audit"),
    )
    if output is not None:
        write_json(output, whole.model_dump(mode="json"))
    typer.echo(grid(COLUMNS, [cells(metric) for metric in report.metrics]))
    typer.echo(f"\n{LEGEND}\n")
    for line in failures(report):
        typer.echo(f"- {line}")
    if report.failed:
        raise typer.Exit(1)


@app.command()
def sensitivity(
    models: Annotated[
        list[str] | None,
        typer.Option(metavar="A,B,…", help="Models to damage.", show_default="moonshine-tiny,whisper-base"),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(metavar="A,B,…", help="Merits to measure.", show_default="all that pass the audit"),
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of published results, with their audit.")] = Path(
        "results"
    ),
    work: Annotated[Path, typer.Option(help="Folder to keep measurements in.")] = Path("runs/audit"),
    damage: Annotated[
        list[str] | None,
        typer.Option(metavar="A,B,…", help="Kinds of damage, as `weight noise`.", show_default="all"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Also write this JSON file, or add to what is there; the leaderboard reads "
            "results/sensitivity.json."
        ),
    ] = None,
    log_json: LogJson = None,
) -> None:
    """Measure the smallest damage, by its cost in WER, that each merit tells apart."""
    from innerear.audit.sensitivity import sensitivity as measure
    from innerear.results.reports import earlier_report
    from innerear.results.sensitivity import Sensitivities
    from innerear.results.store import Store
    from innerear.runs.plans import Options
    from innerear.util.io import write_json

    found, whole = measure(
        Store(results),
        Options(work),
        split_names(models),
        print_status,
        tasks=split_names(tasks),
        kinds=split_names(damage),
        earlier=earlier_report(output, Sensitivities, "the sensitivities", "innerear sensitivity"),
    )
    if output is not None:
        write_json(output, whole.model_dump(mode="json"))
    for merit in found.merits:
        print_line(f"{merit.task} ({merit.corpus}, {merit.headline}): {merit.sentence()}")


@app.command()
def doctor() -> None:
    """Report what is installed, what is reachable, and how fast this machine is."""
    from innerear.runs.doctor import examine

    table = Table("check", "finding", box=None)
    problems = 0
    for finding in examine():
        problems += not finding.good
        table.add_row(finding.name, Text(finding.text, style="" if finding.good else "red"))
    out.print(table)
    if problems:
        raise typer.Exit(1)
