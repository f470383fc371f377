"""Splits: folds disjoint by speaker and by sentence, which depend on names and a seed only."""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from innerear.data.schema import Corpus, Item
from innerear.util.errors import InputError
from innerear.util.words import counted


class TooFewUnits(InputError):
    """A corpus has too few speakers (or other units) for a split."""


class SplitRule(BaseModel):
    """How a task divides a corpus.

    There are `folds` test folds over speakers; in each, a share `dev_speakers` of the others is the dev set.
    With `sentence_disjoint`, sentences that several speakers read are left out beforehand, so that no
    sentence can be on two sides. `unit` names what a fold keeps together instead of speakers: a field of
    `Item.extra` (kinds of sound, blocks of words); items without that field keep their speaker. A clip whose
    speaker is not known is a speaker of its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["speaker-folds"]
    folds: int = Field(ge=2)
    dev_speakers: Annotated[float, Field(gt=0, lt=1)]
    sentence_disjoint: bool
    seed: int
    unit: str = "speaker"

    def unit_of(self, item: Item) -> str:
        """The unit of an item (its speaker, for most rules), which a split keeps on one side."""
        return dict(item.extra).get(self.unit, item.cluster)

    def usable(self, corpus: Corpus) -> tuple[Item, ...]:
        """Items that the rule admits, in order.

        Raises
        ------
        InputError
            If every sentence is read by several speakers.
        """
        if not self.sentence_disjoint:
            return corpus.items
        readers = defaultdict(set)
        for item in corpus:
            readers[sentence(item.text)].add(item.cluster)
        own = tuple(item for item in corpus if not item.is_speech or len(readers[sentence(item.text)]) == 1)
        if not own:
            raise InputError(
                f"{corpus.name}: every sentence is read by several speakers, so no split can be disjoint by "
                "speaker and sentence; choose a task that holds the words fixed"
            )
        return own


@dataclass(frozen=True)
class Fold:
    """Indices of items for training, for model selection (dev), and for scoring."""

    train: tuple[int, ...]
    dev: tuple[int, ...]
    test: tuple[int, ...]


def sentence(text: str) -> str:
    """The words of a text without case and punctuation: two sentences are the same if these are."""
    kept = (
        letter if letter.isalnum() or letter in "_'" or unicodedata.category(letter)[0] == "M" else " "
        for letter in text.lower()
    )  # fmt: skip
    return " ".join("".join(kept).split())


def make_folds(corpus: Corpus, rule: SplitRule) -> list[Fold]:
    """Divide a corpus: each speaker is in the test set of exactly one fold.

    Speakers are ordered within (gender, accent) by the hash of seed and name, and dealt out in turn, so the
    folds depend on names and seed only and are balanced where gender and accent are known. The corpus must
    hold only what `rule.usable` admits.

    Raises
    ------
    TooFewUnits
        If there are too few speakers for train, dev and test in every fold.
    """
    speakers = ordered_units(corpus, rule)
    largest = -(-len(speakers) // rule.folds)
    if len(speakers) < rule.folds or len(speakers) - largest < 2:
        raise TooFewUnits(
            f"{corpus.name}: {counted(len(speakers), rule.unit, 'is')} too few for {rule.folds} folds"
            f" disjoint by {rule.unit}"
        )
    folds = []
    for number in range(rule.folds):
        test = set(speakers[number :: rule.folds])
        others = [speaker for speaker in speakers if speaker not in test]
        dev = _share(others, rule.dev_speakers)
        train = [speaker for speaker in others if speaker not in dev]
        folds.append(Fold(*(_items(corpus, side, rule) for side in (train, dev, test))))
    return folds


def transfer_fold(source: Corpus, target: Corpus, rule: SplitRule) -> Fold:
    """One fold that trains on `source` (some of its speakers held out as dev) and tests on all of `target`.

    Items of `source` whose speaker (or other unit), clip or, if the rule says so, sentence occurs in `target`
    are left out of both train and dev.
    """
    taken, clips = {rule.unit_of(item) for item in target}, {item.audio_sha256 for item in target}
    tested = {sentence(item.text) for item in target if item.is_speech} if rule.sentence_disjoint else set()
    speakers = [speaker for speaker in ordered_units(source, rule) if speaker not in taken]
    if len(speakers) < 2:
        raise TooFewUnits(
            f"{source.name}: {counted(len(speakers), rule.unit, 'is')} not in {target.name}, too few to hold"
            " some out for dev"
        )
    dev = _share(speakers, rule.dev_speakers)
    train = [speaker for speaker in speakers if speaker not in dev]
    sides = [
        tuple(
            index
            for index in _items(source, side, rule)
            if (item := source.items[index]).audio_sha256 not in clips
            and not (item.is_speech and sentence(item.text) in tested)
        )
        for side in (train, dev)
    ]
    if not all(sides):
        raise InputError(
            f"{source.name}: all sentences or clips are in {target.name}; nothing is left to train on"
        )
    return Fold(sides[0], sides[1], tuple(range(len(target))))


def ordered_units(corpus: Corpus, rule: SplitRule) -> list[str]:
    """Speakers (or other units), group by group, so that every k-th one samples all groups."""
    groups: dict[tuple[str, str], set[str]] = defaultdict(set)
    for item in corpus:
        groups[item.gender, item.accent].add(rule.unit_of(item))
    order = (speaker for group in sorted(groups) for speaker in sorted(groups[group], key=_hashed(rule.seed)))
    return list(dict.fromkeys(order))


def _hashed(seed: int) -> Callable[[str], str]:
    return lambda speaker: sha256(f"{seed}:{speaker}".encode()).hexdigest()


def _share(speakers: list[str], share: float) -> set[str]:
    """Evenly spaced share of the ordered speakers: at least one, and never all."""
    count = min(max(1, round(share * len(speakers))), len(speakers) - 1)
    return {speakers[(2 * rank + 1) * len(speakers) // (2 * count)] for rank in range(count)}


def _items(corpus: Corpus, units: Iterable[str], rule: SplitRule) -> tuple[int, ...]:
    wanted = set(units)
    return tuple(index for index, item in enumerate(corpus) if rule.unit_of(item) in wanted)
