"""Forced choice between two words after a context: teacher-forced log-odds, per clip or per world."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from pydantic import JsonValue
from torch import Tensor

from innerear.activations.forward import Clip
from innerear.activations.readings import Reading
from innerear.data.minimal_pairs import SpokenWord, context
from innerear.data.schema import SAMPLING_RATE, Item
from innerear.interventions.run import decoder_of, teacher_force
from innerear.interventions.spec import Tensors, World
from innerear.models.base import SpeechModel
from innerear.util.errors import InputError

BATCH = 48
"""Rows of a pass over texts."""
SILENCE = 2.0
"""Seconds of silence that are heard while texts alone are judged."""


@dataclass(frozen=True)
class Option:
    """A word after a context, as tokens: `first` is the index of the word's first one, `stop` a full stop."""

    tokens: tuple[int, ...]
    first: int
    stop: int


def option(model: SpeechModel, before: str, word: str) -> Option:
    """Tokens of a context and a word.

    Raises
    ------
    InputError
        If the model's tokens of the context change with the word: the two words would not be compared alone.
    """
    text = f"{before} {word}" if before else word.capitalize()
    head, tokens = model.tokenize(before) if before else [], model.tokenize(text)
    if tokens[: len(head)] != head or len(tokens) == len(head):
        raise InputError(
            f"{model.identity.name}: the tokens of {text!r} do not begin with those of {before!r}"
        )
    return Option(tuple(tokens), len(head), model.tokenize(f"{text}.")[-1])


def log_probs(
    model: SpeechModel,
    encoded: Tensor,
    options: Sequence[Option],
    worlds: Sequence[World] | None = None,
    tensors: Tensors | None = None,
) -> Tensor:
    """Log-probability [option] (nats) that each word follows its context and ends the sentence.

    The end is a full stop or end-of-text: without it "car" would have the share of "card".

    Parameters
    ----------
    encoded
        Encoder output [1, frame, dim], or of each option [option, frame, dim].
    """
    end = decoder_of(model).end_of_text
    rows = teacher_force(
        model, encoded, [[*each.tokens, end] for each in options], worlds or [()] * len(options), tensors
    )
    return option_log_probs(rows, options, end)


def option_log_probs(rows: Sequence[Tensor], options: Sequence[Option], end: int) -> Tensor:
    """As `log_probs`, of logits [token, vocabulary] of each option; `end` is end-of-text."""
    made = []
    for row, each in zip(rows, options, strict=True):
        scores = row.log_softmax(dim=-1)
        word = torch.tensor(each.tokens[each.first :], device=row.device)
        at = torch.arange(each.first, len(each.tokens), device=row.device)
        over = torch.logsumexp(scores[len(each.tokens), [each.stop, end]], dim=0)
        made.append(scores[at, word].sum() + over)
    return torch.stack(made)


def log_odds(
    model: SpeechModel,
    encoded: Tensor,
    item: Item,
    worlds: Sequence[World] = ((),),
    tensors: Tensors | None = None,
) -> Tensor:
    """Log-odds [world] of the word of a clip against its foil; `encoded` of one clip or of each world."""
    before = context(item)
    both = [option(model, before, item.label(name)) for name in ("word", "foil")]
    each = encoded if len(encoded) == 1 else encoded.repeat_interleave(2, dim=0)
    twice = [world for world in worlds for _ in both]
    found = log_probs(model, each, both * len(worlds), twice, tensors).view(-1, 2)
    return found[:, 0] - found[:, 1]


def prior(model: SpeechModel, encoded: Tensor, texts: Sequence[tuple[str, str, str]]) -> Tensor:
    """Log-odds [text] of a word against a foil after a context, whatever was encoded (silence).

    Parameters
    ----------
    texts
        Context, word and foil.
    """
    options = [option(model, before, word) for before, *words in texts for word in words]
    parts = [log_probs(model, encoded, options[at : at + BATCH]) for at in range(0, len(options), BATCH)]
    found = torch.cat(parts).view(-1, 2)
    return found[:, 0] - found[:, 1]


def favoured(model: SpeechModel, words: Sequence[SpokenWord]) -> pd.DataFrame:
    """Whether the texts of carriers favour what they should, heard with silence.

    Returns
    -------
    DataFrame
        One row a pair and word: `prior`, the log-odds in the carrier of the word less those in that of its
        foil (nats), and `favoured`: whether the neutral carrier lies between.
    """
    once = {(word.pair, word.word): word for word in words}
    texts = [(context(clip), word.word, word.foil) for word in once.values() for clip in word.clips[:3]]
    with torch.inference_mode():
        encoded = model.encode([np.zeros(int(SILENCE * SAMPLING_RATE), dtype=np.float32)])
        found = prior(model, encoded, texts).double().cpu().numpy().reshape(-1, 3)
    return pd.DataFrame(
        [
            {
                "pair": pair,
                "word": word,
                "prior": float(spoken - foil),
                "favoured": bool(spoken > neutral > foil),
            }
            for (pair, word), (spoken, foil, neutral) in zip(once, found, strict=True)
        ]
    )


@dataclass(frozen=True)
class ForcedChoice(Reading):
    """Log-odds of the word of a clip against its foil: `log_odds`, a number."""

    name = "choice-1"
    needs = "decoder"

    def wanted(self, item: Item) -> JsonValue:
        """The words."""
        return [self.name, context(item), item.label("word"), item.label("foil")]

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Lead the decoder over both."""
        return {"odds": log_odds(clip.model, clip.encoded, item)[0]}
