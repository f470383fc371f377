"""Audio language models: a language model that reads the output of an audio encoder in its prompt.

The prompt is text, an embedding for each frame of the audio as the language model hears it, and more text, up
to where the answer begins. The first text and the audio go through the language model once for a clip; their
keys and values serve all rows of a batch and play the part that those of cross-attention have in an
encoder-decoder model. The text behind the audio is the decoder's prefix: positions of the decoder are counted
from its start, and what is read or written at decoder sites is read or written from there on.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache, GenerationMixin
from transformers.modeling_outputs import BaseModelOutputWithPast

from innerear.data.schema import SAMPLING_RATE
from innerear.models.base import Transcript
from innerear.models.decoder import DecoderModel
from innerear.models.prompts import AudioSettings
from innerear.models.shared import PREFIXED, added_mask, alone, attending
from innerear.models.site import Part, Site
from innerear.models.sites import Action, hooked


class AudioLM(DecoderModel):
    """A `transformers` language model with an audio encoder.

    Its encoder output is what the language model hears: one embedding for each of `heard_times`, projected to
    its width, [clip, frame, dim]. Sites of the encoder have the frames of `clock`, and the padding that its
    front end adds; none of that padding is in the encoder output.
    """

    listening_part: ClassVar[Part] = "self_attn"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert self.family.listening is not None
        self._heard_as = self.family.listening
        self._positions = self._heard_as.positions(self.network.config)
        path = self._heard_as.language_model
        self._language_model: Any = self.network.get_submodule(path)
        self._merger: Any = self.network.get_submodule(path.rpartition(".")[0])
        self._listening = False  # while the text before the audio and the audio are read
        self._started: int | None = None  # rows of a batch that starts at a layer of the encoder
        self._rows = 0  # of the batch that the encoder runs on

    @property
    def _settings(self) -> AudioSettings:
        assert isinstance(self.generation, AudioSettings)
        return self.generation

    def batch_key(self, samples: int) -> int:
        """Clips of one length have as many embeddings in the prompt, unless all of the window is heard."""
        return 0 if self._heard_as.whole else samples

    def unsupported_reason(self, samples: int) -> str | None:
        """Why the model cannot process a clip of this length in one piece, or None if it can."""
        if reason := super().unsupported_reason(samples):
            return reason
        if self._embeddings(samples) < 2:  # a single placeholder is taken for one not yet repeated
            return f"{samples / SAMPLING_RATE:.3f} s is shorter than two frames of the language model"
        return None

    def heard_times(self, samples: int) -> np.ndarray:
        """Times in seconds of the embeddings of a clip: the mean of the frames that each is made of."""
        return self._positions.times(samples)

    def _embeddings(self, samples: int) -> int:
        """Number of embeddings of a clip in the prompt."""
        heard = round(self.window * SAMPLING_RATE) if self._heard_as.whole else samples
        return self._positions.count(heard)

    def hooks(self, actions: Mapping[Site, Action]) -> AbstractContextManager[Counter[str]]:
        """Read or write states at sites, those of the decoder from its prefix on."""
        if self._heard_as.packed:
            actions = {
                site: self._unpacking(action) if site.stack == "encoder" else action
                for site, action in actions.items()
            }
        return hooked(self.network, self.places, actions, lambda: not self._listening)

    def _unpacking(self, action: Action) -> Action:
        """The same for states whose clips lie behind one another, [frame of any clip, dim]."""

        def act(states: Tensor) -> Tensor | None:
            written = action(states.unflatten(0, (self._rows, -1)))
            return None if written is None else written.flatten(0, 1)

        return act

    def encode(self, audio: Sequence[np.ndarray]) -> Tensor:
        """What the language model hears, [clip, frame, dim]: the output of the network's own front part."""
        rows = self._rows = self._started or len(audio)
        inputs = {name: tensor.expand(rows, *tensor.shape[1:]) for name, tensor in self.inputs(audio).items()}
        places = torch.full((rows, self._embeddings(len(audio[0]))), self._settings.placeholder)
        with _bypassed(
            self._language_model, lambda inputs_embeds, **_: BaseModelOutputWithPast(inputs_embeds)
        ):
            heard: Tensor = self._merger(input_ids=places.to(self.device), **inputs).last_hidden_state
        return heard.to(self.device)

    def encoder_output(self, states: Tensor, samples: int, *, norm: bool = True) -> Tensor:
        """What the language model would hear; the encoder's pooling and the projection act in any case."""
        last = self.encoder_sites[-1]
        path = f"{self.family.encoder_module}.{self.family.encoder_norm(self.network.config)}"
        with (
            self.hooks({last: lambda _: states}),
            self.encoder_starting_at(self.encoder_layers - 1, states),
            _bypassed(None if norm else self.network.get_submodule(path), lambda passed: passed),
        ):
            return self.encode([np.zeros(samples, np.float32)])

    @contextmanager
    def encoder_starting_at(self, layer: int, states: Tensor) -> Iterator[None]:
        """Start the encoder at a layer, with as many rows as there are states."""
        self._started = len(states)
        try:
            given = states.flatten(0, 1) if self._heard_as.packed else states
            with super().encoder_starting_at(layer, given):
                yield
        finally:
            self._started = None

    def greedy_decode(self, encoded: Tensor, max_tokens: int | None = None) -> list[Transcript]:
        """Decode greedily behind the prompt."""
        settings = self._settings
        given = (*settings.before, *[settings.placeholder] * encoded.shape[1], *settings.prefix)
        tokens = torch.tensor([given] * len(encoded), device=self.device)
        with torch.inference_mode():
            output: Any = GenerationMixin.generate(
                self.network,
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                past_key_values=self._listen(encoded),
                generation_config=settings.greedy(max_tokens),
                output_logits=True,
                return_dict_in_generate=True,
            )
        return self.transcripts(output)

    def teacher_force(self, encoded: Tensor, tokens: Sequence[int]) -> Tensor:
        """Logits [position, vocabulary] of a teacher-forced pass, the prefix included."""
        with self.decoding(encoded) as decoding:
            return decoding.step(self._given(tokens))[0]

    def attention(self, encoded: Tensor, tokens: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Weights of the self-attention to own positions and to the audio; the text before has the rest."""
        with torch.inference_mode():
            heard = self._listen(encoded)
            before, frames = len(self._settings.before), encoded.shape[1]
            with attending(self._language_model, "eager"):  # fused attention gives no weights
                output = self._language_model(
                    inputs_embeds=self._embedded(self._given(tokens)),
                    past_key_values=heard,
                    output_attentions=True,
                )
        weights = torch.stack(output.attentions)[:, 0]
        return weights[..., before + frames :], weights[..., before : before + frames]

    @contextmanager
    def decoding(self, encoded: Tensor, *, gradients: bool = False) -> Iterator["Answering"]:
        """Decode rows step by step behind one copy of the keys and values of a clip."""
        with torch.inference_mode(not gradients):
            heard = self._listen(encoded)
            with attending(self._language_model, PREFIXED):
                yield Answering(self, heard)

    def step(self, tokens: Tensor, **state: Any) -> Tensor:
        """States [row, token, dim] of tokens [row, token] behind a cache."""
        states: Tensor = self._language_model(
            inputs_embeds=self._embedded(tokens), use_cache=True, **state
        ).last_hidden_state
        return states

    def _given(self, tokens: Sequence[int]) -> Tensor:
        return torch.tensor([[*self.prefix, *tokens[:-1]]], device=self.device)

    def _embedded(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.network.get_input_embeddings()(tokens)
        return embedded

    def _listen(self, encoded: Tensor) -> DynamicCache:
        """Keys and values of the text before the audio and of the audio; no hook acts there."""
        before = torch.tensor([self._settings.before] * len(encoded), device=self.device, dtype=torch.long)
        given = torch.cat([self._embedded(before), encoded], dim=1)
        self._listening = True
        try:
            output = self._language_model(inputs_embeds=given, use_cache=True)
        finally:
            self._listening = False
        cache: DynamicCache = output.past_key_values
        return cache


class Answering:
    """The decoding of an audio language model; see `innerear.models.decoder.Decoding`."""

    def __init__(self, model: AudioLM, heard: DynamicCache) -> None:
        self._model = model
        self._heard = heard
        self._own = DynamicCache()

    def restarted(self) -> "Answering":
        """The same rows with no token given yet."""
        return Answering(self._model, self._heard)

    @property
    def length(self) -> int:
        """Number of own positions."""
        return int(self._own.get_seq_length())

    def step(self, tokens: Tensor, last: bool = False, sees: Tensor | None = None) -> Tensor:
        """Logits [row, token, vocabulary] of more tokens [row, token]; see `Decoding.step`."""
        first = self._heard.get_seq_length() + self.length
        states = self._model.step(
            tokens,
            past_key_values=self._own,
            position_ids=torch.arange(first, first + tokens.shape[1], device=tokens.device)[None],
            before=self._heard,
            attention_mask=None if sees is None else added_mask(sees, self._model.network.dtype),
        )
        return self._model.logits(states[:, -1:] if last else states)

    def keep(self, rows: Tensor) -> None:
        """Drop all other rows."""
        self._own.batch_select_indices(rows)
        if not alone(self._heard.layers[0]):
            self._heard.batch_select_indices(rows)


@contextmanager
def _bypassed(module: nn.Module | None, instead: Any) -> Iterator[None]:
    """Let a module, if there is one, compute something else while the context is open."""
    if module is None:
        yield
        return
    module.forward = instead
    try:
        yield
    finally:
        del module.forward
