"""Forced choice between two words after a context: teacher-forced log-odds, per clip or per world.

A word and its foil differ in one phone. The log-odds of the word are the log-probability (nats) that the
model gives it after the context, less that of its foil: a decoder when it is teacher-forced, a transducer in
sum over all alignments with the audio. With silence in place of the clip, they are the
prior of the text alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from pydantic import JsonValue
from torch import Tensor

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Clip
from innerear.activations.readings import Reading
from innerear.data.language import ENGLISH
from innerear.data.minimal_pairs import SpokenWord, context
from innerear.data.schema import SAMPLING_RATE, Corpus, Item
from innerear.data.silence import silence
from innerear.interventions.run import teacher_force
from innerear.interventions.spec import Tensors, World
from innerear.models.base import SpeechModel
from innerear.models.decoder import decoder_of
from innerear.models.emitting import EmittingModel, emitting
from innerear.util.errors import InputError

BATCH = 48
"""Rows of a decoder pass over texts."""
SILENCE = 2.0
"""Seconds of silence that the encoder is given where the text alone is judged."""


@dataclass(frozen=True)
class Option:
    """A word after a context, as tokens.

    `first` is the index of the word's first one; `stop` a full stop, None where the model writes none.
    """

    tokens: tuple[int, ...]
    first: int
    stop: int | None


def option(model: SpeechModel, before: str, word: str) -> Option:
    """Tokens of a context and a word, in the letters that the model writes.

    Raises
    ------
    InputError
        If the tokens of the context change with the word: the words could then not be compared after the same
        context.
    """
    before = model.letters(before)
    text = model.letters(f"{before} {word}" if before else word.capitalize())
    head, tokens = model.tokenize(before) if before else [], model.tokenize(text)
    if tokens[: len(head)] != head or len(tokens) == len(head):
        raise InputError(
            f"{model.identity.name}: the tokens of {text!r} do not begin with those of {before!r}"
        )
    ended = model.tokenize(f"{text}.")
    return Option(tuple(tokens), len(head), None if ended == tokens else ended[-1])


def options_of(model: SpeechModel, before: str, item: Item) -> list[Option]:
    """The word of a clip and its foil after a context."""
    return [option(model, before, item.label(name)) for name in ("word", "foil")]


def log_probs(
    model: SpeechModel,
    encoded: Tensor,
    options: Sequence[Option],
    worlds: Sequence[World] | None = None,
    tensors: Tensors | None = None,
) -> Tensor:
    """Log-probability [option] (nats) that each word follows its context and ends the sentence.

    The end is a full stop or end-of-text: without it the probability of "card" would count for "car".

    Parameters
    ----------
    encoded
        Encoder output of one clip for all options, [1, frame, dim], or of each, [option, frame, dim].

    Raises
    ------
    InputError
        If a transducer has interventions elsewhere than in its encoder.
    """
    if not model.decoder_layers:
        if any(each.site.stack != "encoder" for world in worlds or () for each in world):
            raise InputError(f"{model.identity.name} judges words with interventions in its encoder only")
        return _aligned_log_probs(emitting(model), encoded, options)
    end = decoder_of(model).end_of_text
    logits = teacher_force(
        model, encoded, [[*each.tokens, end] for each in options], worlds or [()] * len(options), tensors
    )
    return option_log_probs(logits, options, end)


def _aligned_log_probs(model: EmittingModel, encoded: Tensor, options: Sequence[Option]) -> Tensor:
    """Log-probability [option] of each context with its word, with a full stop at the end or without.

    The audio ends the text. The probability of the context is the same for all words: odds are without it.
    """
    totals = []
    for at, each in enumerate(options):
        ends = [()] if each.stop is None else [(), (each.stop,)]
        row = encoded[at : at + 1] if len(encoded) > 1 else encoded
        totals.append(model.log_likelihoods(row, [(*each.tokens, *end) for end in ends]).logsumexp(0))
    return torch.stack(totals)


def option_log_probs(logits: Sequence[Tensor], options: Sequence[Option], end: int) -> Tensor:
    """As `log_probs`, from the logits [token, vocabulary] of each option; `end` is end-of-text."""
    totals = []
    for row, each in zip(logits, options, strict=True):
        scores = row.log_softmax(dim=-1)
        word = torch.tensor(each.tokens[each.first :], device=row.device)
        at = torch.arange(each.first, len(each.tokens), device=row.device)
        ends = [end] if each.stop is None else [each.stop, end]
        ending = torch.logsumexp(scores[len(each.tokens), ends], dim=0)
        totals.append(scores[at, word].sum() + ending)
    return torch.stack(totals)


def logits_by_run(model: SpeechModel, encoded: Tensor, options: Sequence[Option]) -> Iterator[list[Tensor]]:
    """Logits [token, vocabulary] of every option and end-of-text, for each encoder output [run, frame, dim].

    One run at a time: the options then share the keys and values of its audio.
    """
    tokens = [[*each.tokens, decoder_of(model).end_of_text] for each in options]
    for row in encoded:
        yield teacher_force(model, row[None], tokens, [()] * len(options))


def log_odds(
    model: SpeechModel,
    encoded: Tensor,
    item: Item,
    worlds: Sequence[World] = ((),),
    tensors: Tensors | None = None,
) -> Tensor:
    """Log-odds [world] of the word of a clip against its foil.

    Parameters
    ----------
    encoded
        Encoder output of one clip for all worlds, or of each world.
    """
    both = options_of(model, context(item), item)
    rows = encoded if len(encoded) == 1 else encoded.repeat_interleave(2, dim=0)
    doubled = [world for world in worlds for _ in both]
    pairs = log_probs(model, rows, both * len(worlds), doubled, tensors).view(-1, 2)
    return pairs[:, 0] - pairs[:, 1]


def text_log_odds(model: SpeechModel, encoded: Tensor, texts: Sequence[tuple[str, str, str]]) -> Tensor:
    """Log-odds [text] of a word against its foil after a context, in batches of texts.

    Parameters
    ----------
    encoded
        Encoder output of the one clip that all texts are given with, [1, frame, dim].
    texts
        Context, word and foil.
    """
    options = [option(model, before, word) for before, *words in texts for word in words]
    parts = [log_probs(model, encoded, options[at : at + BATCH]) for at in range(0, len(options), BATCH)]
    pairs = torch.cat(parts).view(-1, 2)
    return pairs[:, 0] - pairs[:, 1]


@dataclass(frozen=True)
class ForcedChoice(Reading):
    """Log-odds of the word of a clip against its foil: `odds`, a number."""

    name = "choice-2"
    needs = "choice"
    layers = False

    def wanted(self, item: Item) -> JsonValue:
        """The context and the words."""
        return [self.name, context(item), item.label("word"), item.label("foil")]

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Judge both words."""
        return {"odds": log_odds(clip.model, clip.encoded, item)[0]}


@dataclass(frozen=True)
class TextPrior(Reading):
    """Log-odds of words against their foils after contexts, all given with the same clip: `odds` [text].

    `texts` are context, word and foil. Read from silence, the log-odds are those of the text alone.
    """

    texts: tuple[tuple[str, str, str], ...]
    name = "text-prior-2"
    needs = "choice"
    layers = False

    def wanted(self, item: Item) -> JsonValue:
        """The texts, and how many rows share a batch: that decides the last bits."""
        return [self.name, BATCH, [list(text) for text in self.texts]]

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Judge all texts."""
        return {"odds": text_log_odds(clip.model, clip.encoded, self.texts)}


def text_prior(words: Sequence[SpokenWord]) -> Demand:
    """The prior of each word in the texts of its three carriers, read from silence.

    `favoured_by_text` makes a table of what is captured.
    """
    texts = [
        (context(clip), word.word, word.foil) for word in _distinct(words).values() for clip in word.clips[:3]
    ]
    heard = silence(int(SILENCE * SAMPLING_RATE), ENGLISH)
    return Demand(Corpus("silence", "1", (heard,), "zeros", "none"), TextPrior(tuple(texts)))


def favoured_by_text(words: Sequence[SpokenWord], captured: Captured) -> pd.DataFrame:
    """Whether the texts of the carriers favour the words that they should.

    Parameters
    ----------
    captured
        What `text_prior` of the same words gave.

    Returns
    -------
    DataFrame
        One row per pair and word: `prior`, the log-odds in the carrier that favours the word less those in
        the carrier that favours its foil (nats), and `favoured`: whether the log-odds in the neutral carrier
        lie between the two.
    """
    odds = captured.values[0]["odds"].double().numpy().reshape(-1, 3)
    return pd.DataFrame(
        [
            {
                "pair": pair,
                "word": word,
                "prior": float(spoken - foil),
                "favoured": bool(spoken > neutral > foil),
            }
            for (pair, word), (spoken, foil, neutral) in zip(_distinct(words), odds, strict=True)
        ]
    )


def _distinct(words: Sequence[SpokenWord]) -> dict[tuple[str, str], SpokenWord]:
    """One spoken word of each pair and word: the texts are the same by all voices."""
    return {(word.pair, word.word): word for word in words}
