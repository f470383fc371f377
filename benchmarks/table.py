"""Make docs/benchmarks.md of all figures that are recorded, with the goals beside them.

`python benchmarks/table.py` writes the page; a test fails where it is out of date.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from measured import Curve, Figure, Measured, measured

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
NONE = "–"


class Row(NamedTuple):
    """A quantity and its goal."""

    benchmark: str
    goal: float | None = None
    better: Literal["lower", "higher"] = "lower"


class Then(NamedTuple):
    """A quantity before the goals were set, and as it is now; a ratio is judged on any machine."""

    what: str
    before: str
    now: str
    goal: float | None = None
    ratio: bool = False


ROWS = (
    Row("capture / bare encoder", 1.05),
    Row("two tasks / one task", 1.05),
    Row("scikit-learn loop / fit_probes", 1.0, "higher"),
    Row("probes: test accuracy from scikit-learn's", 0.2),
    Row("probes, seconds a layer"),
    Row("hooked generate / sweep", 10.0, "higher"),
    Row("hooked generate, encoder output reused / sweep"),
    Row("nnsight / sweep"),
    Row("outputs that differ", 0.0),
    Row("hooked forward / patching"),
    Row("threads / processes"),
    Row("leaderboard of 2,000 results", 60.0),
    Row("leaderboard of 2,000 results, memory"),
    Row("site of 2,000 results", 60.0),
    Row("site of 2,000 results, memory"),
    Row("start of the command line"),
    Row("memory at 10 / 1 × the clips", 1.1),
    Row("memory at 100 / 1 × the clips", 1.1),
)
"""What benchmarks of this folder measure."""
LARGE = "probes at large-v3's size, seconds a layer"
SWEEP = "sweep of an audio language model, s a clip"
MEMORY = "memory at 100 / 1 × the clips"
THEN = (
    Then("encoder, milliseconds a clip in batches of 16", "encoder, ms a clip, before", "encoder, ms a clip"),
    Then("capture / bare encoder", "capture / bare, before", "capture / bare encoder", 1.05, True),
    Then("probes of 1,651 frames × 1,280, 39 classes, 4 C: s a layer", f"{LARGE}, before", LARGE, 0.053),
    Then("sweep of all 1,280 heads, 24 tokens: ms a head", "sweep, ms a head, before", "sweep, ms a head"),
    Then("sweep of all 1,024 heads, 24 tokens: s a clip", f"{SWEEP}, before", SWEEP, 6.0),
    Then("peak memory at 100 / 1 × the clips", f"{MEMORY}, before", MEMORY, 1.1, True),
)
"""The figures that the goals were set by."""
HEAD = """# Benchmarks: figures and goals

Made by `python benchmarks/table.py` from `benchmarks/measured/`, where each benchmark keeps what it measured:

```
python -m pytest benchmarks/ --benchmark-only
python benchmarks/table.py
```

Figures are medians over n repetitions; in brackets are the two repetitions that enclose the true median at
95 %. *Load* is the load average of the machine, the larger of before and after: what exceeds the benchmark's
own processes was somebody else's. The two sides of a ratio are timed one right after the other, so load moves
it less than it moves seconds. How fast a model is on a machine is a task of its own:
[speed](../tasks/speed/README.md).
"""
NOW = """## All benchmarks

| what | of | figure | n | goal | met | machine | load | when |
|---|---|---|--:|---|---|---|--:|---|"""
GROWTH = """## How time grows

Seconds at each size; they grow with this power of it (1: in proportion), by least squares of the logarithms.

| what | of | seconds by size | power | machine | load | when |
|---|---|---|--:|---|--:|---|"""
COMPARED = """## What it is compared with

A loop of scikit-learn fits; one hooked `generate` or forward pass for each head or layer; nnsight
(`pip install innerear[bench]`). pyvene 0.1.8 has no speech recogniser among the models that it knows.
TransformerLens has wav2vec 2.0, HuBERT, Qwen2-Audio and GLM-ASR: the same ablations give the same logits
([validation.md](validation.md)); they were not timed.
"""


def page(found: Measured) -> str:
    """The page of all that is recorded."""
    return "\n".join([HEAD, *_then(found.figures), *_now(found.figures), *_curves(found.curves), COMPARED])


def _then(figures: Sequence[Figure]) -> Iterator[str]:
    yield "## What the goals were set by\n"
    yield "Figures of other machines say nothing of a goal in seconds that was set on a named one.\n"
    yield "| what | before | now | goal | met |\n|---|---|---|---|---|"
    for row in THEN:
        before, now = _of(figures, row.before), _of(figures, row.now)
        machines = {figure.machine for figure in before}
        judged = [figure for figure in now if row.ratio or figure.machine in machines]
        told = ["<br>".join(map(_stated, each)) for each in (before, now)]
        goal, met = _goal(row.goal, "lower"), _met(judged, row.goal, "lower")
        yield f"| {row.what} | {told[0] or NONE} | {told[1] or 'not measured again'} | {goal} | {met} |"
    yield ""


def _now(figures: Sequence[Figure]) -> Iterator[str]:
    yield NOW
    for row in ROWS:
        own = _of(figures, row.benchmark)
        goal = _goal(row.goal, row.better)
        if not own:
            empty = f"{NONE} | {NONE} | {NONE} | {NONE}"
            yield f"| {row.benchmark} | {NONE} | not measured yet | {NONE} | {goal} | {empty} |"
        for each in own:
            when = ", ".join(filter(None, (each.created, each.how)))
            met = _met([each], row.goal, row.better)
            yield (
                f"| {row.benchmark} | {each.of} | {_value(each)} | {each.n} | {goal} | {met} | "
                f"{each.machine} | {_load(each)} | {when} |"
            )
    yield ""


def _curves(curves: Sequence[Curve]) -> Iterator[str]:
    yield GROWTH
    for each in curves:
        points = ", ".join(f"{x:.3g}: {y:.3g} s" for x, y in each.points)
        yield (
            f"| {each.benchmark} | {each.of} | {each.x} {points} | {each.exponent:.2f} | {each.machine} | "
            f"{_load(each)} | {each.created} |"
        )
    if not curves:
        yield f"| not measured yet{f' | {NONE}' * 6} |"
    yield ""


def _load(each: Figure | Curve) -> str:
    return NONE if each.load is None else f"{each.load:g}"


def _of(figures: Sequence[Figure], benchmark: str) -> list[Figure]:
    return [figure for figure in figures if figure.benchmark == benchmark]


def _stated(figure: Figure) -> str:
    """A figure with what it was measured on, and where."""
    how = f", {figure.how}" if figure.how else ""
    return f"{_value(figure)} ({figure.of}; {figure.machine}{how})"


def _value(figure: Figure) -> str:
    text = f"{_number(figure.value)} {figure.unit}"
    if figure.low is None or figure.high is None:
        return text
    return f"{text} [{_number(figure.low)}, {_number(figure.high)}]"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _goal(goal: float | None, better: str) -> str:
    return NONE if goal is None else f"{'≤' if better == 'lower' else '≥'} {goal:g}"


def _met(figures: Sequence[Figure], goal: float | None, better: str) -> str:
    """Whether all figures meet a goal, or how many do; nothing where there is no goal or no figure."""
    if goal is None or not figures:
        return NONE
    met = [each.value <= goal if better == "lower" else each.value >= goal for each in figures]
    return "yes" if all(met) else "no" if not any(met) else f"{sum(met)} of {len(met)}"


if __name__ == "__main__":
    PAGE.write_text(page(measured()))
