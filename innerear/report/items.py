"""Items of a leaderboard table for the page that browses them: outcomes and answers joined over models."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from innerear.data.language import ENGLISH
from innerear.data.text import marked
from innerear.report.chart import number_of
from innerear.report.field_charts import token
from innerear.report.leaderboard import Table
from innerear.results.determined import counts_of, unit_of
from innerear.results.schema import Result
from innerear.tasks.declarations import declaration

Data = dict[str, Any]

MOST = 5
"""Number of models that can be set side by side."""
ANSWERS = ("predicted", "written", "text favours-foil", "peak")
"""Columns that say what a model answered; a list shows the first that there is."""
WITH_WORDS = ("phone-probing", "word-probing")
"""Protocols whose `type` of a unit ends in the word that it is of; in others it is a speaker's."""
WHOLE = 2**53
"""Numbers from here on are not exact in a page."""
NAMES = ("unit", "item")
"""Columns that are names, also where they are numbers."""
_LEFT_OUT = {"fold", "type", "weight"}
"""Given columns that say nothing of an item."""


def listed(table: Table) -> dict[str, Result]:
    """The results of a table that have items, by the name of their model.

    Of several weights under one name, the best count. Items that no two models share are not listed: those
    of dictionaries, and timings.
    """
    results: dict[str, Result] = {}
    if not declaration(table.results[0].task.protocol).unpaired_reason:
        for result in table.results:
            if result.items is not None:
                results.setdefault(result.model.name, result)
    return results


def outcome_kind(results: Sequence[Result], outcomes: pd.Series) -> str:
    """What an outcome says: `right` (1) or wrong, `wrong` (1) or right, `errors`, or a `number`."""
    first = results[0]
    declared = declaration(first.task.protocol)
    if (declared.formula, declared.scale) == ("ratio", "rate"):
        return "errors"
    direction = next((each.score.direction for each in results if each.score), "none")
    if direction == "none" or not outcomes.isin((0, 1)).all():
        return "number"
    return "right" if direction == "higher" else "wrong"


def outcome_name(results: Sequence[Result], kind: str) -> str:
    """What an outcome of a kind is of, in its unit."""
    if kind == "errors":
        units = sorted({unit_of(each.headline) for each in results})
        return f"errors per {' or '.join(units)}"
    formula = declaration(results[0].task.protocol).formula
    if formula == "ratio":
        return "outcome (not yet divided by its weight)"
    scored = next((each for each in results if each.score), results[0])
    unit = scored.score.unit if scored.score and not formula.startswith("auroc") else ""
    return f"outcome ({', '.join(filter(None, (scored.headline.replace('_', ' '), unit)))})"


def joined(frames: Mapping[str, pd.DataFrame], given: Sequence[str]) -> pd.DataFrame:
    """The units that models have outcomes of, one row each, with what the task gave of them.

    A column that two models differ in was not given.
    """
    columns = ["item", "speaker", *(name for name in given if all(name in each for each in frames.values()))]
    both = pd.concat([each[["unit", *columns]] for each in frames.values()], ignore_index=True)
    units = both.drop_duplicates("unit")
    same = [name for name in columns if len(both.drop_duplicates(["unit", name])) == len(units)]
    return units[["unit", *same]].reset_index(drop=True)


def _with_word(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(word=frame["type"].str.rpartition("|")[2]) if "type" in frame else frame


def by_clip(frame: pd.DataFrame, given: Sequence[str]) -> pd.DataFrame:
    """Units of a model's own, such as its tokens, as clips: the mean of their outcomes, and their number."""
    clips = frame.groupby("item", sort=False)
    kept = [name for name in ("speaker", *given) if name in frame]
    means = clips.agg({**dict.fromkeys(kept, "first"), "outcome": "mean"})
    return means.assign(units=clips.size()).reset_index().assign(unit=lambda each: each["item"])


def table_data(table: Table, frames: Mapping[str, pd.DataFrame]) -> tuple[Data, dict[str, Data]]:
    """What all models share of a table's items, and what each model has of its own.

    Parameters
    ----------
    frames
        Per-item outcomes of the results of `listed`, by model.

    Returns
    -------
    dict
        `unit`, `item` and the given columns, coded as `coded` does it; `kind` of the outcomes.
    dict
        For each model: `rows` (indices of its units, where they are not all, in order), `outcome`, `weight`,
        the name of its column of `errors`, `own` columns, columns by `layers`, `marks` of errors, and its
        `tokens`.
    """
    results = listed(table)
    declared = declaration(table.results[0].task.protocol)
    given = [name for name in declared.given if name not in _LEFT_OUT]
    own = all("token" in frame for frame in frames.values())
    if table.results[0].task.protocol in WITH_WORDS:
        given.append("word")
        frames = {name: _with_word(frame) for name, frame in frames.items()}
    shown = {name: by_clip(frame, given) if own else frame for name, frame in frames.items()}
    units = joined(shown, given)
    outcomes = pd.concat([frame["outcome"] for frame in shown.values()])
    shared = {
        "kind": outcome_kind(list(results.values()), outcomes),
        "columns": {name: coded(units[name].astype(str) if name in NAMES else units[name]) for name in units},
        "own": own,
    }
    index = pd.Index(units["unit"])
    models = {}
    for name, frame in shown.items():
        layers = _sites(results[name])
        models[name] = {
            **_rows(index, frame["unit"]),
            "outcome": coded(frame["outcome"]),
            "errors": counts_of(results[name].headline)[0],
            **(
                {"weight": coded(frame["weight"])}
                if declared.formula == "ratio" and "weight" in frame
                else {}
            ),
            **_own_columns(frame, {*units.columns, "outcome", *_LEFT_OUT}, layers),
            **_marks(frame),
            **({"tokens": _tokens(frames[name], results[name], layers)} if own else {}),
        }
    return shared, models


def _rows(index: pd.Index, units: pd.Series) -> Data:
    at = index.get_indexer(pd.Index(units)).tolist()
    return {} if at == list(range(len(index))) else {"rows": at}


def coded(column: pd.Series) -> Any:
    """A column as a list of numbers; text and truth values as `of`, what there is, and `at`, which it is.

    What is missing or infinite is null, or -1 of `at`.
    """
    if column.dtype != bool and pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(float, na_value=np.nan)
        if (values == np.rint(values)).all() and np.abs(values).max(initial=0) < WHOLE:
            return values.astype(int).tolist()
        return [_number(each) for each in values.tolist()]
    at, of = pd.factorize(column)
    return {"of": [each if isinstance(each, bool) else str(each) for each in of.tolist()], "at": at.tolist()}


def _number(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < WHOLE else number_of(value)


def _sites(result: Result) -> list[str]:
    """Names of the places that the curves of a result are over, in their order."""
    return list(dict.fromkeys(point.site for curve in result.curves for point in curve.points))


def _layered(frame: pd.DataFrame, sites: Sequence[str]) -> dict[str, dict[str, str]]:
    """Columns for each of some sites, such as `correct.encoder.2`: name → site → column."""
    found: dict[str, dict[str, str]] = {}
    for column in map(str, frame):
        for site in sites:
            if column.endswith(f".{site}"):
                found.setdefault(column.removesuffix(f".{site}"), {})[site] = column
    return found


def _own_columns(frame: pd.DataFrame, known: set[str], sites: Sequence[str]) -> Data:
    layered = _layered(frame, sites)
    known = known | {column for each in layered.values() for column in each.values()}
    own = {name: coded(frame[name]) for name in frame if name not in known}
    return {
        "own": own,
        "answer": next((name for name in ANSWERS if name in own), ""),
        "layers": {name: _by_layer(frame, columns) for name, columns in layered.items()},
    }


def _by_layer(frame: pd.DataFrame, columns: Mapping[str, str]) -> Data:
    """Truth values of all layers as one text for each row, a digit for each layer; other values by layer."""
    values = frame[list(columns.values())]
    if all(map(pd.api.types.is_bool_dtype, values.dtypes)):
        return {"sites": list(columns), "digits": coded(pd.Series(_digits(values)))}
    return {"sites": list(columns), "values": [coded(values[column]) for column in values]}


def _digits(truths: pd.DataFrame) -> list[str]:
    """Truth values of each row as text of 1 and 0."""
    letters = np.ascontiguousarray(truths.to_numpy(bool), np.uint8) + ord("0")
    digits: list[str] = letters.view(f"S{letters.shape[1]}").ravel().astype(str).tolist()
    return digits


def _marks(frame: pd.DataFrame) -> Data:
    """Said beside written, by row, where there are errors, and the marks are as many as were counted."""
    if not {"reference", "written", "errors"} <= set(frame):
        return {}
    made, unmarked = {}, 0
    for at, (said, heard, errors) in enumerate(
        frame[["reference", "written", "errors"]].itertuples(index=False)
    ):
        if not errors:
            continue
        pairs = marked(said, heard, ENGLISH)
        if sum(max(len(a.split()), len(b.split())) for a, b in pairs if a != b) == errors:
            made[at] = [[a] if a == b else [a, b] for a, b in pairs]
        else:  # counted in another language
            unmarked += 1
    return {"marks": made, "unmarked": unmarked}


def _tokens(frame: pd.DataFrame, result: Result, sites: Sequence[str]) -> Data:
    """The written tokens of each clip with what each layer would have written, as far as it is known.

    Returns
    -------
    dict
        By clip: `tokens`, `digits` (whether each layer of `sites` agrees with what is written), `right` where
        it is known, and `top`: the token that each layer would write, where the result's table has it.
    """
    agrees = _layered(frame, sites).get("agrees", {})
    spelt = {piece: token(piece) for piece in frame["piece"].unique()} if "piece" in frame else {}
    tops: dict[str, list[str]] = {}
    depth = len(agrees)  # of the rows of each token in that table
    for row in result.tables.get("lens_map", []):
        tops.setdefault(str(row["item"]), []).append(token(str(row["top"])))
    pieces = [spelt[each] for each in frame["piece"]] if spelt else [f"#{each}" for each in frame["token"]]
    digits = _digits(frame[list(agrees.values())])
    right = frame["right"].tolist() if "right" in frame else None
    made = {}
    for clip, rows in frame.groupby("item", sort=False).indices.items():
        top = tops.get(str(clip), [])
        made[str(clip)] = {
            "tokens": [pieces[at] for at in rows],
            "digits": [digits[at] for at in rows],
            **({"right": [right[at] for at in rows]} if right else {}),
            **({"top": [top[at : at + depth] for at in range(0, len(top), depth)]} if top else {}),
        }
    return {"sites": list(agrees), "clips": made}
