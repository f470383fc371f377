"""The command line. Every command is a thin call of the library; errors become one line and an exit code.

Exit codes: 0 good, 1 a check failed or the run was interrupted, 2 wrong usage or input.
"""

import signal
import sys
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from innerear import __version__
from innerear.errors import InnerearError

app = typer.Typer(
    name="innerear",
    help="Open up speech recognisers: what they know at each layer, and which part causes their errors.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
models = typer.Typer(no_args_is_help=True, help="Registered models.")
tasks = typer.Typer(no_args_is_help=True, help="Standardised tasks.")
corpora = typer.Typer(no_args_is_help=True, help="Corpora: list, inspect, check, align, render.")
for name, group in (("models", models), ("tasks", tasks), ("corpora", corpora)):
    app.add_typer(group, name=name)

# a pipe has no width of its own: give every column of a table room
out, err = Console(width=None if sys.stdout.isatty() else 140), Console(stderr=True)

DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder with human corpora (timit-sample/, ravdess/).", envvar="INNEREAR_DATA"),
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first clip that cannot be used.")]


class _Interrupted(BaseException):
    """Ctrl-C or a termination: not an `Exception`, so that no library swallows it."""


def main() -> NoReturn:
    """Run the command line; the only place that turns errors into exit codes."""

    def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise _Interrupted

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        app()
    except InnerearError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except _Interrupted:
        _complain("interrupted; nothing is half-written, the same command goes on where it stopped")
        sys.exit(1)
    sys.exit(0)


def _complain(message: str) -> None:
    err.print(Text.assemble(("innerear: ", "bold red"), message), soft_wrap=True)


def _say(message: str) -> None:
    err.print(Text(message, style="dim"), soft_wrap=True)


def _split(given: list[str] | None) -> tuple[str, ...]:
    """Names, separated by commas or given one by one; each once."""
    names = (name.strip() for part in given or () for name in part.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"innerear {__version__}")
        raise typer.Exit


@app.callback()
def innerear(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Open up speech recognisers."""


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
    seed: Annotated[int | None, typer.Option(help="Seed of twins, control labels and bootstrap.")] = None,
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
    from innerear import runner
    from innerear.leaderboard.render import to_rich
    from innerear.leaderboard.table import tables as make_tables
    from innerear.plots import layer_curves
    from innerear.store import Store

    changes = {
        "corpus": corpus, "train_corpus": train_corpus, "clips_per_speaker": clips_per_speaker,
        "limit": limit, "seed": seed,
    }  # fmt: skip
    wanted = runner.plan(_split(models), _split(tasks), suite, full, **changes)
    options = runner.Options(output, device, batch_size, strict, fresh, data_dir, tracking_uri)
    results = runner.run(wanted, options, _say, title=" ".join(["innerear", *sys.argv[1:]]))
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
        _complain(f"{len(refused)} clips were left out; the first: {name}: {reason}")
    out.print(
        Text(f"results: {output} (`innerear show FILE`, `innerear leaderboard --results {output}`)"),
        soft_wrap=True,
    )


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
    from innerear.errors import InputError, unknown
    from innerear.leaderboard.export import FORMATS
    from innerear.leaderboard.render import publish
    from innerear.leaderboard.table import tables as make_tables
    from innerear.store import Store

    if form not in FORMATS:
        raise InputError(unknown("format", form, list(FORMATS)))
    if output is not None:
        out.print(Text(str(publish(_filled(Store(output))))))
        return
    typer.echo(FORMATS[form](make_tables(_filled(Store(results)))), nl=False)


@app.command()
def site(
    results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("runs"),
    output: Annotated[Path, typer.Option(help="Folder of the pages.")] = Path("site"),
) -> None:
    """Build pages of a folder's results: open index.html, no server needed."""
    from innerear.leaderboard.site import build
    from innerear.store import Store

    out.print(Text(str(build(_filled(Store(results)), output))), soft_wrap=True)


@app.command()
def figures(
    results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("runs"),
    output: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path("figures"),
    form: Annotated[str, typer.Option("--format", help="pdf, svg or png.")] = "pdf",
) -> None:
    """Draw all that a folder's results have to show, for a paper: curves, heat maps, the overview."""
    from innerear.leaderboard.gallery import draw_all
    from innerear.store import Store

    made = draw_all(_filled(Store(results)), output, form)
    out.print(Text(f"{len(made)} pictures in {output}"), soft_wrap=True)


@app.command()
def agreement(results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("runs")) -> None:
    """Hold results on synthesised speech against those on human speech, as Markdown."""
    from innerear.errors import InputError
    from innerear.leaderboard.agreement import COLUMNS, orders, pairs
    from innerear.leaderboard.render import grid
    from innerear.store import Store

    found = pairs(_filled(Store(results)))
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
    from innerear.comparison import compare as comparisons
    from innerear.leaderboard.compared import COLUMNS, LEGEND, cells
    from innerear.leaderboard.render import grid
    from innerear.store import Store

    found, refused = comparisons(_filled(Store(results)), models)
    typer.echo(grid(COLUMNS, [cells(each) for each in found]))
    typer.echo("\n" + LEGEND)
    for line in refused:
        _complain(f"not compared: {line}")


def _filled(store: Any) -> Any:
    from innerear.errors import InputError

    if not store.paths():
        raise InputError(f"{store.folder}: no results here; `innerear run` makes some")
    return store


def _found(named: list[Path]) -> list[Path]:
    """Result files as named, and all that lie in folders of results."""
    from innerear.errors import InputError
    from innerear.verification import files

    paths = files(named)
    if not paths:
        raise InputError(f"{', '.join(map(str, named))}: no results here; `innerear run` makes some")
    return paths


@app.command()
def show(result: Annotated[Path, typer.Argument(help="A result's JSON file.")]) -> None:
    """Tell what a result measured, on what, how sure, and how to repeat it."""
    from innerear.leaderboard.show import show as render
    from innerear.store import read_result

    out.print(render(read_result(result), result))


@app.command()
def verify(
    results: Annotated[list[Path], typer.Argument(help="Result files, or folders of results.")],
) -> None:
    """Check result files without a model: schema, hashes, and that they agree with themselves."""
    from innerear.errors import InputError
    from innerear.verification import verify as problems

    paths = _found(results)
    bad = 0
    for path in paths:
        try:
            found = problems(path)
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


@app.command()
def submit(
    results: Annotated[list[Path], typer.Argument(help="Result files, or folders of results.")],
    into: Annotated[Path, typer.Option(help="Folder of published results, in a clone.")] = Path("results"),
) -> None:
    """Check results and copy them to the published ones, for a pull request."""
    from innerear.store import Store
    from innerear.submission import submit as put

    paths = _found(results)
    made = put(paths, Store(into))
    for line in (*(f"added: {path}" for path in made.added), *(f"refused: {why}" for why in made.refused)):
        out.print(Text(line), soft_wrap=True)
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
    from innerear.pulling import pull as fetch
    from innerear.store import Store

    made = fetch(tracking_uri, Store(output), experiment)
    for line in (*(f"added: {path}" for path in made.added), *(f"refused: {why}" for why in made.refused)):
        out.print(Text(line), soft_wrap=True)
    out.print(f"{len(made.added)} added, {made.known} there already, {len(made.refused)} refused")
    if made.refused:
        raise typer.Exit(1)


@app.command()
def reproduce(
    results: Annotated[list[Path], typer.Argument(help="Result files, or folders of results.")],
    output: Annotated[Path | None, typer.Option(help="Keep the new results in this folder.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Measure results again from their files alone, and hold old and new against each other."""
    from tempfile import TemporaryDirectory

    from innerear.leaderboard.compared import reproduced
    from innerear.reproduction import reproduce as again
    from innerear.store import read_result

    paths = _found(results)
    codes = []
    with TemporaryDirectory() as folder:
        for at, found in again([read_result(path) for path in paths], output or Path(folder), data_dir, _say):
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
    from innerear._io import write_json
    from innerear.leaderboard.render import grid
    from innerear.store import Store
    from innerear.validating.validate import COLUMNS, LEGEND, cells
    from innerear.validating.validate import validate as check

    found = check(Store(results), data_dir, _split(models))
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
    from innerear._io import write_json
    from innerear.auditing.audit import audit as examine
    from innerear.auditing.table import COLUMNS, LEGEND, cells, failures
    from innerear.leaderboard.render import grid
    from innerear.runner import Options
    from innerear.store import Store

    found = examine(Store(results), Options(work, data_dir=data_dir), _split(models), _split(tasks), _say)
    if output is not None:
        write_json(output, found.model_dump(mode="json"))
    typer.echo(grid(COLUMNS, [cells(metric) for metric in found.metrics]))
    typer.echo(f"\n{LEGEND}\n")
    for line in failures(found):
        typer.echo(f"- {line}")
    if found.failed:
        raise typer.Exit(1)


@app.command()
def cite(results: Annotated[list[Path], typer.Argument(help="Result files.")]) -> None:
    """BibTeX for a result: innerear, task, model, corpus, and a sentence that states it."""
    from innerear.citing import cite as entries
    from innerear.store import read_result

    typer.echo(entries([read_result(path) for path in results]))


@app.command()
def doctor() -> None:
    """Tell what is installed, what is reachable, and how fast this machine is."""
    from innerear.doctor import examine

    table = Table("check", "finding", box=None)
    problems = 0
    for finding in examine():
        problems += not finding.good
        table.add_row(finding.name, Text(finding.text, style="" if finding.good else "red"))
    out.print(table)
    if problems:
        raise typer.Exit(1)


@models.command("list")
def models_list() -> None:
    """List the registered models."""
    from innerear.models.registry import load_spec, model_names

    table = Table("model", "family", "parameters", "licence", "sources", box=None)
    for name in model_names():
        spec = load_spec(name)
        size = f"{spec.parameters / 1e6:.0f} M"
        table.add_row(
            name, spec.family, size, spec.licence, ", ".join(source.kind for source in spec.sources)
        )
    out.print(table)


@models.command("show")
def models_show(name: str) -> None:
    """Show what is registered of a model, as YAML."""
    import yaml

    from innerear.models.registry import load_spec

    spec = load_spec(name).model_dump(mode="json")
    typer.echo(yaml.safe_dump(spec, sort_keys=False, allow_unicode=True, width=100))


@models.command("fetch")
def models_fetch(name: str) -> None:
    """Fetch a model's weights and verify them."""
    from innerear.models.registry import load_spec
    from innerear.models.weights import fetch

    found = fetch(load_spec(name))
    out.print(Text(f"{name}: {found.folder}"), soft_wrap=True)
    out.print(Text(f"from {found.source}, weights {found.weights_sha256[:12]}"), soft_wrap=True)


@tasks.command("list")
def tasks_list() -> None:
    """List the tasks, and the suites made of them."""
    from innerear.tasks import load_task, suites, task_names

    table = Table("task", "version", "question", box=None)
    for name in task_names():
        task = load_task(name)
        table.add_row(name, str(task.version), task.question)
    out.print(table)
    table = Table("suite", "tasks", "", box=None)
    for name, suite in suites().items():
        table.add_row(name, ", ".join(dict.fromkeys(entry.id for entry in suite.tasks)), suite.description)
    out.print(table)


@tasks.command("show")
def tasks_show(name: str) -> None:
    """Show a task's card."""
    from innerear.tasks import card

    out.print(Markdown(card(name)))


@corpora.command("list")
def corpora_list() -> None:
    """List the corpora that are known by name."""
    from innerear.corpora.registry import corpus_names

    table = Table("corpus", "kind", "what it is", box=None)
    for entry in corpus_names():
        table.add_row(*entry)
    out.print(table)


@corpora.command("show")
def corpora_show(name: str, data_dir: DataDir = None) -> None:
    """Show what a corpus holds."""
    from innerear.corpora.registry import load_corpus

    corpus = load_corpus(name, data_dir=data_dir)
    seconds = sum(item.duration for item in corpus)
    table = Table("", "", box=None, show_header=False)
    for key, value in {
        "corpus": f"{corpus.name} {corpus.version}",
        "speech": "human" if corpus.human else "synthesised",
        "clips": f"{len(corpus)} ({seconds / 60:.1f} min), {len(corpus.refused)} refused",
        "speakers": str(len(corpus.speakers)),
        "phones": f"{sum(len(item.phones) for item in corpus):,}",
        "licence": corpus.licence,
        "source": corpus.source,
        "fingerprint": corpus.fingerprint(),
    }.items():
        table.add_row(key, Text(value))
    out.print(table)


@corpora.command("check")
def corpora_check(
    name: str,
    task: Annotated[str | None, typer.Option(help="Check the clips and the split of this task.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Tell what is wrong with a corpus before it costs a night; exit code 1 if there are errors."""
    from innerear.corpora.check import check
    from innerear.corpora.registry import load_corpus
    from innerear.splits import make_folds
    from innerear.tasks import load_task

    corpus, folds = load_corpus(name, data_dir=data_dir), None
    if task is not None:
        asking = load_task(task)
        corpus = asking.select(corpus)
        folds = make_folds(corpus, asking.split) if asking.split else None
    findings = check(corpus, folds)
    style = {"error": "red", "warning": "yellow", "information": "dim"}
    for finding in findings:
        severity = Text(f"{finding.severity:12}", style=style[finding.severity])
        out.print(severity, Text(f"{finding.kind}: {finding.message}"), soft_wrap=True)
    errors = sum(finding.severity == "error" for finding in findings)
    out.print(f"{len(corpus)} clips checked: {errors} errors, {len(findings) - errors} other findings")
    if errors:
        raise typer.Exit(1)


@corpora.command("align")
def corpora_align(
    manifest: Path,
    output: Annotated[Path, typer.Option(help="The manifest to write, JSONL.")],
    strict: Strict = False,
) -> None:
    """Find word and phone times of a manifest's clips by forced alignment."""
    from innerear.corpora.align import align
    from innerear.corpora.manifest import align_manifest

    corpus = align_manifest(manifest, output, align, strict)
    for name, reason in corpus.refused:
        _complain(f"{name}: {reason}")
    out.print(Text(f"{output}: {len(corpus)} clips aligned, {len(corpus.refused)} left out"))


_RENDERERS = {
    "innerear-speech": "render",
    "innerear-words": "words",
    "innerear-pairs": "pairs",
    "innerear-nonspeech": "nonspeech",
    "innerear-loops": "loops",
}


@corpora.command("render")
def corpora_render(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(_RENDERERS)}.")],
    output: Annotated[Path, typer.Option(help="Folder for the rendered corpus.")],
    work: Annotated[Path | None, typer.Option(help="Folder for what is fetched [the cache].")] = None,
) -> None:
    """Render an embedded corpus again, in minutes; spoken ones need `innerear[render]` and npm."""
    from innerear._paths import cache_folder
    from innerear.errors import InputError

    if name not in _RENDERERS:
        raise InputError(f"{name!r} cannot be rendered; these can: {', '.join(_RENDERERS)}")
    module = import_module(f"innerear.corpora.{_RENDERERS[name]}")
    out.print(Text(str(module.render(output, work or cache_folder() / "render"))))
