"""CTC recognisers: a head on the encoder says at each frame which token is heard there, or none."""

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from innerear.models.base import Transcript
from innerear.models.emitting import Acting, Emissions, EmittingModel, Stop
from innerear.models.sites import wide
from innerear.util.errors import InputError


class CTC(EmittingModel):
    """A `transformers` CTC recogniser."""

    blank_setting = "pad_token_id"

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

    def emit(
        self, encoded: Tensor, max_tokens: int | None, acting: Acting, stop: Stop | None
    ) -> list[Transcript]:
        """As `greedy_decode`: the head has no sites, and reads all frames at once."""
        return self.greedy_decode(encoded, max_tokens)

    def spelt(self, tokens: Sequence[int]) -> str:
        """Repetitions and blanks removed."""
        return self._spelling.collapse(tokens)

    def emissions(self, states: Tensor) -> Emissions:
        """The head at every frame."""
        with torch.inference_mode():
            log_probs = self.unembed(states).log_softmax(-1)
            texts = [transcript.text for transcript in self.greedy_decode(self.encoder_norm(states))]
        return Emissions(log_probs, texts)

    def spoken(self, tokens: Sequence[int]) -> list[int]:
        """The tokens without repetitions and blanks."""
        return [token for token, _ in groupby(tokens) if token != self.blank]

    def greedy_decode(self, encoded: Tensor, max_tokens: int | None = None) -> list[Transcript]:
        """Best token of every frame, blanks and repetitions included: the audio limits how many there are."""
        with torch.inference_mode():
            log_probs = self._head(encoded).log_softmax(-1)
        best, tokens = log_probs.max(-1)
        return [
            Transcript(self.spelt(row), tuple(row), tuple(probs), frames=tuple(range(len(row))))
            for row, probs in zip(tokens.tolist(), best.tolist(), strict=True)
        ]

    def _head(self, states: Tensor) -> Tensor:
        # a head that is a convolution takes [clip, frame, dim] and nothing else
        clips = states.reshape(-1, *states.shape[-2:]) if states.dim() > 1 else states[None, None]
        logits: Tensor = self.network.get_submodule(self.family.head)(clips)
        return wide(logits).to(self.device).reshape(*states.shape[:-1], -1)
