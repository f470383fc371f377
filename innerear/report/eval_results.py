"""Results as the Hugging Face hub keeps them: files for the repository of a model, and for a benchmark.

A model's repository has scores in `.eval_results/*.yaml`; a data set that is a benchmark names its tasks in
`eval.yaml`, and ranks models by the scores (https://huggingface.co/docs/hub/eval-results). So what ranks no
models here, such as a profile, does not go there. Nothing is sent: commands are made that would open pull
requests.
"""

import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from innerear.models.registry import HubSource, load_spec, model_names, registered_name
from innerear.report.pages import page_of
from innerear.results.audit import headline_audits
from innerear.results.compare import named
from innerear.results.merits import counts, no_merit
from innerear.results.schema import ModelInfo, Result
from innerear.results.store import Store
from innerear.util.errors import InputError
from innerear.util.io import sha256_json, write_bytes
from innerear.util.sanitise import clean, slug
from innerear.util.version import __version__

_OF_A_MODEL = f"""\
# Written by innerear {__version__} in the format of https://huggingface.co/docs/hub/eval-results
# The data set must be a benchmark whose eval.yaml has these task_ids. Left out, as innerear cannot know them:
# dataset.revision (a commit of the data set), source (where the result files are), verifyToken (jobs of the
# hub alone have one).
"""
_OF_A_BENCHMARK = f"""\
# Written by innerear {__version__} in the format of https://huggingface.co/docs/hub/eval-results
# The hub takes it once its list of frameworks has innerear (packages/tasks/src/eval.ts in huggingface.js)
# and its list of benchmarks has the data set. Left out, as the data set decides them: config and split of the
# tasks. The format has no field for the direction of a score, so the description says it. The tasks:
"""


@dataclass(frozen=True)
class Prepared:
    """Files that were written, commands that would open pull requests with them, and what was left out."""

    paths: tuple[Path, ...]
    commands: tuple[str, ...]
    left_out: tuple[str, ...]


def prepare(store: Store, name: str, dataset: str, folder: Path, repo: str | None = None) -> Prepared:
    """Write the results of a model, and the benchmark of all results in the store, as files for the hub.

    Parameters
    ----------
    name
        A model as results name it, or NAME@HASH where several have one name.
    dataset
        Id of the data set on the hub that is, or will be, the benchmark.
    folder
        Folder to write into.
    repo
        Id of the model on the hub; None for the repository whose weights were measured, if it is known.

    Raises
    ------
    InputError
        If an id cannot be one, the model has no result that ranks models, or its repository is not known.
    """
    _check_id("--dataset", dataset)
    own = named(store, [name])[name]
    model = own[0].model
    if model.kind != "model":
        raise InputError(f"{name}: a control ({model.kind}), and the hub has scores of models alone")
    target = repo or _repository(model)
    _check_id("--repo", target)
    tasks, reasons = _tasks(store)
    scored = [
        result
        for result in own
        if result.score and result.group in tasks and result.headline == tasks[result.group].headline
    ]
    if not scored:
        raise InputError(
            f"{store.folder}: {name} has no score that ranks models, and the hub ranks by scores"
        )
    entries = [_entry(result, dataset) for result in scored]
    which = model.name if registered_name(name) == model.name else f"{model.name}@{model.sha256[:8]}"
    of_model, of_benchmark = folder / "models" / page_of(which), folder / "dataset"
    texts = {
        of_model / ".eval_results" / "innerear.yaml": _OF_A_MODEL
        + _yaml(eval_result_entries_to_yaml(entries)),
        of_benchmark / "eval.yaml": _benchmark(list(tasks.values())),
    }
    for path, text in texts.items():
        write_bytes(path, text.encode())
    return Prepared(
        tuple(texts),
        (
            _command(target, of_model, f"Scores of innerear {__version__}"),
            _command(dataset, of_benchmark, f"Benchmark of innerear {__version__}", "dataset"),
        ),
        tuple(_left_out(result, tasks, reasons) for result in own if result not in scored),
    )


def _check_id(option: str, given: str) -> None:
    try:
        validate_repo_id(given)
    except HFValidationError as error:
        raise InputError(f"{option}: {error}") from error
    if given.count("/") != 1:
        raise InputError(f"{option} {given!r}: not an id of the hub; write OWNER/NAME")


def _repository(model: ModelInfo) -> str:
    """The repository on the hub that has the weights that were measured."""
    if model.source.startswith("hub "):
        return model.source.removeprefix("hub ")
    if model.name in model_names():
        for source in load_spec(model.name).sources:
            if isinstance(source, HubSource) and source.weights_sha256 == model.parts.get("weights"):
                return source.repo
    raise InputError(
        f"{model.name}: the weights that were measured are of no known repository on the hub; "
        "name the model's with --repo OWNER/NAME"
    )


def _tasks(store: Store) -> tuple[dict[tuple[str, ...], Result], dict[tuple[str, ...], str]]:
    """By group of comparable results: one result of a model where they rank models, else why they do not."""
    groups: dict[tuple[str, ...], list[Result]] = defaultdict(list)
    for result in store.load_all():
        groups[result.group].append(result)
    audits = headline_audits(store.folder)
    tasks: dict[tuple[str, ...], Result] = {}
    reasons: dict[tuple[str, ...], str] = {}
    for group, results in sorted(groups.items()):
        reason = no_merit(results, audits)
        scored = (each for each in results if each.model.kind == "model" and each.score)
        if not counts(results, reason):
            reasons[group] = reason or "Not a task that comes with innerear."
        elif first := next(scored, None):
            tasks[group] = first
    return tasks, reasons


def _entry(result: Result, dataset: str) -> EvalResultEntry:
    score = result.score
    assert score is not None
    bounds = "" if score.low is None else f", {result.level:.0%} interval [{score.low:.4f}, {score.high:.4f}]"
    return EvalResultEntry(
        dataset_id=dataset,
        task_id=_task_id(result),
        value=score.value,
        date=result.run.created,
        notes=f"{result.headline} ({score.unit}, {score.direction} is better){bounds}, n = {score.n}; "
        f"innerear {result.environment.innerear}, {result.model.parts.get('dtype', 'float32')}, "
        f"task {result.task.sha256[:12]}, corpus {result.corpus.fingerprint[:12]}, "
        f"model {result.model.sha256[:12]}, result {result.content_sha256[:12]}",
    )


def _task_id(result: Result) -> str:
    """The name of the leaderboard of a group: another selection of clips, seed or corpus has another name."""
    named_by = f"{result.task.id}-v{result.task.version}-{slug(result.corpus.name)}"
    return f"{named_by}-{sha256_json(result.group)[:8]}"


def _benchmark(tasks: Sequence[Result]) -> str:
    """The text of `eval.yaml`; what it has no field for stands in its description, and in comments."""
    lower = [_task_id(result) for result in tasks if result.score and result.score.direction == "lower"]
    better = f"Lower is better in {', '.join(lower)}, and higher elsewhere." if lower else "Higher is better."
    declared = {
        "name": "innerear",
        "description": "Speech recognisers opened up: what they know at each layer, and which part causes "
        f"their errors. {better}",
        "evaluation_framework": "innerear",
        "tasks": [{"id": _task_id(result)} for result in tasks],
    }
    comments = (f"# {_task_id(result)}: {_says(result)}\n" for result in tasks)
    return "".join([_OF_A_BENCHMARK, *comments, _yaml(declared)])


def _says(result: Result) -> str:
    learnt = f", learnt on {result.train_corpus.name}" if result.train_corpus else ""
    title = f"{result.headline}, {result.task.title}, on {result.corpus.name} {result.corpus.version}{learnt}"
    return clean(f"{title} (task {result.task.sha256[:12]}, corpus {result.corpus.fingerprint[:12]})")


def _left_out(
    result: Result, tasks: dict[tuple[str, ...], Result], reasons: dict[tuple[str, ...], str]
) -> str:
    why = reasons.get(result.group) or (
        f"its headline is {result.headline}, and that of the table {tasks[result.group].headline}"
        if result.score
        else f"n/a: {result.reason}"
    )
    return f"{result.task.id} ({result.corpus.name}): {why}"


def _yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110)
    return text


def _command(repo: str, folder: Path, message: str, kind: str = "model") -> str:
    words = ["hf", "upload", repo, str(folder), ".", "--repo-type", kind, "--create-pr", "--commit-message"]
    return shlex.join([*words, message])
