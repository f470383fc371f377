"""Citations of a result: BibTeX for innerear, task, model and corpus, and a sentence that states it."""

import re
from collections.abc import Sequence

from innerear.models.registry import load_spec, model_names
from innerear.report.leaderboard import headline_layer
from innerear.report.numbers import interval
from innerear.results.schema import CorpusInfo, Result
from innerear.tasks.registered import registered_task
from innerear.util.sanitise import clean, clean_lines

TITLE = "innerear: a benchmark and reproducibility suite that opens up speech recognisers"


def cite(results: Sequence[Result]) -> str:
    """BibTeX entries without duplicates, and a sentence for each result."""
    entries: dict[str, str] = {}
    for result in results:
        for entry in _entries(result):
            entries.setdefault(entry.partition("\n")[0], entry)  # BibTeX fails on a repeated key
    return "\n\n".join([*entries.values(), *(f"% {clean(sentence(result))}" for result in results)])


def sentence(result: Result) -> str:
    """A sentence with the headline, its interval, the corpus and the hashes."""
    task, score = result.task, result.score
    corpus = f"{result.corpus.name} {result.corpus.version} ({result.corpus.items:,} clips, "
    corpus += f"{result.corpus.speakers} speakers or sound sources)"
    protocol = f"innerear {result.environment.innerear}, {task.id} v{task.version}, task {task.sha256[:12]}, "
    protocol += f"corpus {result.corpus.fingerprint[:12]}, result {result.content_sha256[:12]}"
    if score is None:
        return f"{result.model.name} on {corpus}: n/a, {result.reason} ({protocol})."
    unit = {"fraction": "\\%"}.get(score.unit, score.unit)
    layer = f" at {where}," if (where := headline_layer(result)) else ""
    learnt = f", learnt on {result.train_corpus.name}" if result.train_corpus else ""
    return (
        f"{result.model.name} reaches {result.headline.replace('_', ' ')} {interval(score)} {unit}{layer} on "
        f"{corpus}{learnt} (n = {score.n:,}; {result.level:.0%} interval over clusters; {protocol})."
    )


def software(result: Result) -> str:
    """The entry of the innerear that made a result."""
    version = result.environment.innerear
    return _entry(
        "software", f"innerear{version}", author="{The innerear developers}", title=TITLE, version=version,
        year=result.run.created[:4],
    )  # fmt: skip


def _entries(result: Result) -> list[str]:
    entries = [software(result), *_split_entries((registered_task(result.task.spec) or result.task).citation)]
    model = result.model
    registered = model.twin_of or model.name
    if registered in model_names():  # other names, such as hub names, have no registry entry
        entries += _split_entries(load_spec(registered).citation)
    elif model.kind not in ("floor", "method"):
        named = f"{{{model.name}}}"
        entries.append(
            _entry("misc", f"{model.name}-{model.sha256[:8]}",
                   key=named, title=named, howpublished=model.source,
                   note=f"model {model.sha256[:12]}, {model.licence}")
        )  # fmt: skip
    return [*entries, *(_corpus(each) for each in (result.corpus, result.train_corpus) if each)]


def _split_entries(bibtex: str) -> list[str]:
    """The entries of a BibTeX text, without control characters."""
    entries = re.split(r"^(?=@)", clean_lines(bibtex), flags=re.MULTILINE)
    return [entry.strip() for entry in entries if entry.strip()]


def _corpus(corpus: CorpusInfo) -> str:
    return _entry(  # each selection of clips has its own entry
        "misc", f"{corpus.name}-{corpus.fingerprint[:8]}", key=f"{{{corpus.name}}}",
        title=f"{{{corpus.name}}} {corpus.version}", howpublished=corpus.source,
        note=f"{corpus.items} clips, fingerprint {corpus.fingerprint[:12]}, {corpus.licence}",
    )  # fmt: skip


def _entry(kind: str, label: str, **fields: str) -> str:
    """A BibTeX entry whose values cannot end it: their braces are dropped and special characters escaped."""
    lines = [f"  {name} = {{{_tex(value)}}}," for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{re.sub(r'[^A-Za-z0-9.:-]+', '-', label)},", *lines, "}"])


def _tex(value: str) -> str:
    """Escape characters special to TeX; one pair of braces around the whole value is kept."""
    bare = re.sub(r"[{}\\]", "", clean(value))
    safe = re.sub(r"[&%$#_]", r"\\\g<0>", bare)
    safe = safe.replace("^", r"\textasciicircum{}").replace("~", r"\textasciitilde{}")
    return f"{{{safe}}}" if value.startswith("{") and value.endswith("}") else safe
