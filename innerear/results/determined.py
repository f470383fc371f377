"""What per-item outcomes determine beside the headline, by protocol: scores, curves and other columns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pandas as pd
from scipy.special import expit

from innerear.data.language import ENGLISH
from innerear.data.text import Unit, edits, label_edits
from innerear.results.headline import Auroc
from innerear.results.schema import OVER_SNR, PROBE, Result
from innerear.stats.intervals import Scale, jackknife, mean_interval, median_interval
from innerear.stats.nested import indexed, pooled, pooled_without

Number = tuple[float, float | None, float | None]
"""A value and the bounds of its interval, if it has one."""
EDITS = ("substitutions", "insertions", "deletions")
"""Kinds of errors, as columns of outcomes."""
WORDS, CHARACTERS = ("errors", "words"), ("character_errors", "characters")
"""Columns of the counts of either error rate of a transcription."""


@dataclass(frozen=True)
class Recounted:
    """What the rows of a result give.

    Attributes
    ----------
    scores
        Scores by name.
    curves
        Curves by name, their numbers by site.
    outcome
        The outcome of each row, as its other columns give it; None where they do not.
    columns
        Further columns that others give, by name.
    n
        Units of the headline.
    """

    scores: Mapping[str, Number] = field(default_factory=dict)
    curves: Mapping[str, Mapping[str, Number]] = field(default_factory=dict)
    outcome: np.ndarray | None = None
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    n: int = 0

    @property
    def decided(self) -> dict[str, np.ndarray]:
        """All columns that others give, the outcome among them if they give it."""
        own = {} if self.outcome is None else {"outcome": self.outcome}
        return own | dict(self.columns)


def jackknifed(value: float, without: np.ndarray, level: float, scale: Scale = "share") -> Number:
    """A share, such as an AUROC, or a difference of two with the jackknife's bounds."""
    bounds = jackknife(value, without, level=level, scale=scale, most=1.0)
    return (value, float(bounds[0]), float(bounds[1])) if bounds else (value, None, None)


def median_of(values: np.ndarray, level: float) -> Number:
    """A median with its bounds."""
    return (float(np.median(values)), *(median_interval(values, level=level) or (None, None)))


def mean_of(
    values: pd.Series,
    cluster: pd.Series,
    level: float,
    scale: Scale = "share",
    weight: pd.Series | None = None,
    most: float = 1.0,
) -> Number:
    """Mean of values, or the ratio of their sum to that of weights; `most` is that of a mean difference."""
    return _means(values.to_numpy(float)[None], cluster, level, scale, weight, most)[0]


def _means(
    values: np.ndarray,
    cluster: pd.Series,
    level: float,
    scale: Scale = "share",
    weight: pd.Series | None = None,
    most: float = 1.0,
) -> list[Number]:
    """As `mean_of`, of values [layer, row]."""
    weights = None if weight is None else weight.to_numpy(float)
    means = values.sum(axis=1) / (values.shape[1] if weights is None else weights.sum())
    bounds = mean_interval(
        values, cluster.to_numpy(), weights, level=level, scale=scale, most=most if weight is None else np.inf
    )
    return _numbers(means, bounds)


def _numbers(values: np.ndarray, bounds: tuple[np.ndarray, np.ndarray] | None) -> list[Number]:
    if bounds is None:
        return [(value, None, None) for value in values.tolist()]
    return list(zip(values.tolist(), bounds[0].tolist(), bounds[1].tolist(), strict=True))


def _by_site(items: pd.DataFrame, prefix: str, level: float, scale: Scale = "share") -> dict[str, Number]:
    """Means of the columns of all layers."""
    columns = [name for name in map(str, items) if name.startswith(prefix)]
    numbers = _means(items[columns].to_numpy(float).T, items["speaker"], level, scale) if columns else []
    return dict(zip([name.removeprefix(prefix) for name in columns], numbers, strict=True))


def _predictions(items: pd.DataFrame) -> np.ndarray:
    return (items["truth"] == items["predicted"]).to_numpy(float)


def _probing(result: Result, items: pd.DataFrame) -> Recounted:
    right = _predictions(items)
    balanced = float(pd.Series(right).groupby(items["truth"].to_numpy()).mean().mean())
    return Recounted(
        {"balanced_accuracy": (balanced, None, None)},
        {PROBE: _by_site(items, "correct.", result.level)},
        right,
    )


def _detection(result: Result, items: pd.DataFrame) -> Recounted:
    scores = {"accuracy": mean_of(items["outcome"], items["speaker"], result.level)}
    return Recounted(scores, {"accuracy": _by_site(items, "correct.", result.level)}, _predictions(items))


def _hallucination(result: Result, items: pd.DataFrame) -> Recounted:
    made = _detection(result, items)
    positive = ~items["truth"].str.startswith("no ")
    columns = {"auroc": "score", "auroc_baselines": "baselines", "auroc_both": "both"}
    areas = {name: Auroc.of(items, column) for name, column in columns.items()}
    return Recounted(
        {
            **made.scores,
            "insertion_rate": mean_of(positive, items["speaker"], result.level),
            **{name: jackknifed(area.value(), area.without(), result.level) for name, area in areas.items()},
        },
        made.curves,
        made.outcome,
    )


def _speech(result: Result, items: pd.DataFrame) -> Recounted:
    made, level = _detection(result, items), result.level
    everything = Auroc.of(items)
    scores = {**made.scores, "auroc": jackknifed(everything.value(), everything.without(), level)}
    if "written" in items:
        silent, near = items["truth"].str.startswith("no "), items["sounds"] == "near"
        speech, voiced, other = items[~silent], items[silent & near], items[silent & ~near]
        scores["written_near_rate"] = mean_of(voiced["words"] > 0, voiced["speaker"], level)
        scores["unwritten_speech_rate"] = mean_of(speech["words"] == 0, speech["speaker"], level)
        if len(other):
            scores["written_rate"] = mean_of(other["words"] > 0, other["speaker"], level)
            scores["stock_rate"] = mean_of(other["stock"] != "", other["speaker"], level)
            scores["looped_rate"] = mean_of(other["looped"], other["speaker"], level)
    return Recounted(scores, made.curves, made.outcome)


def _mitigation(result: Result, items: pd.DataFrame) -> Recounted:
    columns = {"area": "mechanism", "best_control": "control"}
    scores = {
        name: mean_of(items[column], items["speaker"], result.level, "difference")
        for name, column in columns.items()
    }
    return Recounted(scores, outcome=(items["mechanism"] - items["control"]).to_numpy(float))


def _transcription(result: Result, items: pd.DataFrame) -> Recounted:
    scores = {}
    for at, (condition, rows) in enumerate(items.groupby("condition", sort=False)):
        name = f"_{str(condition).replace(' ', '').lower()}" if at else ""
        for metric in ("wer", "cer"):
            errors, total = counts_of(metric)
            scores[f"{metric}{name}"] = mean_of(
                rows[errors], rows["speaker"], result.level, "rate", rows[total]
            )
    languages = items["language"] if "language" in items else [ENGLISH] * len(items)
    units: dict[str, Unit] = {"errors": "word", "character_errors": "character"}
    columns = {
        column: np.array(
            [
                0.0 if text == reference else float(edits(reference, text, language, unit).errors)
                for reference, text, language in zip(
                    items["reference"], items["written"], languages, strict=True
                )
            ]
        )
        for column, unit in units.items()
        if column in items
    }
    counted, total = counts_of(result.headline)
    weight = items[total].to_numpy(float)
    outcome = columns[counted]
    if result.headline.endswith(OVER_SNR):
        weight, outcome = of_all_levels(items["condition"], outcome, weight)
    return Recounted(scores, outcome=outcome, columns={**columns, "weight": weight})


def _phones_written(result: Result, items: pd.DataFrame) -> Recounted:
    counts = [label_edits(*both) for both in zip(items["truth"], items["predicted"], strict=True)]
    made = {kind: np.array([float(getattr(each, kind)) for each in counts]) for kind in EDITS}
    speaker, weight = items["speaker"], np.array([float(each.reference) for each in counts])
    rated = {
        name: mean_of(pd.Series(own), speaker, result.level, "rate", pd.Series(weight))
        for name, own in made.items()
    }
    prefix = "errors."
    columns = [name for name in map(str, items) if name.startswith(prefix)]
    errors = items[columns].to_numpy(float).T
    numbers = _means(errors, speaker, result.level, "rate", pd.Series(weight))
    curve = dict(zip([name.removeprefix(prefix) for name in columns], numbers, strict=True))
    outcome = np.array([float(each.errors) for each in counts])
    return Recounted(rated, {PROBE: curve}, outcome, {**made, "weight": weight})


def unit_of(headline: str) -> str:
    """What an error rate is over: a word, a character or a phone."""
    return {"cer": "character", "per": "phone"}.get(headline[:3], "word")


def counts_of(headline: str) -> tuple[str, str]:
    """Columns of the counts that an error rate, of words or of characters, is made of."""
    return CHARACTERS if unit_of(headline) == "character" else WORDS


def of_all_levels(
    condition: pd.Series, errors: np.ndarray, total: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and outcomes of clips whose ratio of sums is the mean error rate over levels of noise.

    A clip has at most as many errors as words, and all levels weigh the same, also where one lacks clips.
    """
    level = pd.Series(total).groupby(condition.to_numpy()).transform("sum").to_numpy()
    share = level.max() / level
    return total * share, np.minimum(errors, total) * share


def _abx(result: Result, items: pd.DataFrame) -> Recounted:
    scores: dict[str, Number] = {}
    curves = {}
    columns = [name for name in map(str, items) if name.startswith("error.")]
    sites = [name.removeprefix("error.") for name in columns]
    for mode, rows in items.groupby("mode", sort=False):
        index, errors = indexed(rows), rows[["outcome", *columns]].to_numpy(float).T
        values = pooled(index, errors)
        bounds = jackknife(values, pooled_without(index, errors), level=result.level, scale="share")
        numbers = _numbers(values, bounds)
        curves[str(mode)] = dict(zip(sites, numbers[1:], strict=True))
        scores[f"error_{mode}"] = numbers[0]
        scores[f"lowest_{mode}"] = (float(values[1:].min()), None, None)
    return Recounted(scores, curves, items[columns[1:] or columns].to_numpy(float).mean(axis=1))


def _settled(agrees: np.ndarray) -> np.ndarray:
    """Relative depth from which on all layers agree, for rows of `agrees` [row, layer]."""
    last = agrees.shape[1] - 1
    late = agrees.shape[1] - np.argmin(agrees[:, ::-1], axis=1)
    return np.asarray(np.where(agrees.all(axis=1), 0, np.minimum(late, last)) / last)


def _encoder_lens(result: Result, items: pd.DataFrame) -> Recounted:
    kinds = items[[name for name in map(str, items) if name.startswith("kind.")]]
    grounded = kinds.isin(["partial", "correct"])
    names = sorted(set(kinds.to_numpy().ravel()))
    shares = {name: kinds == name for name in names} | {"grounded": grounded}
    curves = {
        name: _by_site(share.assign(speaker=items["speaker"]), "kind.", result.level)
        for name, share in shares.items()
    }
    last = mean_of(items["grounded_at_last"], items["speaker"], result.level)
    return Recounted({"grounded_at_last": last}, curves, _settled(grounded.to_numpy()))


def _logit_lens(result: Result, items: pd.DataFrame) -> Recounted:
    agrees = items[[name for name in map(str, items) if name.startswith("agrees.")]].to_numpy(bool)
    return Recounted(
        curves={"logit-lens": _by_site(items, "agrees.", result.level)}, outcome=_settled(agrees)
    )


def _alignment(result: Result, items: pd.DataFrame) -> Recounted:
    confirms = (items["half"] == "confirm").to_numpy()
    held = items[confirms]
    delay = held["peak"] - held["start"]
    late = float(np.median(delay))
    scores: dict[str, Number] = {"median_late": (late, None, None)}
    for name in result.scores:
        if name.startswith("onset_within_"):
            within = delay.abs() <= float(name.split("_")[2]) / 1000
            scores[name] = mean_of(within, held["speaker"], result.level)
    halvings = items[[name for name in map(str, items) if name.startswith("late.")]].to_numpy(float)
    measure = cast("dict[str, float]", result.task.spec["measure"])
    start, end, at = (items[name].to_numpy(float) for name in ("start", "end", "peak"))
    on_word = np.maximum(0, np.maximum(start - at, at - end)) <= float(measure["near"])
    scores["on_word"] = mean_of(pd.Series(on_word[confirms]), held["speaker"], result.level)
    return Recounted(
        scores, outcome=1000 * np.abs(halvings).mean(axis=1), columns={"on_word": on_word.astype(float)}
    )


def _listening(result: Result, items: pd.DataFrame) -> Recounted:
    level, own = result.level, items["p.own"]
    held = items[items["half"] == "confirm"]

    def lost(rows: pd.DataFrame, one: str, other: str, most: float = 1.0) -> Number:
        return mean_of(rows[one] - rows[other], rows["speaker"], level, "difference", most=most)

    scores = {
        "p_written": mean_of(own, items["speaker"], level),
        "lost_best": lost(held, "p.own", "p.best"),
        "lost_random": lost(held, "p.own", "p.random"),
        "best_over_random": lost(held, "p.random", "p.best"),
    }
    names = {"silence": "in_silence", "other": "on_other", "blind": "without_text"}
    for column, name in names.items():
        scores[f"lost_{name}"] = lost(items, "p.own", f"p.{column}")
        scores[f"nats_{name}"] = lost(items, "nats.own", f"nats.{column}", np.inf)
    for column in ("silence", "other"):
        scores[f"kl_{names[column]}"] = mean_of(items[f"kl.{column}"], items["speaker"], level, "rate")
    for name, prefix in (("attention", "mass."), ("attention_to_silence", "mass-silence.")):
        mass = items[[each for each in map(str, items) if each.startswith(prefix)]].mean(axis=1)
        scores[name] = mean_of(mass, items["speaker"], level)
    curves = {"attention": _by_site(held, "mass.", level)}
    for prefix in ("at", "from"):
        sites = [each for each in map(str, items) if each.startswith(f"{prefix}.")]
        rows = held[["speaker"]].join(held[sites].rsub(held["p.own"], axis=0))
        curves[f"deaf-{prefix}-layer"] = _by_site(rows, f"{prefix}.", level, "difference")
    return Recounted(scores, curves, (own - items["p.silence"]).to_numpy())


def _speed(result: Result, items: pd.DataFrame) -> Recounted:
    outcomes = items.groupby("quantity", sort=False)["outcome"]
    return Recounted({str(name): median_of(own.to_numpy(float), result.level) for name, own in outcomes})


def _semantic_bias(result: Result, items: pd.DataFrame) -> Recounted:
    def mean(values: pd.Series, scale: Scale = "difference", most: float = np.inf) -> Number:
        return mean_of(values, items["pair"], result.level, scale, most=most)

    def wrote(name: str, what: str) -> pd.Series:
        return (items[f"wrote {name}"] == what).astype(float)

    against, neutral = items["odds favours-foil"], items["odds neutral"]
    return Recounted(
        {
            "congruency": mean(items["odds favours-spoken"] - against),
            "text_prior": mean(items["prior"]),
            "overruled": mean(wrote("favours-foil", "foil") - wrote("neutral", "foil"), most=1.0),
            "foil_incongruent": mean(wrote("favours-foil", "foil"), "share"),
            "foil_neutral": mean(wrote("neutral", "foil"), "share"),
            "foil_congruent": mean(wrote("favours-spoken", "foil"), "share"),
            "neither_incongruent": mean(wrote("favours-foil", "neither"), "share"),
            "neither_neutral": mean(wrote("neutral", "neither"), "share"),
        },
        outcome=np.asarray(expit(-against) - expit(-neutral)),
    )


def _erasure(result: Result, items: pd.DataFrame) -> Recounted:
    level = result.level
    scores: dict[str, Number] = {}
    curves: dict[str, Mapping[str, Number]] = {}
    items = items.assign(speaker=np.unique(items["speaker"], return_inverse=True)[1])  # numbers sort faster

    def number(rows: pd.DataFrame, values: pd.Series, weight: str, scale: Scale) -> Number:
        return mean_of(values, rows["speaker"], level, scale, rows[weight])

    def line(rows: pd.DataFrame, values: pd.Series, weight: str, scale: Scale) -> dict[str, Number]:
        parts = rows[["site", "speaker", weight]].assign(value=values).groupby("site", sort=False)
        return {str(site): number(part, part["value"], weight, scale) for site, part in parts}

    for key, own in items.groupby("concept", sort=False):
        name = str(key)
        rows = own[own["weight"] > 0]
        more = {arm: rows[f"errors_{arm}"] - rows["errors"] for arm in ("erased", "random", "mean")}
        use = rows["errors_erased"] - rows["errors_random"]
        if len(rows):
            scores[f"use_{name}"] = number(rows, use, "weight", "difference")
            scores[f"delta_wer_{name}"] = number(rows, more["erased"], "weight", "difference")
            scores[f"delta_wer_random_{name}"] = number(rows, more["random"], "weight", "difference")
            curves[name] = line(rows, use, "weight", "difference")
            curves[f"{name} erased"] = line(rows, more["erased"], "weight", "difference")
            curves[f"{name} random"] = line(rows, more["random"], "weight", "difference")
            if name in ("phones", "noise"):
                wer = "wer" if name == "phones" else "wer_in_noise"
                scores[wer] = number(rows, rows["errors"], "weight", "rate")
        if name == "phones":
            scores["delta_wer_mean"] = number(rows, more["mean"], "weight", "difference")
            curves["mean"] = line(rows, more["mean"], "weight", "difference")
        if name in ("gender", "accent"):
            for value, part in rows[rows[name] != ""].groupby(name):
                more_of = more["erased"].loc[part.index]
                scores[f"wer_{name}_{value}"] = number(part, part["errors"], "weight", "rate")
                scores[f"delta_wer_{name}_{value}"] = number(part, more_of, "weight", "difference")
        rows = own[own["frames"] > 0]
        for arm in ("read", "left", "left_random", "commonest"):
            scores[f"{arm}_{name}"] = number(rows, rows[arm], "frames", "share")
        for arm in ("read", "left", "left_random"):
            curves[f"{name} {arm}".replace("_", " ")] = line(rows, rows[arm], "frames", "share")
        rows = own[own["other_frames"] > 0]
        for arm in ("other", "other_left") if len(rows) else ():
            scores[f"{arm}_{name}"] = number(rows, rows[arm], "other_frames", "share")
    return Recounted(scores, curves, (items["errors_erased"] - items["errors_random"]).to_numpy())


FURTHER: dict[str, Callable[[Result, pd.DataFrame], Recounted]] = {
    "abx": _abx,
    "alignment-heads": _alignment,
    "ctc-probing": _phones_written,
    "encoder-lens": _encoder_lens,
    "erasure": _erasure,
    "hallucination-detection": _hallucination,
    "listening": _listening,
    "logit-lens": _logit_lens,
    "phone-probing": _probing,
    "mitigation": _mitigation,
    "pooled-probing": _probing,
    "semantic-bias": _semantic_bias,
    "speech-detection": _speech,
    "speed": _speed,
    "transcription": _transcription,
    "word-probing": _probing,
}
"""What the rows of a protocol determine beside its headline."""
