"""CTC recognisers: a head on the encoder says at each frame which token is heard there, or none."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from innerear.models.base import FrontEnd, Identity, SpeechModel, Transcript
from innerear.models.families import Family
from innerear.models.spelling import Spelling
from innerear.util.errors import InputError


class CTC(SpeechModel):
    """A `transformers` CTC recogniser.

    Parameters
    ----------
    spelling
        Its tokenizer.
    languages
        Codes of the languages that it transcribes; empty where they are not known.
    """

    writes = True

    def __init__(
        self,
        identity: Identity,
        network: Any,
        family: Family,
        features: FrontEnd,
        spelling: Spelling,
        languages: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(identity, network, family, features, languages)
        self._spelling = spelling
        self.blank = int(network.config.pad_token_id)

    def unembed(self, states: Tensor) -> Tensor:
        """Final norm (where one follows the last block) and CTC head, [..., dim] → [..., token].

        Raises
        ------
        InputError
            If an adapter stands between the last block and the head.
        """
        if reason := self.lacks("emissions"):
            raise InputError(reason)
        return self._head(self.encoder_norm(states))

    def greedy_decode(self, encoded: Tensor, max_tokens: int | None = None) -> list[Transcript]:
        """Best token of every frame, blanks and repetitions included; `max_tokens` counts frames."""
        with torch.inference_mode():
            log_probs = self._head(encoded).log_softmax(-1)[:, :max_tokens]
        best, tokens = log_probs.max(-1)
        return [
            Transcript(self._spelling.collapse(row), tuple(row), tuple(probs))
            for row, probs in zip(tokens.tolist(), best.tolist(), strict=True)
        ]

    def tokenize(self, text: str) -> list[int]:
        """Tokens of `text`, without blanks."""
        return self._spelling.tokenize(text)

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Each token as the tokenizer spells it; letters of tokenizers with a delimiter of words, decoded."""
        return self._spelling.pieces(tokens)

    def _head(self, states: Tensor) -> Tensor:
        # a head that is a convolution takes [clip, frame, dim] and nothing else
        clips = states.reshape(-1, *states.shape[-2:]) if states.dim() > 1 else states[None, None]
        logits: Tensor = self.network.get_submodule(self.family.head)(clips)
        return logits.reshape(*states.shape[:-1], -1)
