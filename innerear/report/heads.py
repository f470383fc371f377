"""The page of attention heads: all that results say of each head of a model, and which ones make it loop."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from innerear.models.registry import load_spec, model_names
from innerear.models.site import Site
from innerear.report.chart import number_of, unlike
from innerear.report.leaderboard import Table
from innerear.report.numbers import bounds, number, p_value
from innerear.report.pages import anchor_of, model_page
from innerear.results.schema import ModelInfo, Result, Score
from innerear.tasks.applicable import applicable_tasks
from innerear.tasks.declarations import declaration
from innerear.tasks.head_measures import HeadColumn, HeadMeasure
from innerear.tasks.task import load_task, task_names
from innerear.util.sanitise import slug
from innerear.util.words import counted

MOST = 5
"""Maximum number of other heads that a sentence names."""
_TABLES = {"head_map": "cross_attn", "head_map_self": "self_attn"}
"""The attention whose heads a map has."""
_ATTENTIONS = {"self_attn": "self-attention", "cross_attn": "cross-attention"}
_SUFFIXES = {"fraction": " %", "points": " points", "ms": " ms", "weight": "", "listed": ""}


@dataclass(frozen=True)
class Value:
    """A number of a head, with its interval if the result has one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class HeadMap:
    """One measure of a model's heads, from one result."""

    measure: HeadMeasure
    result: Result
    heading: str
    values: Mapping[Site, Value]

    @property
    def n(self) -> str:
        """Over how many units; empty if the result does not say it."""
        score = self.result.scores.get(self.measure.n)
        return counted(score.n, self.measure.counted) if score else ""


@dataclass(frozen=True)
class ModelHeads:
    """What is known of a model's heads.

    Attributes
    ----------
    name
        The model's name, numbered where several weights share it.
    verdicts
        Which heads make it loop and how sure that is, from each result that says it.
    stands_out
        Whether one of these stands out from the others.
    without
        Tasks that have no numbers of its heads, and why.
    """

    name: str
    model: ModelInfo
    maps: tuple[HeadMap, ...]
    verdicts: tuple[str, ...]
    stands_out: bool
    without: tuple[tuple[str, str], ...]

    def data(self) -> dict[str, Any]:
        """What the page's script draws."""
        sites = {site for each in self.maps for site in each.values}
        stacks = sorted({(site.stack, site.part or "") for site in sites}, reverse=True)
        names = unlike(slug(f"{each.result.task.id} {each.measure.title}") for each in self.maps)
        return {
            "name": self.name,
            "stands_out": self.stands_out,
            "first": next((_chosen(each.result) for each in self.maps if _chosen(each.result)), None),
            "attentions": [
                {
                    "title": f"{stack} {_ATTENTIONS.get(part, part)}", "prefix": stack, "part": part,
                    "layers": sorted({site.layer for site in own}, reverse=True),
                    "heads": sorted({site.head for site in own}),
                }
                for stack, part in stacks
                if (own := [site for site in sites if (site.stack, site.part) == (stack, part)])
            ],
            "maps": [{"id": name, **_drawn(each)} for name, each in zip(names, self.maps, strict=True)],
        }  # fmt: skip


@dataclass(frozen=True)
class LoopHead:
    """The head that was chosen on one half of a model's loops, and what it does on the other.

    Attributes
    ----------
    resolved, p, cost
        Share of loops that it resolves there, share of heads that do at least as well, and change of the WER.
    """

    result: Result
    head: Site
    resolved: Score
    p: Score
    cost: Score

    @property
    def name(self) -> str:
        """The model."""
        return self.result.model.name

    @property
    def stands_out(self) -> bool:
        """Whether so few heads do as well that it is no head as any other."""
        return self.p.value < self.result.alpha

    def says(self) -> str:
        """What it does, how sure that is, what it costs, and which heads do as well, in sentences."""
        as_well = round(self.p.value * self.p.n)
        return " ".join(
            [
                f"Without {spoken(self.head)}, {self.name} no longer loops on {share_of(self.resolved)} of "
                f"{counted(self.resolved.n, 'loop')} that had no part in choosing it. On the other half it "
                "is the best of those that cost little WER.",
                f"{as_well} of {counted(self.p.n, 'head')}, itself included, "
                f"{'does' if as_well == 1 else 'do'} at least as well there ({p_value(self.p.value)}), so "
                + (
                    "it stands out from the others."
                    if self.stands_out
                    else "it does not stand out: which head makes this model loop stays open."
                ),
                f"Its ablation changes the WER on clean speech by {_points(self.cost)}.",
                *self._others(),
                *self._whole(),
            ]
        )

    def _others(self) -> Iterator[str]:
        """Heads that do as well."""
        measures = {each.chosen: each for each in declaration(self.result.task.protocol).heads}
        found, costs = (
            values_of(self.result, measures[name]) for name in ("resolved_head", "delta_wer_head")
        )
        others = [site for site in found if site != self.head and found[site].value >= self.resolved.value]
        others.sort(key=lambda site: -found[site].value)
        named = [
            f"{spoken(site)} ({number(found[site].value, 'fraction')} %"
            + (f", WER {number(costs[site].value, 'fraction', signed=True)} points" if site in costs else "")
            + ")"
            for site in others[:MOST]
        ]
        more = f" and {counted(len(others) - MOST, 'other')}" if len(others) > MOST else ""
        if named:
            yield (
                f"As well or better there: {', '.join(named)}{more}; on the other half they were no better, "
                "or cost more WER."
            )

    def _whole(self) -> Iterator[str]:
        """How the head's share relates to the headline, which is of a whole component."""
        best, score = Site.parse_or_none(str(self.result.tuned.get("component", ""))), self.result.score
        if best is not None and score is not None:
            part = _ATTENTIONS.get(best.part or "", "MLP")
            yield (
                f"The headline of the table ({self.result.headline}) is of whole components: without the "
                f"{part} of layer {best.layer}, with all its heads if it has any, {share_of(score)} of the "
                "same loops are resolved. Head and component were chosen each by itself on the first half, "
                "so here either may do better than the other."
            )


def heads_of(tables: Sequence[Table]) -> list[ModelHeads]:
    """What is known of the heads of each model, also of those of which nothing is; controls are left out."""
    results: dict[str, list[tuple[Result, str]]] = {}
    for table in tables:
        for result in table.results:
            if result.model.kind == "model":
                results.setdefault(result.model.sha256, []).append((result, table.heading))
    own = sorted(results.values(), key=lambda each: each[0][0].model.name)
    names = unlike(each[0][0].model.name for each in own)
    return [_model(name, each) for name, each in zip(names, own, strict=True)]


def headless(tables: Sequence[Table]) -> list[str]:
    """Tasks with results here that say nothing of single heads."""
    first = [table.results[0].task for table in tables]
    return sorted({task.id for task in first if not declaration(task.protocol).heads})


def values_of(result: Result, measure: HeadMeasure) -> dict[Site, Value]:
    """The value of each head of which the result has one."""
    found: dict[Site, Value] = {}
    for column in measure.columns:
        for row in result.tables.get(column.table, ()):
            site, value = _site(row, column), _number(row.get(column.column))
            if site is not None and value is not None:
                low, high = (_number(row.get(name)) for name in (column.low, column.high))
                found[site] = Value(value, low, high)
    score, chosen = result.scores.get(measure.chosen), _chosen(result)
    if score is not None and chosen in found:
        found[chosen] = Value(score.value, score.low, score.high)
    return found


def loop_head(result: Result) -> LoopHead | None:
    """The head of a result that was chosen as the one that makes the model loop; None if it has none."""
    head, scores = _chosen(result), result.scores
    told = {each.chosen for each in declaration(result.task.protocol).heads}
    if (
        head is None
        or not {"resolved_head", "delta_wer_head"} <= told & scores.keys()
        or "head_p" not in scores
    ):
        return None
    return LoopHead(result, head, scores["resolved_head"], scores["head_p"], scores["delta_wer_head"])


def spoken(site: Site) -> str:
    """A head in words."""
    return f"head {site.head} of the {_ATTENTIONS.get(site.part or '', site.part)} of layer {site.layer}"


def _model(name: str, results: Sequence[tuple[Result, str]]) -> ModelHeads:
    maps = [
        HeadMap(measure, result, heading, values)
        for result, heading in results
        for measure in declaration(result.task.protocol).heads
        if (values := values_of(result, measure))
        and (measure.unit != "listed" or any(each.value for each in values.values()))
    ]
    maps.sort(key=lambda each: each.result.task.protocol != "repetition")
    found = [head for result, _ in results if (head := loop_head(result))]
    return ModelHeads(
        name,
        results[0][0].model,
        tuple(maps),
        tuple(each.says() for each in found),
        any(each.stands_out for each in found),
        tuple(_without(results, maps)),
    )


def _without(results: Sequence[tuple[Result, str]], maps: Sequence[HeadMap]) -> Iterator[tuple[str, str]]:
    """Tasks of heads that say nothing of a model: a result's reason, what the model lacks, or no result."""
    model = results[0][0].model
    said = {each.result.task.id for each in maps}
    reasons = {result.task.id: result.reason for result, _ in results if result.reason}
    lacking = applicable_tasks(load_spec(model.name).capabilities) if model.name in model_names() else {}
    registered = [name for name in task_names() if declaration(load_task(name).measure.protocol).heads]
    measured = [result.task.id for result, _ in results if declaration(result.task.protocol).heads]
    for task in dict.fromkeys([*registered, *measured]):
        if task not in said:
            there = "its result has no numbers of single heads" if task in measured else ""
            yield task, reasons.get(task) or lacking.get(task) or there or "there is no result of it here"


def _number(cell: Any) -> float | None:
    """A cell of a table, if it is a number."""
    return float(cell) if isinstance(cell, int | float) else None


def _chosen(result: Result) -> Site | None:
    """The head that was chosen before it was confirmed."""
    return Site.parse_or_none(str(result.tuned.get("head", "")))


def _site(row: Mapping[str, Any], column: HeadColumn) -> Site | None:
    """The head of a row; None if the row is of something else."""
    if column.arm and row.get("arm") != column.arm:
        return None
    if column.table in _TABLES:
        return Site.parse_or_none(
            f"decoder.{row.get('layer')}.{_TABLES[column.table]}.head.{row.get('head')}"
        )
    site = Site.parse_or_none(str(row.get("site", row.get("where"))))
    return site if site is not None and site.is_head else None


def _drawn(each: HeadMap) -> dict[str, Any]:
    """A map for the script: numbers for colours, and each number as text."""
    unit, suffix = each.measure.unit, _SUFFIXES[each.measure.unit]
    signed = unit == "points" or any(one.value < 0 for one in each.values.values())
    widest = max(abs(one.value) for one in each.values.values()) or 1.0
    return {
        "title": each.measure.title,
        "task": each.heading,
        "link": f"{model_page(each.result.model.name)}#{anchor_of(each.result)}",
        "n": each.n,
        "level": f"{each.result.level:.0%}",
        "unit": suffix.strip(),
        "signed": signed,
        "listed": unit == "listed",
        "widest": number_of(widest),
        "ends": [_cell(end, unit) for end in ((-widest, 0.0, widest) if signed else (0.0, widest))],
        "values": {
            site: [
                number_of(one.value),
                _cell(one.value, unit),
                "" if one.low is None or one.high is None
                else f"{_cell(one.low, unit)} to {_cell(one.high, unit)}",
            ]
            for site, one in each.values.items()
        },
    }  # fmt: skip


def _cell(value: float, unit: str) -> str:
    """A number as a cell has it, without its unit."""
    if unit == "listed":
        return "yes" if value else "no"
    if unit == "ms":
        return f"{value:.0f}"
    return number(value, "" if unit == "weight" else "fraction", signed=unit == "points")


def share_of(score: Score) -> str:
    """A share with its interval, as text."""
    share, _, interval = bounds(score.value, score.low, score.high, "fraction").partition(" ")
    return f"{share} % {interval}".strip()


def _points(score: Score) -> str:
    ends = (score.low, score.high)
    both = [number(end, "fraction", signed=True) for end in ends if end is not None]
    gap = number(score.value, "fraction", signed=True)
    return f"{gap} points" + (f" [{', '.join(both)}]" if len(both) == len(ends) else "")
