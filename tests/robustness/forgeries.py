"""Forgeries: lies that a published result can be made to tell, each sealed again as a forger would.

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
from innerear.results.recount import Number, recount
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


def tried(forgery: Forgery) -> bool:
    """Whether a forgery is told, by a line that says what does not agree."""
    return any((forgery.says or "") in line for line in lines(forgery))


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
SPEECH = "speech-detection/innerear-nonspeech-innerear-speech/moonshine-tiny"
INSERTIONS = "hallucination-detection/innerear-speech/whisper-tiny.en"
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
    made = with_task(result, metric={"name": "wer", "direction": "higher"}) if spec else result
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


FORGERIES: tuple[Forgery, ...] = (
    # the task
    Forgery(
        "task",
        "a tolerance of 1e9",
        WER,
        on_result(lambda r: altered(r, task={"tolerance": 1e9})),
        "its tolerance is 1e+09",
    ),
    Forgery(
        "task",
        "a tolerance of 0.5, of a model of one's own",
        ABX,
        on_result(lambda r: altered(mine(r), task={"tolerance": 0.5})),
        "its tolerance is 0.5",
    ),
    Forgery(
        "task",
        "more errors are better, in task and score",
        WER,
        on_result(lambda r: higher_is_better(mine(r), True)),
        "metric.direction is 'lower', not 'higher'",
    ),
    Forgery(
        "task",
        "more errors are better, in the score",
        WER,
        on_result(lambda r: higher_is_better(mine(r), False)),
        "the direction of wer is higher",
    ),
    Forgery(
        "task",
        "the measure of another task",
        PHONES,
        on_result(lambda r: with_task(mine(r), measure=original(GENDER)[0].task.spec["measure"])),
        "whose measure.protocol is 'phone-probing'",
    ),
    Forgery("task", "intervals at 51 %", PHONES, less_sure, "whose confidence is 0.95, not 0.51"),
    Forgery(
        "task",
        "a version to come",
        GENDER,
        on_result(lambda r: with_task(mine(r), version=99)),
        "it used version 99",
    ),
    Forgery(
        "task",
        "an old version",
        LOOPS,
        on_result(lambda r: with_task(mine(r), version=1)),
        "it used version 1",
    ),
    Forgery(
        "task",
        "speakers of training are tested",
        PHONES,
        on_result(lambda r: with_task(mine(r), split={**r.task.spec["split"], "folds": 2})),
        "whose split.folds is 4, not 2",
    ),
    Forgery(
        "task",
        "only some clips",
        HUMAN_WER,
        on_result(lambda r: with_task(mine(r), only={"gender": "f"})),
        "whose only.gender",
    ),
    Forgery(
        "task",
        "less noise",
        WER,
        on_result(lambda r: with_task(mine(r), noise={"snr": [30], "kinds": ["pink"]})),
        "whose noise.snr is",
    ),
    # the rows
    Forgery("rows", "good rows twice", WER, on_rows(lambda i: repeated(i, False)), "more than once"),
    Forgery(
        "rows",
        "good rows twice under other names",
        WER,
        on_rows(lambda i: repeated(i, True)),
        "(210 such), unlike",
    ),
    Forgery(
        "rows",
        "good phones twice under other names",
        PHONES,
        on_rows(lambda i: repeated(i, True)),
        "(2018 such), unlike",
    ),
    Forgery("rows", "misheard clips dropped", WER, on_rows(lambda i: i[i["errors"] < 2]), "lack af_alloy"),
    Forgery(
        "rows", "missed phones dropped", PHONES, on_rows(lambda i: i[i["outcome"] == 1]), "(399 such), unlike"
    ),
    Forgery(
        "rows",
        "insertions dropped",
        INSERTIONS,
        on_rows(lambda i: i[(i["outcome"] == 1) | (i["truth"] == i["truth"].iloc[0])]),
        "(28 such), unlike",
    ),
    Forgery("rows", "clips that the corpus does not have", WER, on_rows(foreign), "have af_nobody-"),
    Forgery(
        "rows",
        "loops that the corpus does not have",
        LOOPS,
        on_rows(lambda i: i.assign(item="my-" + i["item"], unit="my-" + i["unit"], outcome=1.0)),
        "no unit in common",
    ),
    Forgery(
        "rows",
        "planted models that nobody planted",
        PLANTED,
        lambda r, i: restated(
            own_method(r), i.assign(item="my-" + i["item"], unit="my-" + i["unit"], outcome=1.0)
        ),
        "no unit in common",
    ),
    Forgery(
        "rows",
        "one speaker",
        WER,
        on_rows(lambda i: i.assign(speaker="everyone")),
        "the speaker of af_alloy-own-00 is everyone",
    ),
    Forgery(
        "rows",
        "one voice in gender",
        GENDER,
        on_rows(lambda i: i.assign(speaker="everyone")),
        "the speaker of af_alloy-own-00 is everyone",
    ),
    Forgery(
        "rows",
        "each phone its own speaker",
        PHONES,
        on_rows(lambda i: i.assign(speaker=i["unit"])),
        "but af_alloy in",
    ),
    Forgery(
        "rows",
        "each clip its own speaker",
        HUMAN_WER,
        on_rows(lambda i: i.assign(speaker=i["item"])),
        "but fvmh0 in",
    ),
    Forgery(
        "rows",
        "speakers exchanged",
        SPEECH,
        on_rows(lambda i: i.assign(speaker=i["speaker"].to_numpy()[::-1])),
        "the speaker of noise-00-0",
    ),
    Forgery(
        "rows",
        "each loop its own speaker",
        LOOPS,
        on_rows(lambda i: i.assign(speaker=i["unit"])),
        "the speaker of tones-014",
    ),
    Forgery("rows", "pairs of words merged", BIAS, on_rows(sure), "but bacon-beacon in"),
    Forgery(
        "rows",
        "misheard clips weigh nothing",
        WER,
        on_rows(lambda i: where(i, i["errors"] > 0, weight=0.0, words=0, errors=0, outcome=0.0)),
        "the outcome of",
    ),
    Forgery(
        "rows",
        "clips weigh 1000 times as much",
        WER,
        on_rows(lambda i: i.assign(weight=1000 * i["weight"], words=1000 * i["words"])),
        "is 8000.0, but 8.0 in",
    ),
    Forgery(
        "rows",
        "negative weights",
        WER,
        on_rows(lambda i: where(i, i["errors"] > 3, weight=-1.0, words=-1)),
        "a weight is negative",
    ),
    Forgery(
        "rows",
        "loops resolved 500 %",
        LOOPS,
        lambda r, i: (with_score(mine(r), value=5.0, low=4.0, high=6.0), i.assign(outcome=5.0)),
        "is 5, outside 0 to 1",
    ),
    Forgery(
        "rows",
        "an accuracy of 500 %",
        WORDS,
        lambda r, i: (with_score(mine(r), value=5.0, low=4.0, high=6.0), i.assign(outcome=5.0)),
        "is 5, outside 0 to 1",
    ),
    Forgery(
        "rows",
        "a negative word error rate",
        WER,
        lambda r, i: (
            with_score(mine(r), value=-0.125, low=-0.2, high=-0.1),
            i.assign(outcome=-i["weight"] / 8, errors=-1),
        ),
        "outside 0 to inf",
    ),
    Forgery(
        "rows",
        "more silenced than there is",
        SILENCED,
        lambda r, i: (with_score(mine(r), value=2.0, low=1.5, high=2.5), i.assign(outcome=2.0)),
        "is 2, outside -1 to 1",
    ),
    Forgery(
        "rows",
        "the truth is what was predicted",
        PHONES,
        on_rows(lambda i: right(i.assign(truth=i["predicted"]))),
        "the truth of",
    ),
    Forgery(
        "rows",
        "the truth is exchanged",
        SPEECH,
        on_rows(
            lambda i: i.assign(truth=i["truth"].to_numpy()[::-1], predicted=i["predicted"].to_numpy()[::-1])
        ),
        "the truth of",
    ),
    Forgery("rows", "all in one fold", SPEECH, on_rows(lambda i: i.assign(fold=0)), "the fold of"),
    Forgery(
        "rows",
        "noisy clips are called clean",
        WER,
        on_rows(lambda i: i.assign(condition=i["condition"].to_numpy()[::-1])),
        "the condition of",
    ),
    Forgery(
        "rows",
        "references without the misheard words",
        HUMAN_WER,
        on_rows(lambda i: understood(i.assign(reference=i["written"]))),
        "the reference of",
    ),
    Forgery(
        "rows",
        "errors gone, texts kept",
        WER,
        on_rows(lambda i: i.assign(outcome=0.0, errors=0)),
        "is 0, but the other columns of its row give 2",
    ),
    Forgery(
        "rows",
        "errors of cells gone, those of layers kept",
        ABX,
        on_rows(lambda i: i.assign(outcome=0.0)),
        "the other columns of its row",
    ),
    Forgery(
        "rows", "more triples", ABX, on_rows(lambda i: i.assign(triples=10 * i["triples"])), "the triples of"
    ),
    Forgery(
        "rows",
        "other speakers of X",
        ABX,
        on_rows(lambda i: i.assign(x_speaker=i["x_speaker"].to_numpy()[::-1])),
        "the x_speaker of",
    ),
    Forgery(
        "rows",
        "no bias, odds kept",
        BIAS,
        on_rows(lambda i: i.assign(outcome=0.0)),
        "the other columns of its row",
    ),
    Forgery(
        "rows",
        "early words, layers kept",
        LENS,
        on_rows(lambda i: i.assign(outcome=0.1)),
        "the other columns of its row",
    ),
    Forgery(
        "rows",
        "early tokens, layers kept",
        TOKENS,
        on_rows(lambda i: i.assign(outcome=0.1)),
        "the other columns of its row",
    ),
    Forgery(
        "rows",
        "words at other times",
        HEADS,
        on_rows(lambda i: i.assign(start=i["peak"], outcome=1.0)),
        "the start of",
    ),
    Forgery(
        "rows",
        "those of another model",
        WER,
        others_rows("transcription/innerear-speech/whisper-tiny.en"),
        "are those of whisper-tiny.en",
    ),
    Forgery(
        "rows",
        "those of another model, of phones",
        "phoneme-probing/innerear-speech/moonshine-tiny",
        others_rows(PHONES),
        "are those of whisper-base",
    ),
    Forgery(
        "rows",
        "a registered model hears everything",
        HUMAN_WER,
        on_rows(understood, own=False),
        "the published result of whisper-base has",
    ),
    Forgery(
        "rows",
        "a registered model knows every phone",
        PHONES,
        on_rows(right, own=False),
        "the published result of whisper-base has",
    ),
    Forgery(
        "rows",
        "a registered model is better at loops",
        LOOPS,
        on_rows(lambda i: i.assign(outcome=1.0), own=False),
        "the published result of whisper-base has",
    ),
    Forgery(
        "rows",
        "with --limit, one speaker",
        WER,
        lambda r, i: few(r, i.assign(speaker="everyone")),
        "the speaker of",
    ),
    Forgery(
        "rows", "with --limit, other clips", WER, lambda r, i: few(r, foreign(i)), "is not among the clips"
    ),
    # the numbers
    Forgery(
        "numbers", "a narrower interval", WER, on_result(lambda r: narrowed(mine(r))), "has the interval ["
    ),
    Forgery(
        "numbers",
        "a narrower interval of ABX",
        ABX,
        on_result(lambda r: narrowed(mine(r))),
        "has the interval [",
    ),
    Forgery(
        "numbers",
        "no interval",
        GENDER,
        on_result(lambda r: with_score(mine(r), low=None, high=None)),
        "has the interval none",
    ),
    Forgery(
        "numbers",
        "a better headline",
        PLANTED,
        on_result(lambda r: own_method(r, value=0.99, low=0.98, high=1.0)),
        "but its per-item outcomes give",
    ),
    Forgery(
        "numbers",
        "fewer errors in noise",
        WER,
        on_result(lambda r: with_score(mine(r), "wer_10db", value=0.01, low=0.005, high=0.02)),
        "wer_10db = 0.01, but",
    ),
    Forgery(
        "numbers",
        "a better curve",
        PHONES,
        on_result(lambda r: raised(mine(r), "probe", 0.03)),
        "the curve probe at encoder.0 = ",
    ),
    Forgery(
        "numbers",
        "narrower intervals of a curve",
        PHONES,
        on_result(lambda r: raised(mine(r), "probe", 0.0, 0.3)),
        "the curve probe at encoder.0 has the interval",
    ),
    Forgery(
        "numbers",
        "a better curve of ABX",
        ABX,
        on_result(lambda r: raised(mine(r), "across", -0.05)),
        "the curve across at encoder.0",
    ),
    Forgery(
        "numbers",
        "more units",
        PHONES,
        on_result(lambda r: with_score(mine(r), n=100_000)),
        "is over n = 100000",
    ),
    Forgery(
        "numbers",
        "a lower majority",
        GENDER,
        on_result(lambda r: with_score(mine(r), "majority", value=0.2, low=0.1, high=0.3)),
        "is published for every model",
    ),
    Forgery(
        "numbers",
        "a registered model is more selective",
        PHONES,
        on_result(lambda r: with_score(r, "selectivity", value=0.95, low=0.94, high=0.96)),
        "selectivity = 0.95",
    ),
    Forgery(
        "numbers", "another headline", WER, on_result(lambda r: altered(mine(r), headline="cer")), "cer = "
    ),
    Forgery(
        "numbers",
        "a cost without a column",
        LOOPS,
        on_result(lambda r: with_score(mine(r), "delta_wer", column="")),
        "the column of delta_wer",
    ),
    # the model
    Forgery(
        "model",
        "a registered name with other weights",
        WER,
        on_result(lambda r: with_model(r, {**r.model.parts, "weights": "5" * 64})),
        "which are not the registered ones",
    ),
    Forgery(
        "model",
        "a registered name with another decoding",
        WER,
        on_result(lambda r: with_model(r, {**r.model.parts, "generation": "5" * 64})),
        "the generation of whisper-base",
    ),
    Forgery(
        "model",
        "numbers of float32 said to be bfloat16",
        BIAS,
        on_result(lambda r: with_model(r, {**r.model.parts, "dtype": "bfloat16"})),
        "said to be in bfloat16, but those of float32",
    ),
    Forgery(
        "model",
        "words of float32 said to be bfloat16",
        WER,
        on_result(lambda r: with_model(r, {**r.model.parts, "dtype": "bfloat16"})),
        "",
    ),
    Forgery(
        "model",
        "not trained on the corpus",
        HUMAN,
        on_result(lambda r: altered(r, model={"contaminated": False})),
        "trained on ravdess: no, but unknown",
    ),
    Forgery(
        "model",
        "nothing known of its training",
        HUMAN,
        on_result(lambda r: altered(r, model={"contaminated": False, "training_data": []})),
        "says it was trained on nothing",
    ),
    Forgery(
        "model",
        "of another family and size",
        GENDER,
        on_result(lambda r: altered(r, model={"family": "moonshine", "parameters": 7})),
        "the family of whisper-base",
    ),
    Forgery(
        "model",
        "a twin as a model",
        TWIN,
        on_result(passed_off),
        "its weights are those of whisper-base-random",
    ),
    Forgery(
        "model",
        "a model as its own twin",
        PHONES,
        on_result(as_twin),
        "its weights are those of whisper-base",
    ),
    Forgery(
        "model",
        "a twin of another seed",
        TWIN,
        on_result(lambda r: with_model(r, {**r.model.parts, "weights": "5" * 64}, seed=7)),
        "drawn from seed 7",
    ),
    Forgery(
        "model",
        "a twin of other weights",
        TWIN,
        on_result(lambda r: with_model(r, {**r.model.parts, "weights": "5" * 64})),
        "the weights of whisper-base-random",
    ),
    Forgery(
        "model",
        "a floor as a model",
        FLOOR,
        on_result(lambda r: altered(r, model={"kind": "model", "name": "my-model"})),
        "the recipe of a random twin",
    ),
    Forgery(
        "model",
        "a model as the floor",
        PHONES,
        on_result(lambda r: altered(r, model={"kind": "floor", "name": "log-mel"})),
        "is called a floor",
    ),
    Forgery(
        "model",
        "another floor",
        FLOOR,
        on_result(lambda r: with_model(r, {"recipe": "5" * 64})),
        "is published",
    ),
    Forgery(
        "model",
        "another method by the name of a known one",
        PLANTED,
        on_result(lambda r: with_model(r, {**r.model.parts, "method": "mine:zero-ablation@1"})),
        "is published",
    ),
    Forgery("model", "n/a for a good model", WER, on_result(unavailable), "it is n/a, but"),
    Forgery("model", "n/a for a good floor", FLOOR, on_result(unavailable), "it is n/a, but"),
    # the corpus
    Forgery(
        "corpus",
        "another fingerprint",
        WER,
        on_result(lambda r: altered(mine(r), corpus={"fingerprint": "7" * 64})),
        "is published",
    ),
    Forgery(
        "corpus",
        "another fingerprint of human speech",
        HUMAN_WER,
        on_result(lambda r: altered(mine(r), corpus={"fingerprint": "7" * 64})),
        "is published",
    ),
    Forgery(
        "corpus",
        "another name",
        GENDER,
        on_result(lambda r: altered(mine(r), corpus={"name": "ravdess", "human": True})),
        "the name of its corpus",
    ),
    Forgery(
        "corpus",
        "synthetic speech is human",
        PHONES,
        on_result(lambda r: altered(mine(r), corpus={"human": True})),
        "the human of its corpus",
    ),
    Forgery(
        "corpus",
        "more speakers",
        SPEECH,
        on_result(lambda r: altered(mine(r), corpus={"speakers": 2456, "items": 438_000})),
        "the items of its corpus",
    ),
    Forgery(
        "corpus",
        "with --limit, another fingerprint",
        WER,
        lambda r, i: few(r, i, fingerprint="7" * 64),
        "the fingerprint of its corpus is 777777777777, but it is",
    ),
    # what no file can prove
    Forgery("outcomes", "invented transcripts of a model of one's own", WER, invented, ""),
    Forgery("outcomes", "invented predictions of a model of one's own", PHONES, on_rows(right), ""),
    Forgery("outcomes", "bad clips said to be refused", GENDER, hidden, ""),
    Forgery(
        "outcomes",
        "invented loops of a model of one's own",
        LOOPS,
        on_rows(lambda i: i.assign(outcome=1.0)),
        "",
    ),
    Forgery(
        "outcomes",
        "an invented control of a model of one's own",
        PHONES,
        lambda r, i: (
            with_score(on_rows(right)(r, i)[0], "selectivity", value=0.8, low=0.79, high=0.81),
            right(i),
        ),
        "",
    ),
    Forgery("outcomes", "faster", WER, on_result(lambda r: altered(r, run={"rtfx": 5000.0})), ""),
    Forgery("outcomes", "an invented model that is n/a", WER, on_result(lambda r: unavailable(mine(r))), ""),
)
