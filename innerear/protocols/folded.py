"""Base of tasks that learn from states in folds: their sides, and how results describe them."""

from collections.abc import Sequence
from typing import Protocol as Structure

import numpy as np

from innerear.data.schema import Corpus
from innerear.data.splits import Fold, SplitRule, make_folds, transfer_fold
from innerear.protocols.base import Protocol
from innerear.results.schema import FoldInfo, Side, SplitInfo
from innerear.util.errors import InputError


class Learnt(Structure):
    """States of a corpus that is learnt from or tested."""

    @property
    def corpus(self) -> Corpus:
        """The corpus."""

    def rows(self, items: Sequence[int]) -> np.ndarray:
        """Indices of the states of these items."""


class Folded(Protocol):
    """A protocol that learns from states: it has random twins, and folds by the task's split rule."""

    twins = True

    @property
    def rule(self) -> SplitRule:
        """The split rule.

        Raises
        ------
        InputError
            If the task has none.
        """
        if self.task.split is None:
            raise InputError(f"{self.task.id}: {self.task.measure.protocol} needs a split; give the task one")
        return self.task.split

    def folds(self) -> list[Fold]:
        """Folds of the corpus, or a single one if probes learn from another corpus."""
        if "train" in self.corpora:
            return [transfer_fold(self.corpora["train"], self.corpus, self.rule)]
        return make_folds(self.corpus, self.rule)

    def split_info(self, folds: Sequence[Fold], test: Learnt, train: Learnt | None) -> SplitInfo:
        """Sizes of the sides of each fold, and the number of clips left out."""
        source = train or test
        usable = len(source.corpus)

        def side(examples: Learnt, items: Sequence[int]) -> Side:
            units = {self.rule.unit_of(examples.corpus.items[index]) for index in items}
            return Side(items=len(items), speakers=len(units), frames=len(examples.rows(items)))

        lost = self.left_out["train" if train else "test"]
        if train:  # clips with sentences of the test corpus are not used for training
            lost += usable - len(folds[0].train) - len(folds[0].dev)
        return SplitInfo(
            rule=f"{self.rule.kind} by {self.rule.unit}"
            + ("" if train is None else ", all of the test corpus tested"),
            seed=self.rule.seed,
            folds=[
                FoldInfo(
                    train=side(source, fold.train),
                    dev=side(source, fold.dev),
                    test=side(test, fold.test),
                    dropped_shared_sentences=lost,
                )
                for fold in folds
            ],
        )
