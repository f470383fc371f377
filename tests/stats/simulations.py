"""Simulated speakers: how often intervals hold the truth, how often two equal models are told apart.

`python tests/stats/simulations.py --runs 2000` prints the tables of docs/statistics.md; the tests run fewer.
The
truth is the mean of the statistic over all simulated corpora of as many speakers.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from innerear.results.compare import paired_test
from innerear.results.headline import Auroc, Headline, NestedMean, Ratio
from innerear.stats.intervals import Scale, jackknife, ratio_interval

SPEAKERS = (8, 16, 28)
LEVEL = 0.95
Pair = tuple[Headline, Headline]
"""Two models of equal merit, heard on the same speakers."""


def sizes(rng: np.random.Generator, speakers: int, mean: float, spread: float) -> np.ndarray:
    """Items of each speaker: equal for a spread of 0; with 0.8 the largest of 28 has 25 times the least."""
    return np.maximum(4, rng.lognormal(np.log(mean), spread, speakers)).astype(int)


def of_speakers(rng: np.random.Generator, speakers: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """What is hard about each speaker for two models [speaker]: three quarters of the variance is shared."""
    shared = rng.normal(0, spread * np.sqrt(0.75), speakers)
    one, other = rng.normal(0, spread / 2, (2, speakers))
    return shared + one, shared + other


def accuracy(items: float, uneven: float, at: float, spread: float) -> Callable[..., Pair]:
    """Share of right answers; speakers differ by `spread` in log-odds."""

    def draw(rng: np.random.Generator, speakers: int) -> Pair:
        counts = sizes(rng, speakers, items, uneven)
        made = [
            Ratio(rng.binomial(counts, 1 / (1 + np.exp(-at - each))).astype(float), counts.astype(float))
            for each in of_speakers(rng, speakers, spread)
        ]
        return made[0], made[1]

    return draw


def word_errors(words: float, uneven: float, rate: float, spread: float) -> Callable[..., Pair]:
    """Errors by words; the rates of speakers differ by `spread` in their logarithms."""

    def draw(rng: np.random.Generator, speakers: int) -> Pair:
        counts = sizes(rng, speakers, words, uneven)
        made = [
            Ratio(rng.poisson(counts * rate * np.exp(each)).astype(float), counts.astype(float))
            for each in of_speakers(rng, speakers, spread)
        ]
        return made[0], made[1]

    return draw


def auroc(uneven: float, gap: float, spread: float, own_class: bool) -> Callable[..., Pair]:
    """Scores of clips; `own_class`: all clips of a speaker (or source of sound) are of one class.

    Else each model has positives of its own, as hallucinations are. `spread` of speakers against 1 of clips.
    """

    def draw(rng: np.random.Generator, speakers: int) -> Pair:
        counts = sizes(rng, speakers, 15, uneven)
        speaker = np.repeat(np.arange(speakers), counts)
        made = []
        for each in of_speakers(rng, speakers, spread):
            share = np.arange(speakers) % 2 if own_class else rng.beta(2, 4, speakers)
            positive = rng.random(len(speaker)) < share[speaker]
            score = gap * positive + each[speaker] + rng.standard_normal(len(speaker))
            made.append(Auroc(score, positive, speaker, np.zeros(len(speaker))))
        return made[0], made[1]

    return draw


HARD = np.random.default_rng(0).normal(0.2, 0.1, 200)
"""Error of each of 200 phone pairs; those that come first are frequent."""


def abx(uneven: float, spread: float) -> Callable[..., Pair]:
    """Cells of phone pairs that a speaker happens to say, most of them alone; voices differ as A, B and X."""
    frequency = 1 / (10 + np.arange(len(HARD)))

    def draw(rng: np.random.Generator, speakers: int) -> Pair:
        rows = []
        for speaker, many in enumerate(np.minimum(sizes(rng, speakers, 15, uneven), 100)):
            first = np.argsort(rng.exponential(1, len(HARD)) / frequency)[:many]
            other = rng.permuted(np.tile(np.arange(speakers - 1), (many, 1)), axis=1)[:, :3]
            for pair, voices, count in zip(first, other, rng.integers(1, 4, many), strict=True):
                rows += [(pair, speaker, voice + (voice >= speaker)) for voice in voices[:count]]
        pair, speaker, other = np.array(rows).T
        said, heard = of_speakers(rng, speakers, spread), of_speakers(rng, speakers, spread)
        made = []
        for own, its in zip(said, heard, strict=True):
            error = HARD[pair] + own[speaker] + its[other] + rng.normal(0, 0.15, len(pair))
            made.append(NestedMean(np.array([pair, speaker, other]), np.clip(error, 0, 1)))
        return made[0], made[1]

    return draw


DESIGNS: dict[str, Callable[..., Pair]] = {
    "accuracy": accuracy(150, 0.1, 2.2, 0.4),
    "accuracy, uneven and strong": accuracy(60, 0.8, 1.5, 1.0),
    "accuracy, few clips near the ceiling": accuracy(6, 0, 3.0, 1.0),
    "word error rate": word_errors(150, 0.1, 0.06, 0.6),
    "word error rate, uneven and strong": word_errors(150, 0.8, 0.06, 1.0),
    "AUROC": auroc(0.1, 1.5, 0.3, False),
    "AUROC, uneven and strong": auroc(0.8, 1.5, 1.0, False),
    "AUROC, one class a speaker": auroc(0.1, 2.0, 0.5, True),
    "AUROC, one class a speaker, uneven and strong": auroc(0.8, 2.0, 1.0, True),
    "ABX": abx(0.1, 0.03),
    "ABX, uneven and strong": abx(0.8, 0.08),
}


@dataclass(frozen=True)
class Found:
    """Shares of simulated corpora: the interval holds the truth, that of a difference does, a false alarm."""

    covered: float
    covered_difference: float
    alarms: float


def interval(one: Headline, scale: Scale) -> tuple[float, float]:
    """The interval that a task gives a headline of this kind."""
    if isinstance(one, Ratio):
        bounds = ratio_interval(one.sums, one.weights, level=LEVEL, scale=scale)
    else:
        bounds = jackknife(one.value(), one.without(), level=LEVEL, scale=scale)
    assert bounds is not None
    return float(bounds[0]), float(bounds[1])


def simulate(name: str, speakers: int, runs: int) -> Found:
    """Draw corpora of a design, and count."""
    rng = np.random.default_rng([speakers, *name.encode()])
    values, bounds, differences, p = [], [], [], []
    for run in range(runs):
        mine, its = DESIGNS[name](rng, speakers)
        values.append(mine.value())
        bounds.append(interval(mine, "rate" if name.startswith("word error rate") else "share"))
        found = paired_test(mine, its, level=LEVEL, seed=run, draws=999)
        assert found is not None
        differences.append(found[:2])
        p.append(found[2])
    return Found(held(bounds, np.mean(values)), held(differences, 0.0), float(np.mean(np.array(p) <= 0.05)))


def held(bounds: list[tuple[float, float]], truth: float) -> float:
    """Share of intervals that hold a value."""
    low, high = np.array(bounds).T
    return float(((low <= truth) & (truth <= high)).mean())


def main() -> None:
    """Print a row for each design and number of speakers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--only", default="")
    parser.add_argument("--picture", type=Path, help="draw the rates into this file, too")
    asked = parser.parse_args()
    print("| design | speakers | interval holds | interval of a difference holds | false alarms |")
    print("| --- | --- | --- | --- | --- |")
    made = {}
    for name in DESIGNS:
        for speakers in SPEAKERS if name.startswith(asked.only) else ():
            found = made[name, speakers] = simulate(name, speakers, asked.runs)
            rates = (found.covered, found.covered_difference, found.alarms)
            print(
                f"| {name} | {speakers} | " + " | ".join(f"{100 * rate:.1f} %" for rate in rates) + " |",
                flush=True,
            )
    if asked.picture:
        draw(made, asked.picture)


def draw(made: dict[tuple[str, int], Found], path: Path) -> None:
    """Rates of every design against what they should be."""
    names = list(dict.fromkeys(name for name, _ in made))
    figure, sides = plt.subplots(1, 2, figsize=(8, 3.6), sharey=True, layout="constrained")
    for axes, title, band in zip(
        sides,
        ("intervals that hold the truth, %", "equal models told apart, %"),
        ((93, 97), (0, 5)),
        strict=True,
    ):
        axes.axvspan(*band, color="0.9")
        axes.set_xlabel(title)
        for at, speakers in enumerate(SPEAKERS):
            own = [made[name, speakers] for name in names]
            rates = [100 * (each.covered if band[0] else each.alarms) for each in own]
            places = np.arange(len(names)) + 0.2 * (at - 1)
            axes.plot(rates, places, "os^"[at], color=f"C{at}", markersize=4, label=f"{speakers} speakers")
    sides[0].set_yticks(range(len(names)), names)
    sides[0].invert_yaxis()
    sides[1].legend(fontsize=8)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
