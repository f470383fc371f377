"""Every number that cards and documents quote with an interval is in results/."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from innerear.cli import app
from innerear.results.schema import Result
from innerear.results.store import Store

TOP = Path(__file__).parents[1]
NUMBER = r"([−+-]?\d+(?:\.\d+)?)"
QUOTED = re.compile(rf"{NUMBER}(?: %)? \[{NUMBER}, {NUMBER}\]")
TEXTS = [TOP / "README.md", *sorted(TOP.glob("tasks/*/README.md")), *sorted(TOP.glob("docs/*.md"))]


def number(text):
    return float(text.replace("−", "-"))


def rounds_to(score, triple):
    """Whether a score or curve point, as a fraction or in per cent, rounds to a quoted value and bounds."""
    if score.low is None or score.high is None:
        return False
    return any(
        all(
            abs(factor * value - number(text)) <= 0.5001 * 10 ** -len(text.partition(".")[2])
            for value, text in zip((score.value, score.low, score.high), triple, strict=True)
        )
        for factor in (1, 100)
    )


@pytest.fixture(scope="module")
def published() -> list[Result]:
    return Store(TOP / "results").load_all()


@pytest.mark.parametrize("path", [path for path in TEXTS if QUOTED.search(path.read_text())], ids=str)
def test_quoted_intervals_are_published(published, path):
    task = path.parent.name if path.parts[-3] == "tasks" else None
    results = [result for result in published if task in (None, result.task.id)]
    scores = [score for result in results for score in result.scores.values()]
    scores += [point for result in results for curve in result.curves for point in curve.points]
    unknown = [
        quote.group()
        for quote in QUOTED.finditer(path.read_text())
        if not any(rounds_to(score, quote.groups()) for score in scores)
    ]
    assert not unknown, f"no score in results/ equals {'; '.join(unknown)}"


def test_other_numbers_are_detected(published):
    score = next(result.score for result in published if result.score and result.score.low is not None)
    right = tuple(f"{100 * value:.1f}" for value in (score.value, score.low, score.high))
    assert rounds_to(score, right)
    assert not rounds_to(score, (right[0], right[1], f"{100 * score.high + 0.2:.1f}"))


def test_tables_of_human_speech_are_those_that_agreement_prints():
    printed = CliRunner().invoke(app, ["agreement", "--results", str(TOP / "results")]).stdout
    tables = [line for line in printed.splitlines() if line.startswith("|")]
    text = (TOP / "docs" / "human-speech.md").read_text()
    assert tables
    assert [line for line in text.splitlines() if line.startswith("|")] == tables
