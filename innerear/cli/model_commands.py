"""Commands on the registry of models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from innerear.cli.console import AsJson, out, print_error, print_json, print_line
from innerear.util.sanitise import clean

if TYPE_CHECKING:
    from innerear.models.registry import ModelSpec, Source

app = typer.Typer(no_args_is_help=True, help="List, show, fetch, check, pin and add models.")


@app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """List the registered models, and how many of the tasks apply to each."""
    from innerear.models.registry import load_spec, model_names
    from innerear.tasks.applicable import applicable_tasks

    specs = [load_spec(name) for name in model_names()]
    if as_json:
        print_json(
            {
                **spec.model_dump(mode="json"),
                "kind": spec.capabilities.described,
                "tasks": [task for task, why in applicable_tasks(spec.capabilities).items() if why is None],
            }
            for spec in specs
        )
        return
    table = Table(box=None)
    table.add_column("model", no_wrap=True)
    for column in ("kind", "parameters", "languages", "licence", "tasks", "sources"):
        table.add_column(column)
    for spec in specs:
        reasons = applicable_tasks(spec.capabilities).values()
        table.add_row(
            spec.name,
            spec.capabilities.described,
            f"{spec.parameters / 1e6:,.0f} M{_doubt(spec, 'parameters')}" if spec.parameters else "not known",
            f"{_few(spec.languages)}{_doubt(spec, 'languages')}",
            f"{spec.licence}{_doubt(spec, 'licence')}",
            f"{sum(reason is None for reason in reasons)} of {len(reasons)}",
            ", ".join(dict.fromkeys(_source(source) for source in spec.sources)),
        )
    out.print(table)
    kinds = {spec.capabilities.described for spec in specs if spec.trained}
    print_line(
        f"{len(specs)} models of {len(kinds)} kinds; `innerear models show` says why a task does not apply"
    )
    if any(spec.unverified for spec in specs):
        print_line("?: from the literature, not verified · no commit: `innerear models pin` states it")


@app.command("show")
def models_show(name: str) -> None:
    """Print a model's registry entry as YAML, and the tasks that do not apply to it."""
    from innerear.models.registry import load_spec, model_names
    from innerear.tasks.applicable import applicable_tasks
    from innerear.util.yaml import dump_yaml

    spec = load_spec(name)
    typer.echo(dump_yaml(spec.model_dump(mode="json", exclude_defaults=True)), nl=False)
    if name not in model_names():
        return
    reasons = applicable_tasks(spec.capabilities)
    typer.echo(
        f"# {spec.capabilities.described}: {list(reasons.values()).count(None)} of {len(reasons)} tasks"
    )
    for reason in dict.fromkeys(filter(None, reasons.values())):
        without = ", ".join(task for task, why in reasons.items() if why == reason)
        typer.echo(f"# not {without}: {reason}")


@app.command("fetch")
def models_fetch(name: str) -> None:
    """Download a model's weights and verify their hash."""
    from innerear.models.registry import load_spec
    from innerear.models.weights import fetch
    from innerear.util.errors import InputError

    spec = load_spec(name)
    if not spec.trained:
        raise InputError(f"{spec.name} is an architecture alone: it has no weights to fetch")
    fetched = fetch(spec)
    print_line(f"{name}: {fetched.folder}")
    print_line(f"from {fetched.source}, weights_sha256 {fetched.weights_sha256}")


@app.command("check")
def models_check(
    name: str,
    device: Annotated[str, typer.Option(help="Where the model runs: cpu, cuda, cuda:1, mps.")] = "cpu",
) -> None:
    """Hold a model's weights against the contract that every architecture keeps; exit code 1 if one falls."""
    from innerear.audit.model_check import check_model
    from innerear.models.registry import load_spec

    table = Table("check", "held", "difference", "reason", box=None)
    fallen = applied = 0
    for check, outcome in check_model(load_spec(name), device):
        fallen += outcome.held is False
        applied += outcome.held is not None
        seen = "" if outcome.difference is None else f"{outcome.difference:.2g}"
        table.add_row(check, _HELD[outcome.held], seen, Text(clean(outcome.reason)))
    out.print(table)
    print_line(f"{name}: {applied - fallen} of {applied} checks held")
    if fallen:
        raise typer.Exit(1)


@app.command("pin")
def models_pin(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Registered names or YAML files.", show_default="all that need it"),
    ] = None,
) -> None:
    """Write commits of the hub into registry files that state none, or a pull request."""
    from innerear.models.registry_files import pin, spec_files
    from innerear.util.downloads import Unreachable
    from innerear.util.errors import InputError

    failed = False
    for path in spec_files(names or ()):
        try:
            pinned = pin(path)
            for repo, commit in pinned:
                print_line(f"{path}: {repo} at {commit}")
            if not pinned:
                print_line(f"{path}: nothing to pin")
        except Unreachable:
            raise
        except InputError as error:
            print_error(str(error))
            failed = True
    if failed:
        raise typer.Exit(InputError.exit_code)


@app.command("add")
def models_add(
    model: Annotated[str, typer.Argument(help="A repository of the hub (owner/name) or a folder.")],
    output: Annotated[
        Path | None, typer.Option(help="File to write.", show_default="NAME.yaml in this folder")
    ] = None,
) -> None:
    """Write a registry file from a model's configuration and model card; nothing is guessed."""
    from innerear.models.registration import registration
    from innerear.models.registry_files import write_spec

    made = registration(model)
    path = output or Path(f"{made.name}.yaml")
    write_spec(path, made.text)
    print_line(f"{path} is written; `innerear models check {path}` tries the weights")
    for fact in made.open:
        print_line(f"{path}: {fact}")


_HELD = {True: "yes", False: "no", None: "n/a"}


def _source(source: "Source") -> str:
    return source.kind if source.pinned else f"{source.kind}, no commit"


def _doubt(spec: "ModelSpec", fact: str) -> str:
    """A mark behind a fact that nobody verified."""
    return " ?" if fact in spec.unverified else ""


def _few(languages: tuple[str, ...]) -> str:
    """Languages by their codes, or how many there are."""
    return ", ".join(languages) if len(languages) <= 3 else f"{len(languages)} languages"
