"""Speed: how fast a model hears and writes on one machine, and what it costs to look inside.

Each repetition times every quantity, the next one in the opposite order, so that a machine that grows slower
or busier moves them all; scores are medians over repetitions. The device is synchronised before and after,
and on a GPU its own clock counts.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import psutil
import torch

from innerear.activations.capture import Demand, capture
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener, Stopwatch
from innerear.activations.readings import Frames
from innerear.analysis.probes import fit_probes
from innerear.data.phones import ARPABET
from innerear.data.schema import Corpus, Item
from innerear.interventions.ablation import ablated, heads
from innerear.interventions.run import generate
from innerear.models.base import SpeechModel
from innerear.protocols.base import Direction, Measurement, NotApplicable, Protocol, bare_score
from innerear.protocols.phone_probing import labelled, phone_frames
from innerear.protocols.probing import Examples
from innerear.results.schema import Score
from innerear.stats.intervals import median_interval
from innerear.tasks.settings import Speed
from innerear.tasks.task import Task
from innerear.util.processes import one_thread

Work = Callable[[], object]
HEADLINE = "encoder_ms"
SCORES: Mapping[str, tuple[str, Direction, str]] = {
    HEADLINE: ("ms", "lower", ""),
    "encoder_ms_best": ("ms", "lower", "ms, best batch"),
    "rtfx": ("×", "higher", "RTFx"),
    "rtfx_best": ("×", "higher", "RTFx, best batch"),
    "capture_ratio": ("×", "lower", "capture / bare"),
    "sweep_ms": ("ms", "lower", "sweep ms a head"),
    "probe_s": ("s", "lower", "probe s a layer"),
    "watts": ("W", "none", "W"),
}
"""Unit, direction and column of each quantity."""
WORTH = 0.95
"""Share of the time for a clip that more clips at once must come down to, so that even more are tried."""
TRAINED = 0.8
"""Share of the phones that the probe is trained on; the rest chooses C."""


class _Best(NamedTuple):
    """The number of clips at once that takes least time for one, and milliseconds a clip of all tried."""

    batch: int
    tried: list[dict[str, float]]


def seconds(device: torch.device, work: Work) -> float:
    """Seconds that work takes, with the device synchronised before and after; a GPU's by its own events."""
    watch = Stopwatch(device)
    with watch.time("encoder"):
        work()
    return watch.gpu_ms / 1000 if device.type == "cuda" else watch.seconds["encoder"]


class SpeedProtocol(Protocol):
    """Time a model."""

    languages = "English"

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, Speed)
        self.settings = task.measure
        self.frames = phone_frames(self.corpus)

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """The middle frame of every phone, for the probe that is timed."""
        return {"frames": self.demand(self.corpus, Frames(self.frames.times))}

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Time everything `repetitions` times."""
        assert isinstance(listener, SpeechModel)
        examples = labelled(self.corpus, self.frames, captured["frames"])
        items = [self.corpus.items[at] for at in captured["frames"].indices][: self.settings.timed]
        if listener.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(listener.device)
        before = psutil.getloadavg()[0]
        timed = _Timed(listener, self.corpus.with_items(items), self.frames.times, self.settings)
        best = timed.best_batch()
        works = timed.works(best.batch) | self._probe(examples, device)
        values = _repeated(works, self.settings, listener.device)
        load = max(before, psutil.getloadavg()[0])
        scores = {name: self._median(name, own) for name, own in values.items()}
        scores["batch"] = bare_score(best.batch, len(items), "clips", column="best batch")
        scores["load"] = bare_score(load, self.settings.repetitions, "processes", column="load")
        if listener.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(listener.device) / 2**30
            scores["memory_gib"] = bare_score(peak, self.settings.repetitions, "GiB", column="GiB")
        rows = [
            {"item": f"repetition {at}", "unit": f"{name}, repetition {at}", "speaker": f"repetition {at}",
             "quantity": name, "outcome": value}
            for name, own in values.items() for at, value in enumerate(own, start=1)
        ]  # fmt: skip
        return Measurement(
            headline=HEADLINE, scores=scores, curves=[], items=pd.DataFrame(rows),
            tables={"batches": [*best.tried]}, tuned={"batch": best.batch},
        )  # fmt: skip

    def _probe(self, examples: Examples, device: str) -> dict[str, "_Quantity"]:
        """Probes of all layers with every C of the grid, fitted where probes of this run are."""
        rows = np.arange(len(examples.label))
        train, dev = np.split(rows, [int(TRAINED * len(rows))])
        if not len(dev) or len(set(examples.label[train])) < 2:
            raise NotApplicable(
                f"{self.corpus.name}: {len(rows)} phones are too few for the probe that is timed"
            )

        def fit() -> None:
            fit_probes(
                examples.values, examples.label, train, dev,
                classes=len(ARPABET), grid=self.settings.probe.grid, device=device,
            )  # fmt: skip

        return {"probe_s": _Quantity(fit, lambda taken: taken / len(examples.values))}

    def _median(self, name: str, values: Sequence[float]) -> Score:
        unit, direction, column = SCORES[name]
        low, high = median_interval(np.array(values), level=self.task.confidence) or (None, None)
        median = float(np.median(values))
        return Score(
            value=median, low=low, high=high, n=len(values), unit=unit, direction=direction, column=column
        )


@dataclass(frozen=True)
class _Quantity:
    """Something to time, and what its seconds say.

    Attributes
    ----------
    over
        Work whose seconds in the same repetition it is divided by.
    """

    work: Work
    value: Callable[[float], float]
    over: Work | None = None
    alone: bool = False
    """Whether it runs with one thread."""


@dataclass(frozen=True)
class _Timed:
    """What is timed of a model on a few clips; those at once are copies of the clip of median length."""

    model: SpeechModel
    corpus: Corpus
    times: Mapping[str, np.ndarray]
    settings: Speed

    @property
    def _middle(self) -> Item:
        return sorted(self.corpus, key=lambda item: item.duration)[len(self.corpus) // 2]

    def best_batch(self) -> _Best:
        """The fastest of the numbers of clips at once: the next larger one is tried while a clip gains by it.

        One that does not fit into the memory of the GPU, to hear or to write, ends the search.
        """
        clip, tried, best = self._middle.audio(), [], 0
        for batch in self.settings.batches:
            try:
                work = self._heard([clip] * batch)
                work()
                self._written([self._middle], batch)()
                taken = [seconds(self.model.device, work) for _ in range(3)]
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                break
            tried.append({"batch": batch, "encoder_ms": 1000 * float(np.median(taken)) / batch})
            if best and tried[-1]["encoder_ms"] > WORTH * tried[-2]["encoder_ms"]:
                break
            best = batch
        if not best:
            raise NotApplicable(f"{self.model.identity.name}: {self.settings.batches[0]} clips do not fit")
        return _Best(best, tried)

    def works(self, batch: int) -> dict[str, _Quantity]:
        """All quantities but the probe's."""
        items, middle = self.corpus.items, self._middle
        clips, audio = [item.audio() for item in items], sum(item.duration for item in items)
        made = {
            HEADLINE: _Quantity(self._heard(*([clip] for clip in clips)), lambda s: 1000 * s / len(clips)),
            "encoder_ms_best": _Quantity(self._heard([middle.audio()] * batch), lambda s: 1000 * s / batch),
            "capture_ratio": self._captured(clips, 1 if self.model.device.type == "cpu" else batch),
        }
        if self._writes and self.model.capabilities.trained:  # random weights write up to the limit
            made["rtfx"] = _Quantity(self._written(items, 1), lambda s: audio / s)
            made["rtfx_best"] = _Quantity(
                self._written([middle], batch), lambda s: batch * middle.duration / s
            )
        if self.model.lacks("decoder") is None:
            worlds = [ablated([site]) for site in heads(self.model)]
            with torch.inference_mode(), self._prompt(middle):
                encoded = self.model.encode([middle.audio()])

            def sweep() -> None:
                with self._prompt(middle):
                    generate(self.model, encoded, worlds, max_tokens=self.settings.tokens)

            made["sweep_ms"] = _Quantity(sweep, lambda s: 1000 * s / len(worlds))
        return made

    @property
    def _writes(self) -> bool:
        return self.model.lacks("text") is None

    def _prompt(self, item: Item) -> AbstractContextManager[None]:
        return self.model.prompted(self.model.prompted_language(item))

    def _heard(self, *batches: Sequence[np.ndarray]) -> Work:
        """Front end and encoder, with no hook active."""

        def work() -> None:
            with torch.inference_mode():
                for clips in batches:
                    self.model.encode(clips)

        return work

    def _written(self, items: Sequence[Item], copies: int) -> Work:
        """Plain transcription, an item after the other; nothing of a model without a text head."""
        clips = [item.audio() for item in items]

        def work() -> None:
            for item, clip in zip(items, clips, strict=True):
                with self._prompt(item):
                    self.model.transcribe([clip] * copies)

        return work if self._writes else lambda: None

    def _captured(self, clips: Sequence[np.ndarray], batch: int) -> _Quantity:
        """Capture of all layers, over the bare encoder on the same batches.

        On a CPU capture hears clips in processes of one thread; both are timed in one such.
        """
        groups = defaultdict(list)
        for clip in clips:
            groups[self.model.batch_key(len(clip))].append(clip)
        batches = [own[at : at + batch] for own in groups.values() for at in range(0, len(own), batch)]
        demand = Demand(self.corpus, Frames(self.times))
        return _Quantity(
            lambda: capture(self.model, [demand], batch_size=batch, strict=True),
            lambda ratio: ratio,
            over=self._heard(*batches),
            alone=self.model.device.type == "cpu",
        )


def _repeated(
    works: Mapping[str, _Quantity], settings: Speed, device: torch.device
) -> dict[str, list[float]]:
    """Values of each quantity by repetition, and watts of the GPU while it hears the best batch."""
    values: dict[str, list[float]] = defaultdict(list)
    for number in range(-settings.warm_up, settings.repetitions):
        for name in works if number % 2 else reversed([*works]):
            value = _once(works[name], device, backwards=bool(number % 2))
            if number >= 0:
                values[name].append(value)
            if number >= 0 and name == "encoder_ms_best" and (watts := _watts(device)) is not None:
                values["watts"].append(watts)
    if len(values.get("watts", ())) < settings.repetitions:
        values.pop("watts", None)  # the driver told it at some times only
    return {name: values[name] for name in SCORES if name in values}


def _once(each: _Quantity, device: torch.device, backwards: bool) -> float:
    """One value of a quantity; of two works, the order may be the other one."""
    works = [each.work] if each.over is None else [each.work, each.over]
    taken = {}
    with one_thread() if each.alone else nullcontext():
        for work in reversed(works) if backwards else works:
            taken[work] = seconds(device, work)
    return each.value(taken[each.work] / (taken[each.over] if each.over else 1.0))


def _watts(device: torch.device) -> float | None:
    """Watts that a GPU draws, averaged by its driver over the last moments; None where it does not tell."""
    if device.type != "cuda":
        return None
    try:
        return torch.cuda.power_draw(device) / 1000
    except Exception:  # without nvidia-ml-py, or what its library raises where the GPU does not tell
        return None
