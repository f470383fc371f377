"""Work out 100 models on 1,000 hours from measured rates.

`python benchmarks/scale.py` prints the tables of docs/scale.md. Rates are those of `measured/` and
`RATES`; all else is assumed, and named here with its value.
"""

from collections.abc import Iterator
from math import sqrt
from typing import NamedTuple

from measured import Measured, measured

from innerear.runs.estimate import TOKENS_PER_SECOND

HOURS, CLIP, PHONES = 1000, 12.3, 11.5
"""Of speech; seconds of a clip (LibriSpeech's mean), each heard as a window of 30 s; phones a second."""
MODELS = {0.3e9: 40, 1.2e9: 40, 6e9: 20}
"""How many models of how many parameters; the last are audio language models."""
DRAWN, SWEPT = 100_000, 500
"""Phones that probes are fitted on, and clips that sweeps take."""
LARGE, LAYERS, DIM, HEADS = 1.54e9, 33, 1280, 1280
"""Whisper large-v3: parameters, sites and width of its encoder, heads of its decoder."""
FOLDS, TRAINED, FITS = 4, 0.6, 2
"""Folds, the share of the phones that each learns from, and fits of each: the probe, and its control."""
SUBJECTS = 2
"""A model and its random twin, which hears and is probed again."""
GPU_HOUR, DISK_MONTH, TRANSFER = 3.0, 0.08, 0.09
"""Prices in $: of a GPU hour, and of a GB of disk for a month and of network."""
FLAC = 64
"""GB of 1,000 hours of speech, as LibriSpeech's 60 GB are of 960."""

RATES = {"audio tower": 0.0068, "prompt and audio": 0.033, "24 steps of 64 rows": 1.8}
"""Seconds of a model of Qwen2-Audio's size (8.4 B, bfloat16; H200), measured by a script that is not kept."""
AUDIO_LM, STEPS, ROWS, FRAMES = 8.4e9, 24, 64, 1651
"""Its parameters; steps and rows of its rate; frames of the rate of probes."""
GOAL = 3.0
"""Seconds of a sweep of a clip where all rows of an audio language model share one prefix: a goal."""


class Rates(NamedTuple):
    """Seconds: a clip of the encoder in two types of numbers, a layer of probes, a clip of sweeps."""

    exact: float
    half: float
    captured: float
    layer: float
    sweep: float
    hooked: float
    copied: float

    @classmethod
    def of(cls, found: Measured) -> "Rates":
        """Those that are recorded."""

        def value(benchmark: str, of: str) -> float:
            (figure,) = (
                each for each in found.figures
                if each.benchmark == f"{benchmark}, before" and of in f"{each.of}, {each.machine}, {each.how}"
            )  # fmt: skip
            return figure.value

        return cls(
            exact=value("encoder, ms a clip", "float32") / 1000,
            half=value("encoder, ms a clip", "bfloat16") / 1000,
            captured=value("capture / bare", "large-v3"),
            layer=value("probes at large-v3's size, seconds a layer", "fold, NVIDIA"),
            sweep=value("sweep, ms a head", "float32") * HEADS / 1000,
            hooked=value("sweep of an audio language model, s a clip", "hooked"),
            copied=value("sweep of an audio language model, s a clip", "copy the prefix"),
        )


class Plan(NamedTuple):
    """GPU hours and GB of one large model, and of all models."""

    hear: float
    hear_half: float
    write: float
    states: float
    probes: float
    drawn_states: float
    drawn_probes: float
    sweeps: float
    sweeps_lm: tuple[float, float, float]


def one(rates: Rates) -> Plan:
    """What one model of a real size costs."""
    clips, phones = HOURS * 3600 / CLIP, HOURS * 3600 * PHONES
    heard = clips * rates.captured / 3600
    tokens = CLIP * TOKENS_PER_SECOND
    write = RATES["audio tower"] + RATES["prompt and audio"]
    write += RATES["24 steps of 64 rows"] * tokens / STEPS / ROWS
    state = LAYERS * DIM * 4 / 1e9
    probe = rates.layer * LAYERS * FOLDS * FITS * TRAINED / FRAMES / 3600
    swept = SWEPT / 3600
    return Plan(
        heard * rates.exact, heard * rates.half, clips * write / 3600, phones * state, phones * probe,
        DRAWN * state, DRAWN * probe, swept * rates.sweep,
        (swept * rates.hooked, swept * rates.copied, swept * GOAL),
    )  # fmt: skip


class Whole(NamedTuple):
    """GPU hours and GB of all models.

    Time grows with parameters; states, and so the time of probes, with their root: they are layers × width.
    """

    hear: float
    write: float
    probes: float
    sweeps: float
    states: float
    weights: float

    @property
    def hours(self) -> float:
        """GPU hours together."""
        return self.hear + self.write + self.probes + self.sweeps

    @classmethod
    def of(cls, plan: Plan) -> "Whole":
        """All models in half precision, twins included."""
        total = sum(size * count for size, count in MODELS.items())
        roots = sum(sqrt(size / LARGE) * count for size, count in MODELS.items())
        largest = max(MODELS)
        lms = largest * MODELS[largest]
        return cls(
            hear=SUBJECTS * plan.hear_half * total / LARGE,
            write=plan.write * total / AUDIO_LM,
            probes=SUBJECTS * plan.drawn_probes * roots,
            sweeps=plan.sweeps * (total - lms) / LARGE + plan.sweeps_lm[1] * lms / AUDIO_LM,
            states=SUBJECTS * plan.drawn_states * roots,
            weights=2 * total / 1e9,
        )


def tables(rates: Rates) -> Iterator[str]:
    """The tables of docs/scale.md, line by line."""
    plan = one(rates)
    whole = Whole.of(plan)
    hooked, copied, goal = plan.sweeps_lm
    yield from _rows(
        ("what one model takes", "float32", "bfloat16"),
        (f"hear {HOURS:,} h, all layers (large-v3's size)", _h(plan.hear), _h(plan.hear_half)),
        (f"write {HOURS:,} h (Qwen2-Audio's size, {ROWS} rows)", "–", _h(plan.write)),
        ("probe all phones (large-v3's size)", _h(plan.probes), "–"),
        (f"probe {DRAWN:,} phones", _h(plan.drawn_probes), "–"),
        ("states of all phones", _gb(plan.states), "–"),
        (f"states of {DRAWN:,} phones", _gb(plan.drawn_states), "–"),
        (f"sweep all heads, {SWEPT} clips (large-v3's size)", _h(plan.sweeps), "–"),
        ("the same (Qwen2-Audio's size), a generate for each head", "–", f"≥ {_h(hooked)}"),
        ("… in batches that copy the prefix", "–", _h(copied)),
        (f"… with one shared prefix (a goal: {GOAL:g} s a clip)", "–", _h(goal)),
    )  # fmt: skip
    yield ""
    disk, network = whole.states + whole.weights + FLAC, whole.weights + 8 * FLAC
    yield from _rows(
        ("what all models take", "amount", "$"),
        ("hear, with twins, bfloat16", _h(whole.hear), _money(whole.hear * GPU_HOUR)),
        ("write, bfloat16", _h(whole.write), _money(whole.write * GPU_HOUR)),
        (f"probe {DRAWN:,} phones, with twins", _h(whole.probes), _money(whole.probes * GPU_HOUR)),
        (f"sweep {SWEPT} clips, prefixes copied", _h(whole.sweeps), _money(whole.sweeps * GPU_HOUR)),
        ("**GPUs together**", f"**{_h(whole.hours)}**", f"**{_money(whole.hours * GPU_HOUR)}**"),
        ("8 GPUs side by side", f"{whole.hours / 8 / 24:.1f} days", ""),
        ("disk for a month: those states, weights, speech", _gb(disk), _money(disk * DISK_MONTH)),
        ("network: weights once, speech to each of 8 nodes", _gb(network), _money(network * TRANSFER)),
    )  # fmt: skip


def _rows(head: tuple[str, ...], *rows: tuple[str, ...]) -> Iterator[str]:
    for cells in (head, ("---", *["--:"] * (len(head) - 1)), *rows):
        yield f"| {' | '.join(cells)} |"


def _h(hours: float) -> str:
    return f"{_two(hours)} GPU h"


def _gb(size: float) -> str:
    return f"{_two(size / 1000)} TB" if size >= 1000 else f"{_two(size)} GB"


def _money(dollars: float) -> str:
    return f"{_two(dollars)}"


def _two(value: float) -> str:
    """Two digits: assumptions hold no more."""
    return f"{float(f'{value:.2g}'):,g}"


if __name__ == "__main__":
    print("\n".join(tables(Rates.of(measured()))))
