"""Simulated speakers: how often intervals contain the truth, and how often equal models differ significantly.

`python tests/stats/simulations.py --runs 2000` prints the table of docs/statistics.md; the tests run fewer.
The truth is the mean of the statistic over all simulated corpora with the same number of speakers.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from innerear.report.chart import Chart, save
from innerear.results.headline import Auroc, Headline, NestedMean, Ratio
from innerear.results.paired import paired_test
from innerear.stats.intervals import Scale, jackknife, ratio_interval

SPEAKERS = (8, 16, 28)
FEW = (4, 5, 6, 7)
"""Numbers of speakers at which only rates have no interval."""
LEVEL = 0.95
Pair = tuple[Headline, Headline]
"""Headlines of two equally good models on the same speakers."""


def sizes(rng: np.random.Generator, speakers: int, mean: float, spread: float) -> np.ndarray:
    """Items of each speaker: equal for a spread of 0; with 0.8 the largest of 28 is 25 times the smallest."""
    return np.maximum(4, rng.lognormal(np.log(mean), spread, speakers)).astype(int)


def speaker_effects(rng: np.random.Generator, speakers: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Effect of each speaker on two models, [speaker] each: three quarters of the variance is shared."""
    shared = rng.normal(0, spread * np.sqrt(0.75), speakers)
    one, other = rng.normal(0, spread / 2, (2, speakers))
    return shared + one, shared + other


def ratio(sums: np.ndarray, counts: np.ndarray) -> Ratio:
    """A ratio of which each speaker has one row."""
    return Ratio(sums.astype(float), counts.astype(float), np.arange(len(counts)))


def accuracy(items: float, uneven: float, at: float, spread: float) -> Callable[..., Pair]:
    """Share of correct answers; `spread` is the SD of speakers in log-odds."""

    def draw(rng: np.random.Generator, speakers: int) -> Pair:
        counts = sizes(rng, speakers, items, uneven)
        ratios = [
            ratio(rng.binomial(counts, 1 / (1 + np.exp(-at - effect))), counts)
            for effect in speaker_effects(rng, speakers, spread)
        ]
        return ratios[0], ratios[1]

    return draw


def word_errors(words: float, uneven: float, rate: float, spread: float) -> Callable[..., Pair]:
    """Word errors over words; `spread` is the SD of speakers in the logarithm of their rate."""

    def draw(rng: np.random.Generator, speakers: int) -> Pair:
        counts = sizes(rng, speakers, words, uneven)
        ratios = [
            ratio(rng.poisson(counts * rate * np.exp(effect)), counts)
            for effect in speaker_effects(rng, speakers, spread)
        ]
        return ratios[0], ratios[1]

    return draw


def auroc(uneven: float, gap: float, spread: float, own_class: bool) -> Callable[..., Pair]:
    """Scores of clips of two classes.

    With `own_class`, all clips of a speaker (or source of sound) are of one class; otherwise each model has
    its own positives, as with hallucinations. `spread` is the SD of speakers; that of clips is 1.
    """

    def draw(rng: np.random.Generator, speakers: int) -> Pair:
        counts = sizes(rng, speakers, 15, uneven)
        speaker = np.repeat(np.arange(speakers), counts)
        models = []
        for effect in speaker_effects(rng, speakers, spread):
            share = np.arange(speakers) % 2 if own_class else rng.beta(2, 4, speakers)
            positive = rng.random(len(speaker)) < share[speaker]
            score = gap * positive + effect[speaker] + rng.standard_normal(len(speaker))
            models.append(Auroc(score[None], positive, speaker, np.zeros(len(speaker))))
        return models[0], models[1]

    return draw


HARD = np.random.default_rng(0).normal(0.2, 0.1, 200)
"""Error of each of 200 phone pairs, the most frequent first."""


def abx(uneven: float, spread: float) -> Callable[..., Pair]:
    """Cells of the phone pairs that a speaker happens to say, mostly alone; voices differ as A, B and X."""
    frequency = 1 / (10 + np.arange(len(HARD)))

    def draw(rng: np.random.Generator, speakers: int) -> Pair:
        rows = []
        for speaker, many in enumerate(np.minimum(sizes(rng, speakers, 15, uneven), 100)):
            first = np.argsort(rng.exponential(1, len(HARD)) / frequency)[:many]
            other = rng.permuted(np.tile(np.arange(speakers - 1), (many, 1)), axis=1)[:, :3]
            for pair, voices, count in zip(first, other, rng.integers(1, 4, many), strict=True):
                rows += [(pair, speaker, voice + (voice >= speaker)) for voice in voices[:count]]
        pair, speaker, other = np.array(rows).T
        as_ab, as_x = speaker_effects(rng, speakers, spread), speaker_effects(rng, speakers, spread)
        models = []
        for effect_ab, effect_x in zip(as_ab, as_x, strict=True):
            error = HARD[pair] + effect_ab[speaker] + effect_x[other] + rng.normal(0, 0.15, len(pair))
            models.append(NestedMean(np.array([pair, speaker, other]), np.clip(error, 0, 1)))
        return models[0], models[1]

    return draw


# the names seed the generator: another name draws other corpora
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
class Rates:
    """Shares of simulated corpora.

    Attributes
    ----------
    covered, covered_difference
        The interval contains the truth; that of a difference of two equal models contains 0.
    alarms
        Two equal models differ significantly (p of at most 0.05).
    """

    covered: float
    covered_difference: float
    alarms: float


def interval(one: Headline, scale: Scale) -> tuple[float, float] | None:
    """The interval that tasks compute for a headline of this kind; None where speakers are too uneven."""
    if isinstance(one, Ratio):
        bounds = ratio_interval(one.sums, one.weights, level=LEVEL, scale=scale)
    else:
        bounds = jackknife(one.value(), one.without(), level=LEVEL, scale=scale)
    return bounds and (float(bounds[0]), float(bounds[1]))


def simulate(name: str, speakers: int, runs: int) -> Rates:
    """Draw corpora of a design and count."""
    rng = np.random.default_rng([speakers, *name.encode()])
    values, bounds, differences, p = [], [], [], []
    for run in range(runs):
        one, other = DESIGNS[name](rng, speakers)
        test = paired_test(one, other, level=LEVEL, seed=run, draws=999)
        if test is None:  # a class that one of a few speakers has alone
            continue
        values.append(one.value())
        if made := interval(one, "rate" if name.startswith("word error rate") else "share"):
            bounds.append(made)
        differences.append(test[:2])
        p.append(test[2])
    alarms = float(np.mean(np.array(p) <= 0.05))
    return Rates(coverage(bounds, np.mean(values)), coverage(differences, 0.0), alarms)


def coverage(bounds: list[tuple[float, float]], truth: float) -> float:
    """Share of intervals that contain a value."""
    low, high = np.array(bounds).T
    return float(((low <= truth) & (truth <= high)).mean())


def main() -> None:
    """Print a row for each design and number of speakers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5000, help="simulated corpora of each design")
    parser.add_argument("--only", default="", metavar="PREFIX", help="only designs whose name begins so")
    parser.add_argument("--few", action="store_true", help="fewer than 8 speakers, without rates and ABX")
    parser.add_argument("--picture", type=Path, help="also draw the rates into this file")
    options = parser.parse_args()
    print("| design | speakers | coverage | coverage of a difference | false alarms |")
    print("| --- | --- | --- | --- | --- |")
    by_design = {}
    for name in DESIGNS:
        if not name.startswith(options.only) or (options.few and name.startswith(("word", "ABX"))):
            continue
        for speakers in FEW if options.few else SPEAKERS:
            found = by_design[name, speakers] = simulate(name, speakers, options.runs)
            rates = (found.covered, found.covered_difference, found.alarms)
            print(
                f"| {name} | {speakers} | " + " | ".join(f"{100 * rate:.1f} %" for rate in rates) + " |",
                flush=True,
            )
    if options.picture:
        draw(by_design, options.picture)


def draw(by_design: dict[tuple[str, int], Rates], path: Path) -> None:
    """Draw the rates of every design into a .pdf, .svg or .png, with the band in which they should be."""
    data = [
        {"of": title, "design": name, "speakers": speakers, "rate": rate, "low": low, "high": high}
        for (name, speakers), found in by_design.items()
        for title, rate, low, high in (
            ("intervals that contain the truth", found.covered, 0.93, 0.97),
            ("equal models that differ significantly", found.alarms, 0, 0.05),
        )
    ]
    axis = {"type": "quantitative", "scale": {"zero": False}, "axis": {"format": ".0%", "title": None}}
    speakers = {"field": "speakers", "type": "nominal"}
    spec = {
        "data": {"values": data},
        "facet": {"field": "of", "type": "nominal", "sort": None, "title": None},
        "resolve": {"scale": {"x": "independent"}},
        "spec": {
            "width": 260,
            "height": {"step": 22},
            "encoding": {"y": {"field": "design", "type": "nominal", "sort": None, "title": None}},
            "layer": [
                {"mark": {"type": "bar", "color": "#dddddd"},
                 "encoding": {"x": {**axis, "field": "low"}, "x2": {"field": "high"}}},
                {"mark": {"type": "point", "filled": True},
                 "encoding": {"x": {**axis, "field": "rate"}, "color": speakers}},
            ],
        },
    }  # fmt: skip
    save(Chart("Simulations", "Grey: the rates that there should be.", spec, (), ()), path)


if __name__ == "__main__":
    main()
