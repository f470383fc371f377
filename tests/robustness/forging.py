"""How a published result is made to tell a lie, and sealed again as a forger would.

A forger writes hashes and file names that fit, and where rows are changed also states all the numbers that
the changed rows give (`restated`). Most pretend to be a model of the forger's own (`mine`), of which nothing
is published.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pandas as pd

from innerear.data.registry import load_corpus
from innerear.results.determined import Number, of_all_levels
from innerear.results.recount import recount
from innerear.results.schema import Record, Result
from innerear.results.store import Store, read_items, read_result
from innerear.results.verify import verify
from innerear.tasks.registered import registered_task
from innerear.util.errors import InnerearError
from innerear.util.io import sha256_json

RESULTS = Path(__file__).resolve().parents[2] / "results"

Rows = pd.DataFrame
Forge = Callable[[Result, Rows], tuple[Result, Rows]]


@dataclass(frozen=True)
class Forgery:
    """A lie.

    Attributes
    ----------
    source
        The published result, as `task/corpus/model`.
    forge
        From the result and its rows to the forged ones.
    says
        Part of the line by which `verify` tells it; empty if no file can prove that it is one.
    """

    kind: str
    name: str
    source: str
    forge: Forge
    says: str

    @property
    def expected(self) -> Literal["told", "no file can prove"]:
        """What becomes of it."""
        return "told" if self.says else "no file can prove"


def lines(forgery: Forgery) -> list[str]:
    """What `verify` says of a forgery, which lies alone in a folder."""
    with TemporaryDirectory(prefix="innerear-forgery-") as folder:
        result, items = forgery.forge(*original(forgery.source))
        path = Store(Path(folder)).save(result, None if result.score is None else items)
        try:
            return verify(path)
        except InnerearError as error:
            return [str(error)]


def original(source: str) -> tuple[Result, Rows]:
    """A published result and its rows."""
    result, items = _published(source)
    return result, items.copy()


@cache
def _published(source: str) -> tuple[Result, Rows]:
    found = {path: read_result(path) for path in RESULTS.glob(f"{source}-{'[0-9a-f]' * 10}.json")}
    path = max(found, key=lambda path: found[path].scores[found[path].headline].n)  # of several, the largest
    return found[path], read_items(path, found[path])


# how forgers write


def altered(result: Result, **changes: Any) -> Result:
    """A result with other fields, or other keys of a part, and hashes that fit."""
    fields: dict[str, Any] = {**dict(result), "content_sha256": "", "record_sha256": ""}
    for name, change in changes.items():
        part = fields[name]
        fields[name] = (
            part.model_copy(update=change)
            if isinstance(part, Record) and isinstance(change, dict)
            else change
        )
    return Result(**fields)


def with_task(result: Result, **spec: Any) -> Result:
    """With another specification, hashed; `id` and `version` are stated as there."""
    made = {**result.task.spec, **spec}
    measure = made["measure"]
    assert isinstance(measure, dict)
    named = {"id": made["id"], "version": made["version"], "protocol": measure["protocol"]}
    return altered(result, task={"spec": made, "sha256": sha256_json(made), **named})


def with_model(result: Result, parts: Mapping[str, str] | None = None, **changes: Any) -> Result:
    own = dict(result.model.parts) if parts is None else dict(parts)
    return altered(result, model={**changes, "parts": own, "sha256": sha256_json(own)})


def with_score(result: Result, name: str = "", **changes: Any) -> Result:
    name = name or result.headline
    return altered(result, scores={**result.scores, name: result.scores[name].model_copy(update=changes)})


def mine(result: Result, **changes: Any) -> Result:
    """As of a model that is not registered."""
    parts = {**result.model.parts, "weights": "5" * 64}
    own = {
        "name": "my-model",
        "source": "local folder my-model",
        "licence": "not stated",
        "training_data": [],
    }
    return with_model(result, parts, **{**own, "contaminated": False, **changes})


def restated(result: Result, items: Rows) -> tuple[Result, Rows]:
    """With all the numbers that the rows give."""
    found = recount(result, items)
    for name, number in found.scores.items():
        if name in result.scores:
            result = with_score(result, name, **_stated(number))
    result = with_score(result, n=found.n)
    curves = []
    for curve in result.curves:
        if numbers := found.curves.get(curve.name):
            points = [point.model_copy(update=_stated(numbers[point.site])) for point in curve.points]
            curves.append(curve.model_copy(update={"points": points}))
        else:
            curves.append(curve)
    return altered(result, curves=curves), items


def _stated(number: Number) -> dict[str, float | None]:
    return dict(zip(("value", "low", "high"), number, strict=True))


def on_rows(change: Callable[[Rows], Rows], own: bool = True) -> Forge:
    """Change rows, and state what they give; as of a model of the forger's own, or of the same model."""

    def forge(result: Result, items: Rows) -> tuple[Result, Rows]:
        return restated(mine(result) if own else result, change(items).reset_index(drop=True))

    return forge


def on_result(change: Callable[[Result], Result]) -> Forge:
    """Change the result only."""
    return lambda result, items: (change(result), items)


# sources

WER = "transcription/innerear-speech/whisper-base"
HUMAN_WER = "transcription/timit-sample/whisper-base"
PHONES = "phoneme-probing/innerear-speech/whisper-base"
TWIN = "phoneme-probing/innerear-speech/whisper-base-random"
FLOOR = "phoneme-probing/innerear-speech/log-mel"
HUMAN = "speaker-gender/ravdess/moonshine-tiny"
GENDER = "speaker-gender/innerear-speech/whisper-base"
ABX = "abx/innerear-speech/whisper-tiny.en"
BIAS = "semantic-bias/innerear-pairs/whisper-base"
LOOPS = "repetition/innerear-loops-innerear-speech/whisper-base"
PLANTED = "planted-causes/innerear-speech-innerear-nonspeech-innerear-pairs/zero-ablation"
SPEECH = "speech-detection/innerear-near-speech-innerear-nonspeech-innerear-speech/moonshine-tiny"
INSERTIONS = "hallucination-detection/innerear-hard-clips/whisper-tiny.en"
SILENCED = "mitigation/innerear-nonspeech-innerear-speech/whisper-base"
LENS = "encoder-lens/innerear-speech/whisper-base"
TOKENS = "logit-lens/innerear-speech/whisper-base"
HEADS = "alignment-heads/innerear-speech/moonshine-tiny"
WORDS = "semantic-category/innerear-words/whisper-base"


# changes of rows


def best(items: Rows, share: float = 0.5) -> Rows:
    """The rows with the lowest outcomes."""
    return items.sort_values("outcome", kind="stable")[: round(share * len(items))]


def right(items: Rows) -> Rows:
    """Every prediction right, at every layer."""
    layers = {name: True for name in map(str, items) if name.startswith("correct.")}
    return items.assign(predicted=items["truth"], outcome=1.0, **layers)


def understood(items: Rows) -> Rows:
    """Every clip transcribed without error."""
    none = {"substitutions": 0, "insertions": 0, "deletions": 0, "character_errors": 0, "errors": 0}
    return items.assign(written=items["reference"], outcome=0.0, **none)


def repeated(items: Rows, renamed: bool) -> Rows:
    again = best(items)
    return pd.concat([items, again.assign(unit=again["unit"] + "'") if renamed else again])


def foreign(items: Rows) -> Rows:
    """With rows of clips that the corpus does not have."""
    others = best(items, 0.2)
    return pd.concat(
        [items, others.assign(item="af_nobody-" + others["item"], unit="af_nobody-" + others["unit"])]
    )


def scored(items: Rows) -> Rows:
    """Rows of a transcription whose outcomes and weights are counted anew from the errors that they state."""
    weight, outcome = of_all_levels(
        items["condition"], items["errors"].to_numpy(float), items["words"].to_numpy(float)
    )
    return items.assign(weight=weight, outcome=outcome)


def where(items: Rows, chosen: pd.Series, **values: Any) -> Rows:
    made = items.copy()
    for name, value in values.items():
        made.loc[chosen, name] = value
    return made


def few(result: Result, items: Rows, **corpus: Any) -> tuple[Result, Rows]:
    """As with `--limit 415`, of which nothing is published."""
    made = with_task(mine(result), limit=415)
    task = registered_task(made.task.spec)
    assert task is not None
    chosen = task.select(load_corpus(task.corpus))
    heard = {"items": len(chosen), "fingerprint": chosen.fingerprint()} | corpus
    kept = items[items["item"].isin([item.id for item in chosen]) | ~items["item"].isin(_clips(result))]
    return restated(altered(made, corpus=heard), kept.reset_index(drop=True))


def _clips(result: Result) -> set[str]:
    """Clips of a published result."""
    task = registered_task(result.task.spec)
    assert task is not None
    return {item.id for item in task.select(load_corpus(task.corpus))}


def narrowed(result: Result) -> Result:
    score = result.score
    assert score is not None
    assert score.low is not None
    assert score.high is not None
    return with_score(result, low=(score.low + score.value) / 2, high=(score.high + score.value) / 2)


def raised(result: Result, name: str, by: float, bounds: float = 1.0) -> Result:
    """A curve higher by an amount, its intervals `bounds` times as wide."""
    curves = []
    for curve in result.curves:
        points = [
            point.model_copy(
                update={
                    "value": point.value + by,
                    "low": point.value + by - bounds * (point.value - (point.low or 0.0)),
                    "high": point.value + by + bounds * ((point.high or 1.0) - point.value),
                }
            )
            for point in curve.points
        ]
        curves.append(curve.model_copy(update={"points": points}) if curve.name == name else curve)
    return altered(result, curves=curves)


def less_sure(result: Result, items: Rows) -> tuple[Result, Rows]:
    return restated(with_task(mine(result), confidence=0.51), items)


def unavailable(result: Result) -> Result:
    return altered(
        result,
        status="n/a",
        reason="the decoder wrote nothing",
        scores={},
        curves=[],
        tables={},
        tuned={},
        items=None,
    )


def higher_is_better(result: Result, spec: bool) -> Result:
    made = with_task(result, metric={"name": result.headline, "direction": "higher"}) if spec else result
    return with_score(made, direction="higher")


def hidden(result: Result, items: Rows) -> tuple[Result, Rows]:
    """Bad clips are said to be refused."""
    bad = items.groupby("item")["outcome"].mean().nsmallest(3).index
    refused = [*result.corpus.refused, *((str(name), "silent") for name in sorted(bad))]
    kept = items[~items["item"].isin(bad)].reset_index(drop=True)
    return restated(altered(mine(result), corpus={"refused": refused}), kept)


def invented(result: Result, items: Rows) -> tuple[Result, Rows]:
    """Half of the misheard clips are said to have been heard."""
    good = understood(items)
    heard = np.random.default_rng(0).random(len(items)) < 0.5
    made = items.where(pd.Series(heard), good).astype(items.dtypes)
    return restated(mine(result), made)


def passed_off(result: Result, **changes: Any) -> Result:
    """A random twin as a model: the recipe is gone from its parts."""
    parts = {name: part for name, part in result.model.parts.items() if name != "recipe"}
    return with_model(result, parts, kind="model", name="my-model", twin_of=None, seed=None, **changes)


def others_rows(source: str) -> Forge:
    """The rows and numbers of another model."""
    return lambda result, items: (mine(original(source)[0]), original(source)[1])


def own_method(result: Result, **score: Any) -> Result:
    method = with_model(result, {**result.model.parts, "method": "mine:looking@1"}, name="looking")
    return with_score(method, **score) if score else method


def sure(items: Rows) -> Rows:
    """The pairs of words under fewer names."""
    return items.assign(pair=items["pair"].str[0], speaker=items["pair"].str[0])


def as_twin(result: Result) -> Result:
    parts = {**result.model.parts, "recipe": "random-weights-2"}
    own = {"kind": "twin", "name": f"{result.model.name}-random", "twin_of": result.model.name, "seed": 0}
    return with_model(result, parts, **own, training_data=[])
