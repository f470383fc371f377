"""What results of each protocol say of single attention heads: in which tables, and with which interval."""

from dataclasses import dataclass
from typing import Literal

Unit = Literal["fraction", "points", "ms", "weight", "listed"]
"""Units of a number of a head: a share, a change of a rate in points, milliseconds, a mean attention weight,
or whether the head is on a list."""


@dataclass(frozen=True)
class HeadColumn:
    """Where the values are: a column of one of a result's tables.

    The head of a row is its `site` (or `where`); of a row with neither, `head` of `layer`, in the attention
    that the name of the table says.

    Attributes
    ----------
    low, high
        Columns of the interval; empty: it has none.
    arm
        Only rows with this `arm` are of single heads; empty: all rows.
    """

    table: str
    column: str
    low: str = ""
    high: str = ""
    arm: str = ""


@dataclass(frozen=True)
class HeadMeasure:
    """A number that a protocol has of single heads.

    Attributes
    ----------
    title
        What it is.
    columns
        Where its values are; for a head in several of them the last counts.
    n
        The score that is over as many units; empty: the result does not say over how many.
    counted
        What these units are, in the singular.
    chosen
        The score that has, with an interval, the value of the head that `tuned` calls `head`; empty: none.
    """

    title: str
    unit: Unit
    columns: tuple[HeadColumn, ...]
    n: str = ""
    counted: str = ""
    chosen: str = ""


def _maps(column: str) -> tuple[HeadColumn, ...]:
    """A column of the maps of all heads."""
    return HeadColumn("head_map", column), HeadColumn("head_map_self", column)


def _best(column: str, low: str = "", high: str = "") -> HeadColumn:
    """A column of the table of the heads that were ranked first."""
    return HeadColumn("heads", column, low, high)


REPETITION = (
    HeadMeasure(
        "loops resolved without it, on the confirming half", "fraction", _maps("value"), "resolved", "loop",
        "resolved_head",
    ),
    HeadMeasure(
        "loops resolved without it, on the ranking half", "fraction", (_best("ranked"),),
        "resolved_when_ranked", "loop",
    ),
    HeadMeasure("induction: attention to what came next a repetition ago", "weight", _maps("induction")),
    HeadMeasure(
        "change of the WER on clean speech without it, on the confirming half", "points",
        (_best("delta_wer"),), "delta_wer_head", "word", "delta_wer_head",
    ),
    HeadMeasure(
        "change of the WER on clean speech without it, on the ranking half", "points", (_best("price"),)
    ),
    HeadMeasure(
        "clean clips that loop without it", "fraction", (_best("created"),), "loops_created", "clip"
    ),
    HeadMeasure(
        "loops of which no word is left without it", "fraction", (_best("empty"),), "resolved", "loop"
    ),
    HeadMeasure("WER of former loops on speech, without it", "fraction", (_best("wer_after"),)),
)  # fmt: skip
ALIGNMENT_HEADS = (
    HeadMeasure(
        "words on which its attention peaks, on both halves", "fraction", _maps("value"), "by_order", "word"
    ),
    HeadMeasure(
        "words on which its attention peaks, on the confirming half", "fraction",
        (_best("confirmed", "low", "high"),), "on_word", "word",
    ),
    HeadMeasure(
        "words on which its attention peaks, on the ranking half", "fraction", (_best("ranked"),),
        "on_word_when_ranked", "word",
    ),
    HeadMeasure(
        "peak of its attention after the onset of a word, median", "ms", (_best("late_ms"),), "on_word",
        "word",
    ),
    HeadMeasure("published as an alignment head", "listed", _maps("marked")),
)  # fmt: skip
LISTENING = (
    HeadMeasure(
        "probability of words lost when it is deaf, on both halves", "fraction", _maps("value"),
        "lost_in_silence", "clip",
    ),
    HeadMeasure(
        "probability of words lost when it is deaf, on the confirming half", "fraction",
        (_best("confirmed", "low", "high"),), "lost_best", "clip",
    ),
    HeadMeasure(
        "probability of words lost when it is deaf, on the ranking half", "fraction", (_best("ranked"),)
    ),
    HeadMeasure("weight of its attention on the audio", "weight", (_best("attention"),), "attention", "clip"),
    HeadMeasure(
        "weight of its attention on silence in place of the audio", "weight",
        (_best("attention_to_silence"),), "attention_to_silence", "clip",
    ),
)  # fmt: skip
_HEAD = "one head"
MITIGATION = (
    HeadMeasure(
        "sounds silenced without it, on the reporting half", "points",
        (HeadColumn("points", "reduction", arm=_HEAD), HeadColumn("arms", "reduction", "low", "high", _HEAD)),
        "reduction", "sound",
    ),
    HeadMeasure(
        "sounds silenced without it, on the choosing half", "points",
        (HeadColumn("points", "dev_reduction", arm=_HEAD),),
    ),
    HeadMeasure(
        "change of the WER on clean speech without it, on the reporting half", "points",
        (
            HeadColumn("points", "cost", arm=_HEAD),
            HeadColumn("arms", "delta_wer", "delta_wer_low", "delta_wer_high", _HEAD),
        ),
        "delta_wer", "word",
    ),
    HeadMeasure(
        "change of the WER on clean speech without it, on the choosing half", "points",
        (HeadColumn("points", "dev_cost", arm=_HEAD),),
    ),
    HeadMeasure(
        "sounds on which the model loops without it", "fraction",
        (HeadColumn("points", "looped", arm=_HEAD),), "loop_rate_after", "sound",
    ),
)  # fmt: skip
