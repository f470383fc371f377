"""Probing of whole clips: gender, accent or noise from encoder states averaged over the valid frames.

Accuracy saturates, so two more measures that still separate layers and models are reported: the length of the
online code of the labels (MDL probe, Voita & Titov 2020, §2.2), and the accuracy with few training speakers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.activations.readings import Pooled
from innerear.analysis.probes import best_layer, fit_probes
from innerear.data.schema import Corpus, Item
from innerear.data.splits import ordered_units
from innerear.models.floors import LogMelStatistics, Pitch
from innerear.protocols.base import Measurement, NotApplicable, bare_score, point
from innerear.protocols.probing import Examples, Probing, Tested
from innerear.results.schema import Curve, Score
from innerear.tasks.settings import PooledProbing
from innerear.tasks.task import Task
from innerear.util.errors import InputError
from innerear.util.executors import PROCESSES

CODE = "online-code"
"""Name of the curve of bits per label."""

_OF_THE_SCENE = ("condition", "snr", "noise")
"""Labels that a task makes itself when it mixes noise in."""


class PooledProbingProtocol(Probing):
    """Probe for a property of the speaker or of the scene."""

    hears_long = True

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, PooledProbing)
        self.settings = task.measure
        self._leave_rare_classes_out()
        self.classes = self._classes()
        self._folds = self.folds()

    def _unusable_reason(self, item: Item) -> str | None:
        assert isinstance(self.task.measure, PooledProbing)
        label = self.task.measure.label
        if label not in _OF_THE_SCENE and not item.label(label):
            return f"{item.id} has no {label}, which the task needs"
        return super()._unusable_reason(item)

    def _members(self) -> dict[str, set[str]]:
        """The speakers (or other units of the split) of each class."""
        members: dict[str, set[str]] = {}
        for corpus in self.corpora.values():
            for item in corpus:
                if not (label := item.label(self.settings.label)):
                    raise InputError(
                        f"{corpus.name}: {item.id} has no {self.settings.label}, which the task needs"
                    )
                members.setdefault(label, set()).add(self.rule.unit_of(item))
        return members

    def _leave_rare_classes_out(self) -> None:
        """Refuse clips of classes with one speaker, as long as two classes are left."""
        members = self._members()
        rare = {label for label, units in members.items() if len(units) < 2}
        if len(members) - len(rare) < 2:
            return
        for role, corpus in self.corpora.items():
            alone = [item for item in corpus if item.label(self.settings.label) in rare]
            refused = ((item.id, self._alone(item.label(self.settings.label))) for item in alone)
            kept = corpus.with_items(item for item in corpus if item.label(self.settings.label) not in rare)
            self.corpora[role] = replace(kept, refused=(*corpus.refused, *refused))

    def _alone(self, label: str) -> str:
        return (
            f"{self.settings.label} {label!r} has one {self.rule.unit} only, so it cannot be both learnt and "
            "tested"
        )

    def _classes(self) -> tuple[str, ...]:
        """Sorted classes; each must have at least two speakers."""
        members = self._members()
        if len(members) < 2:
            raise NotApplicable(
                f"{self.corpus.name}: all clips have the {self.settings.label} {next(iter(members))!r}; "
                "a probe needs two classes"
            )
        for label, units in members.items():
            if len(units) < 2:
                raise NotApplicable(f"{self.corpus.name}: {self._alone(label)}; leave it out or add another")
        return tuple(sorted(members))

    def floors(self) -> Sequence[Listener]:
        """Statistics of log-mel, and of pitch if the task wants it."""
        log_mel = LogMelStatistics(self.settings.log_mel_bands)
        return (log_mel, Pitch()) if self.settings.pitch else (log_mel,)

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """The mean state of every clip."""
        return {role: self.demand(corpus, Pooled()) for role, corpus in self.corpora.items()}

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Probe every layer; compute the online code of the labels; probe with few training speakers."""
        data = {role: self._examples(self.corpora[role], states) for role, states in captured.items()}
        test, train = data["test"], data.get("train")
        sites, grid = listener.encoder_sites, self.settings.probe.grid
        draws = self.settings.control_draws
        probed = self.probe(grid, self._folds, self.classes, test, train, device, draws)
        summary = self.summarise(sites, self.classes, test, probed, recurring=False)
        bits = self._code(train or test, probed, device)
        best = best_layer(probed.dev)
        code = Curve(
            name=CODE, metric="bits per label", unit="bits", kind="model", n=len((train or test).label),
            points=[point(layer, sites, float(value)) for layer, value in enumerate(bits)],
        )  # fmt: skip
        uniform = float(np.log2(len(self.classes)))
        scores: dict[str, Score] = {
            "code_bits": bare_score(bits[best], code.n, "bits", "lower", column="bits"),
            "code_bits_best": bare_score(bits.min(), code.n, "bits", "lower"),
            "compression": bare_score(uniform / bits[best], code.n, "ratio", "higher"),
            "balanced_accuracy": self._balanced(test, probed),
        }
        for few in self.settings.few:
            scores[f"accuracy_at_{few}_speakers"] = self._few(few, test, train or test, probed, device)
        return replace(
            summary,
            scores=summary.scores | scores,
            curves=[*summary.curves, code],
            split=self.split_info(self._folds, test, train),
            tuned=summary.tuned | {"grid": sorted(grid), "portions": list(self.settings.portions)},
        )

    def _examples(self, corpus: Corpus, captured: Captured) -> Examples:
        items = [corpus.items[index] for index in captured.indices]
        return Examples(
            corpus=corpus,
            values=captured.stacked("states"),
            label=np.array([self.classes.index(item.label(self.settings.label)) for item in items]),
            type=np.array([self._control_unit(item) for item in items]),
            item=captured.indices,
            unit=np.array([item.id for item in items]),
        )

    def _control_unit(self, item: Item) -> str:
        """Unit that gets one control label: the speaker, or each class of a speaker that has several."""
        noisy = self.settings.label in _OF_THE_SCENE
        return f"{item.cluster}|{item.label(self.settings.label)}" if noisy else item.cluster

    def _balanced(self, test: Examples, probed: Tested) -> Score:
        """Balanced accuracy: the mean recall of the classes."""
        recall = [
            float((probed.chosen == at)[test.label == at].mean())
            for at in range(len(self.classes))
            if (test.label == at).any()
        ]
        return bare_score(float(np.mean(recall)), len(test.label), "fraction", "higher", column="balanced")

    def _order(self, source: Examples, items: Sequence[int]) -> list[np.ndarray]:
        """Rows of each speaker of some items, in an order whose every prefix is balanced.

        It is balanced by class first, so that the first few speakers are of several classes, then by gender
        and accent.
        """
        allowed = {self.rule.unit_of(source.corpus.items[index]) for index in items}
        units = [unit for unit in ordered_units(source.corpus, self.rule) if unit in allowed]
        first = {self.rule.unit_of(item): item for item in reversed(source.corpus.items)}
        dealing = _evenly(units, lambda unit: f"{first[unit].gender}|{first[unit].accent}")
        order = _evenly(dealing, lambda unit: first[unit].label(self.settings.label))
        mine = np.array([self.rule.unit_of(source.corpus.items[index]) for index in source.item])
        return [np.flatnonzero(mine == unit) for unit in order]

    def _code(self, source: Examples, probed: Tested, device: str) -> np.ndarray:
        """Bits per label of the online code by layer, with the median C that dev chose.

        The first portion is coded uniformly, each later one with a probe fitted on all portions before it.
        """
        speakers = self._order(source, range(len(source.corpus)))
        ends = sorted({max(1, round(share * len(speakers))) for share in self.settings.portions})
        c = np.median([fit.c for fit in probed.tuned], axis=0)[:, None]
        layers, classes = len(source.values), len(self.classes)
        first = np.concatenate(speakers[: ends[0]])
        portions = [
            (np.concatenate(speakers[:start]), np.concatenate(speakers[start:end]))
            for start, end in zip(ends, [*ends[1:], len(speakers)], strict=True)
            if end > start
        ]

        def cost(portion: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
            known, sent = portion
            if len(np.unique(source.label[known])) < classes:  # a probe cannot code a class it has not seen
                return np.full(layers, len(sent) * np.log2(classes))
            fit = fit_probes(
                source.values, source.label, known, known, classes=classes, grid=c, device=device
            )
            logits = fit.probes.logits(source.values, sent).astype(np.float64)
            log_z = np.logaddexp.reduce(logits, axis=-1)
            right = np.take_along_axis(logits, source.label[sent][None, :, None], axis=-1)[..., 0]
            return np.asarray((log_z - right).sum(axis=1) / np.log(2))

        bits = np.full(layers, len(first) * np.log2(classes))
        for portion in PROCESSES.map(cost, portions, device):
            bits += portion
        return np.asarray(bits / len(source.label))

    def _few(self, few: int, test: Examples, source: Examples, probed: Tested, device: str) -> Score:
        """Test accuracy of the layer that dev chose, trained on the first `few` speakers of each fold."""
        units = []
        for fold, tuned in zip(self._folds, probed.tuned, strict=True):
            learn = np.concatenate(self._order(source, fold.train)[:few])
            if len(np.unique(source.label[learn])) < 2:
                raise NotApplicable(
                    f"{source.corpus.name}: the first {few} speakers of a fold have one class; raise `few`"
                )
            units.append((learn, test.rows(fold.test), best_layer(tuned.dev_score), tuned.c))

        def hits(unit: tuple[np.ndarray, np.ndarray, int, np.ndarray]) -> np.ndarray:
            learn, held, layer, c = unit
            fit = fit_probes(
                source.values[layer][None], source.label, learn, learn,
                classes=len(self.classes), grid=c[[layer], None], device=device,
            )  # fmt: skip
            return np.asarray(fit.probes.predict(test.values[layer][None], held)[0] == test.label[held])

        right = np.zeros(len(test.label))
        for (_, held, _, _), hit in zip(units, PROCESSES.map(hits, units, device), strict=True):
            right[held] = hit
        return self.score(right, self.clusters_of(test.item))


def _evenly(units: Sequence[str], group_of: Callable[[str], str]) -> list[str]:
    """Units in an order whose every prefix represents the groups; within a group the order is kept."""
    groups: dict[str, list[str]] = {}
    for unit in units:
        groups.setdefault(group_of(unit), []).append(unit)
    rounds = sorted(
        ((place + 0.5) / len(members), name, place, unit)
        for name, members in groups.items()
        for place, unit in enumerate(members)
    )
    return [unit for *_, unit in rounds]
