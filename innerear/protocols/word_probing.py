"""Word probing: whether the encoder represents the semantic category of a spoken word, beyond its sounds.

States are averaged over each spoken word, and a probe predicts its category; no test word is in training, by
any voice. The same probe on a bag of phones, which only has the sounds, is the baseline.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.activations.readings import Stretches
from innerear.data.phones import ARPABET
from innerear.data.schema import Corpus, Item, Segment
from innerear.data.word_categories import word_categories
from innerear.models.floors import LogMel, LogMelSpec
from innerear.protocols.base import Measurement, point
from innerear.protocols.probing import Examples, Probing, Tested
from innerear.results.schema import Curve
from innerear.tasks.settings import WordProbing
from innerear.tasks.task import Task
from innerear.util.errors import InputError

PHONE_BAG = "bag-of-phones"
"""Name of the curve of the same probe on phone counts: one value, drawn over all layers."""


class WordProbingProtocol(Probing):
    """Probe for the category of a spoken word."""

    languages = "English"
    hears_long = True

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, WordProbing)
        self.settings = task.measure
        if task.train_corpus is not None:
            raise InputError(
                f"{task.id}: words are held out within one corpus; run it without --train-corpus"
            )
        known = word_categories()
        self.words = {
            item.id: tuple(word for word in item.words if word.label.lower() in known) for item in self.corpus
        }
        if not any(self.words.values()):
            raise InputError(
                f"{self.corpus.name}: no clip has times of the listed words; use innerear-words "
                "or align the corpus"
            )
        self.classes = tuple(sorted(set(known.values())))
        self._category = known
        self._folds = self.folds()

    def floors(self) -> Sequence[Listener]:
        """Log-mel averaged over each word."""
        return (LogMel(LogMelSpec(self.settings.log_mel_bands, 0)),)

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """The mean state of every word."""
        spans = {
            name: np.array([(word.start, word.end) for word in words]).reshape(-1, 2)
            for name, words in self.words.items()
        }
        return {"test": self.demand(self.corpus, Stretches(spans, mean=True))}

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Probe every layer and the bag of phones."""
        test = self._examples(captured["test"])
        sites, grid, draws = listener.encoder_sites, self.settings.probe.grid, self.settings.control_draws
        probed = self.probe(grid, self._folds, self.classes, test, None, device, draws)
        self._require_held_out_words(test, probed)
        summary = self.summarise(sites, self.classes, test, probed, recurring=False)
        bag = replace(test, values=self._bags(captured["test"])[None])
        phones = self.probe(grid, self._folds, self.classes, bag, None, device, 0)
        cluster = self.clusters_of(test.item)
        by_phones = (phones.chosen == test.label).astype(float)
        outcome = (probed.chosen == test.label).astype(float)
        score = self.score(by_phones, cluster, direction="none", column="phone bag")
        bounds = None if score.low is None or score.high is None else (score.low, score.high)
        line = Curve(
            name=PHONE_BAG, metric="accuracy", kind="floor", n=len(test.label),
            points=[point(layer, sites, score.value, bounds) for layer in range(len(sites))],
        )  # fmt: skip
        gain = self.score(outcome - by_phones, test.type, column="over phones", scale="difference")
        return replace(
            summary,
            scores=summary.scores
            | {
                "phone_bag": score,
                "gain_over_phones": gain,
                "accuracy_by_word": self.score(outcome, test.type),
            },
            curves=[*summary.curves, line],
            split=self.split_info(self._folds, test, None),
            tuned=summary.tuned | {"grid": sorted(grid)},
        )

    def _require_held_out_words(self, test: Examples, probed: Tested) -> None:
        if probed.recurring.any():
            word = test.type[probed.recurring][0]
            raise InputError(
                f"{self.corpus.name}: {word!r} is in training and in test of a fold; give the task a split "
                "whose unit keeps every word on one side (innerear-words: block)"
            )

    def _spoken_words(self, captured: Captured) -> list[tuple[int, Item, Segment]]:
        items = ((index, self.corpus.items[index]) for index in captured.indices)
        return [(index, item, word) for index, item in items for word in self.words[item.id]]

    def _examples(self, captured: Captured) -> Examples:
        spoken = self._spoken_words(captured)
        names = np.array([word.label.lower() for _, _, word in spoken])
        return Examples(
            corpus=self.corpus,
            values=captured.joined("states"),
            label=np.array([self.classes.index(self._category[name]) for name in names]),
            type=names,
            item=np.array([index for index, _, _ in spoken]),
            unit=np.array([f"{item.id}@{word.start:.3f}" for _, item, word in spoken]),
        )

    def _bags(self, captured: Captured) -> np.ndarray:
        """Counts of phones in each word, float32 [word, phone]."""
        spoken = self._spoken_words(captured)
        bags = np.zeros((len(spoken), len(ARPABET)), dtype=np.float32)
        for row, (_, item, word) in enumerate(spoken):
            for phone in item.phones:
                if word.start <= phone.middle < word.end and phone.label in ARPABET:
                    bags[row, ARPABET.index(phone.label)] += 1
        return bags
