"""Commands on the registries of tasks and corpora."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from innerear.cli.console import AsJson, DataDir, Strict, out, print_error, print_json, print_line
from innerear.util.sanitise import clean
from innerear.util.words import counted

tasks = typer.Typer(no_args_is_help=True, help="List and show standardised tasks.")
corpora = typer.Typer(no_args_is_help=True, help="List, inspect, check, align and render corpora.")


@tasks.command("list")
def tasks_list(as_json: AsJson = False) -> None:
    """List the tasks and the suites of tasks."""
    from innerear.tasks.task import load_task, suites, task_names

    if as_json:
        found = [load_task(name) for name in task_names()]
        print_json(task.model_dump(mode="json") | {"sha256": task.sha256()} for task in found)
        return
    table = Table("task", "version", "question", box=None)
    for name in task_names():
        task = load_task(name)
        table.add_row(name, str(task.version), task.question)
    out.print(table)
    table = Table("suite", "tasks", "description", box=None)
    for name, suite in suites().items():
        table.add_row(name, ", ".join(dict.fromkeys(entry.id for entry in suite.tasks)), suite.description)
    out.print(table)


@tasks.command("show")
def tasks_show(name: str) -> None:
    """Show a task's card."""
    from innerear.tasks.task import card

    out.print(Markdown(card(name)))


@corpora.command("list")
def corpora_list() -> None:
    """List the registered corpora."""
    from innerear.data.registry import corpus_names

    table = Table("corpus", "kind", "description", box=None)
    for entry in corpus_names():
        table.add_row(*entry)
    out.print(table)


@corpora.command("show")
def corpora_show(name: str, data_dir: DataDir = None) -> None:
    """Show the size, licence, source and fingerprint of a corpus."""
    from innerear.data.registry import load_corpus

    corpus = load_corpus(name, data_dir=data_dir)
    seconds = sum(item.duration for item in corpus)
    table = Table("", "", box=None, show_header=False)
    for key, value in {
        "corpus": f"{corpus.name} {corpus.version}",
        "speech": "human" if corpus.human else "synthetic",
        "clips": f"{len(corpus)} ({seconds / 60:.1f} min), {len(corpus.refused)} refused",
        "speakers": str(len(corpus.speakers)),
        "phones": f"{sum(len(item.phones) for item in corpus):,}",
        "licence": corpus.licence,
        "source": corpus.source,
        "fingerprint": corpus.fingerprint(),
    }.items():
        table.add_row(key, Text(clean(value)))
    out.print(table)


@corpora.command("check")
def corpora_check(
    name: str,
    task: Annotated[
        str | None, typer.Option(help="Check only the clips that this task uses, and its split.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Check a corpus before a long run; exit code 1 if there are errors."""
    from innerear.data.check import check
    from innerear.data.registry import load_corpus
    from innerear.data.splits import make_folds
    from innerear.tasks.task import load_task

    corpus, folds = load_corpus(name, data_dir=data_dir), None
    if task is not None:
        chosen = load_task(task)
        corpus = chosen.select(corpus)
        folds = make_folds(corpus, chosen.split) if chosen.split else None
    findings = check(corpus, folds)
    style = {"error": "red", "warning": "yellow", "information": "dim"}
    for finding in findings:
        severity = Text(f"{finding.severity:12}", style=style[finding.severity])
        out.print(severity, Text(clean(f"{finding.kind}: {finding.message}")), soft_wrap=True)
    errors = sum(finding.severity == "error" for finding in findings)
    out.print(
        f"{counted(len(corpus), 'clip')} checked: {counted(errors, 'error')}, "
        f"{counted(len(findings) - errors, 'other finding')}"
    )
    if errors:
        raise typer.Exit(1)


@corpora.command("align")
def corpora_align(
    manifest: Path,
    output: Annotated[Path, typer.Option(help="Manifest to write, with the times (JSONL).")],
    strict: Strict = False,
) -> None:
    """Add word and phone times to a manifest by forced alignment."""
    from innerear.data.align import align
    from innerear.data.manifest import align_manifest

    corpus = align_manifest(manifest, output, align, strict)
    for name, reason in corpus.refused:
        print_error(f"{name}: {reason}")
    print_line(f"{output}: {counted(len(corpus), 'clip')} aligned, {len(corpus.refused)} left out")


_RENDERERS = {
    "innerear-speech": "speech",
    "innerear-words": "words",
    "innerear-pairs": "pairs",
    "innerear-collocations": "collocations",
    "innerear-nonspeech": "nonspeech",
    "innerear-loops": "loops",
}


@corpora.command("render")
def corpora_render(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(_RENDERERS)}.")],
    output: Annotated[Path, typer.Option(help="Folder to write the corpus into.")],
    work: Annotated[
        Path | None,
        typer.Option(help="Folder for downloads and intermediate files.", show_default="the cache"),
    ] = None,
) -> None:
    """Regenerate an embedded corpus, which takes minutes; speech needs `innerear[render]` and npm."""
    from innerear.util.errors import InputError
    from innerear.util.paths import cache_folder

    if name not in _RENDERERS:
        raise InputError(f"{name!r} cannot be rendered; these can: {', '.join(_RENDERERS)}")
    module = import_module(f"innerear.render.{_RENDERERS[name]}")
    print_line(str(module.render(output, work or cache_folder() / "render")))
