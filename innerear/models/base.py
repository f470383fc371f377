"""A speech model: audio in; states at sites with their times, and text, out.

Adapters wrap `transformers` models by hooks and copy none of their code; with no hook active the output is
that of the bare model, bit for bit. A batch holds clips of one input shape: nothing is padded beyond what the
model's own front end does, so states never depend on the padding of other clips.

What a model is capable of decides which tasks apply to it: `SpeechModel` is heard; one that `writes` has a
text head; one with `blank` emits a token or none at each step of the audio; a `Decoder`
(`innerear.models.decoder`) writes one token after another.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from innerear.data.language import ENGLISH
from innerear.data.playback import Playback
from innerear.data.registry import load_corpus
from innerear.data.schema import SAMPLING_RATE, Item
from innerear.models.capabilities import Capabilities, Needs
from innerear.models.family import Family
from innerear.models.site import Site
from innerear.models.sites import Action, hooked, inside, places
from innerear.util.errors import InputError
from innerear.util.io import sha256_json

Name = TypeVar("Name", bound=str)
Inputs = dict[str, Tensor]
"""What a front end gives: the input tensors of the network by their names."""
FrontEnd = Callable[[Sequence[np.ndarray]], Inputs]
"""Clips (float32 at `SAMPLING_RATE`) of one input shape → inputs, on the CPU."""


@dataclass(frozen=True)
class Transcript:
    """What a model wrote.

    Attributes
    ----------
    tokens, log_probs
        The written tokens (end-of-text last, if it was written) and the log-probability of each (nats).
    ended
        Whether the model wrote end-of-text itself, or came to the end of the audio, before its length limit.
    frames
        The encoder frame at which each token was emitted; empty in models that do not emit along the audio.
    """

    text: str
    tokens: tuple[int, ...]
    log_probs: tuple[float, ...]
    ended: bool = True
    frames: tuple[int, ...] = ()


@dataclass(frozen=True)
class Identity:
    """What results record about a model: enough to get the same one again.

    Attributes
    ----------
    parts
        What decides what the model does: see `innerear.models.identity`.
    """

    name: str
    family: str
    kind: str
    revision: str
    source: str
    parts: Mapping[str, str]
    parameters: int
    licence: str
    training_data: tuple[str, ...]
    seed: int | None = None

    @cached_property
    def sha256(self) -> str:
        """Hash of all parts: the key of results and of cached readings."""
        return sha256_json(dict(self.parts))

    @property
    def weights_sha256(self) -> str:
        """Hash of the tensors alone; empty where there are none."""
        return self.parts.get("weights", "")


class SpeechModel:
    """A model whose states can be read and written: as such an encoder without a text head.

    Parameters
    ----------
    identity
        Name, revision, source and hash of the weights.
    network
        The bare `transformers` model.
    family
        Where its parts are.
    features
        Its front end.
    languages
        Codes of the languages that it transcribes; empty where that is not known.

    Attributes
    ----------
    network
        The bare `transformers` model, in evaluation mode.
    places
        Its sites, and where each is in the network.
    clock
        The times of its encoder frames.
    encoder_layers, decoder_layers
        L; the residual stream has the sites `encoder.0` … `encoder.L` and `decoder.0` … `decoder.L`. A model
        without a decoder has 0 decoder layers and no such sites.
    window
        Longest clip in seconds that the model takes in one piece.
    adapted
        Whether an adapter stands behind the encoder's blocks, whose frames are not the encoder's.
    writes
        Whether it has a text head; what asks for the text of an encoder alone raises an `InputError`.
    blank
        The token that stands for nothing in a model that emits a token or none at each step of the audio;
        None in others.
    """

    writes: ClassVar[bool] = False
    decoder_layers = 0
    blank: int | None = None

    def __init__(
        self,
        identity: Identity,
        network: Any,
        family: Family,
        features: FrontEnd,
        languages: frozenset[str] = frozenset(),
    ) -> None:
        self.identity = identity
        self.network: Any = network.eval()
        self.family = family
        self._features = features
        self.languages = languages
        root = family.encoder_module if self.writes else ""
        self._encoder_root = root
        self.places = places("encoder", family.encoder, network, root)
        self.encoder_layers = len(network.get_submodule(inside(root, family.encoder.layers)))
        self.clock = family.clock(network.config)
        self.window = family.window(network.config)
        self.adapted = family.adapter(network.config)

    def __repr__(self) -> str:
        stacks = f"{self.encoder_layers} encoder layers"
        if self.decoder_layers:
            stacks += f", {self.decoder_layers} decoder layers"
        size, dtype = self.identity.parameters / 1e6, str(self.network.dtype).removeprefix("torch.")
        return (
            f"<{type(self).__name__} {self.identity.name} ({self.identity.family}): {stacks}, "
            f"{size:,.1f} M parameters, {dtype} on {self.device}>"
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are; of a network spread over several devices, where it is given its input."""
        there: Iterator[torch.device] = (each.device for each in self.network.parameters())
        return next(device for device in there if device.type != "meta")  # there are those moved off a GPU

    @property
    def encoder_sites(self) -> tuple[Site, ...]:
        """The encoder's residual stream, the embedding output included."""
        return tuple(Site("encoder", layer) for layer in range(self.encoder_layers + 1))

    @property
    def decoder_sites(self) -> tuple[Site, ...]:
        """The decoder's residual stream, the embedding output included; empty where there is no decoder."""
        if not self.decoder_layers:
            return ()
        return tuple(Site("decoder", layer) for layer in range(self.decoder_layers + 1))

    @property
    def language(self) -> str:
        """Code of the language that a clip without a stated one is taken for."""
        return next(iter(self.languages)) if len(self.languages) == 1 else ENGLISH

    def language_of(self, item: Item) -> str:
        """Code of the language of a clip."""
        return item.language or self.language

    def untranscribed_reason(self, item: Item) -> str | None:
        """Why the model cannot transcribe what is said in a clip, or None if it may."""
        language = self.language_of(item)
        if not item.is_speech or not self.languages or language in self.languages:
            return None
        known = "only " + ", ".join(sorted(self.languages)) if len(self.languages) < 4 else "other languages"
        return f"{self.identity.name} transcribes {known}, and the clip is in {language}"

    def prompted_language(self, item: Item) -> str:
        """Code of the language that the decoder is prompted with for a clip; empty where it is told none."""
        return ""

    @contextmanager
    def prompted(self, language: str) -> Iterator[None]:
        """Prompt the decoder with a language, of `prompted_language`, while the context is open."""
        yield

    @property
    def capabilities(self) -> Capabilities:
        """What decides the tasks that apply to it."""
        trained = self.identity.kind != "architecture"
        return Capabilities(self.identity.name, self.family.kind, self.writes, self.adapted, trained)

    def lacks(self, needs: Needs) -> str | None:
        """Why what needs this cannot be had from the model, or None if it can."""
        return self.capabilities.lacks(needs)

    def unsupported_reason(self, samples: int) -> str | None:
        """Why the model cannot process a clip of this length in one piece, or None if it can."""
        if samples > self.window * SAMPLING_RATE:
            return f"{samples / SAMPLING_RATE:.1f} s is longer than the model's window of {self.window:g} s"
        if self.clock.count(samples) < 1:
            return f"{samples / SAMPLING_RATE:.3f} s is shorter than one frame of the model"
        return None

    def batch_key(self, samples: int) -> int:
        """Clips with equal keys have inputs of one shape and may share a batch."""
        return 0 if self.clock.padded else samples

    def hooks(self, actions: Mapping[Site, Action]) -> AbstractContextManager[Counter[str]]:
        """Read or write states at sites while the context is open; see `innerear.models.sites.hooked`."""
        return hooked(self.network, self.places, actions)

    def states(self, audio: Sequence[np.ndarray], sites: Sequence[Name]) -> dict[Name, Tensor]:
        """States at encoder sites for a batch of clips, from one forward pass of the encoder.

        Returns
        -------
        dict
            For each site a tensor [clip, frame, dim] on the model's device; frames past
            `clock.count(samples)` are padding.
        """
        with torch.inference_mode(), self.reading(sites) as kept:
            self.encode(audio)
        return kept

    @contextmanager
    def reading(self, sites: Sequence[Name]) -> Iterator[dict[Name, Tensor]]:
        """Collect the states at sites while the context is open; a later forward pass replaces them."""
        kept: dict[Name, Tensor] = {}
        device = self.device  # found once: it is searched for

        def keep(site: Name) -> Action:
            return lambda states: kept.__setitem__(site, states.to(device))

        with self.hooks({Site.parse(site): keep(site) for site in sites}):
            yield kept

    def inputs(self, audio: Sequence[np.ndarray]) -> Inputs:
        """Run clips (float32 at `SAMPLING_RATE`) through the model's own front end, as one batch.

        Raises
        ------
        InputError
            If a clip is too long or too short, or the clips have no common input shape.
        """
        for clip in audio:
            if reason := self.unsupported_reason(len(clip)):
                raise InputError(f"{self.identity.name}: a clip of {reason}; split or remove it")
        if len({self.batch_key(len(clip)) for clip in audio}) > 1:
            raise InputError(f"{self.identity.name}: clips of unequal length cannot share a batch")
        given = {name: tensor.to(self.device) for name, tensor in self.front_end(audio).items()}
        kind: torch.dtype = self.network.dtype
        return {name: each.to(kind) if each.is_floating_point() else each for name, each in given.items()}

    def front_end(self, audio: Sequence[np.ndarray]) -> Inputs:
        """Turn clips into the inputs of the network, on the CPU."""
        return self._features(audio)

    def encode(self, audio: Sequence[np.ndarray]) -> Tensor:
        """Encoder output after its final norm, as what reads the encoder sees it, [clip, frame, dim].

        Frames of which the network itself says that they are not valid are left out.
        """
        encoder: Any = self.network.get_submodule(self._encoder_root)
        output = encoder(**self.inputs(audio))
        states: Tensor = output.last_hidden_state.to(self.device)
        if getattr(output, "attention_mask", None) is None:
            return states
        return states[:, : self.clock.count(len(audio[0]))]

    def encoder_norm(self, states: Tensor) -> Tensor:
        """Norm between the last encoder layer and what reads the encoder, [..., dim] → [..., dim]."""
        norm = self.family.encoder_norm(self.network.config)
        if not norm:
            return states
        normed: Tensor = self.network.get_submodule(inside(self._encoder_root, norm))(states)
        return normed

    def encoder_output(self, states: Tensor, samples: int, *, norm: bool = True) -> Tensor:
        """What reads the encoder, if these were the states of its last layer; with or without its final norm.

        Parameters
        ----------
        states
            [row, frame, dim], the padding of the front end included.
        samples
            Length of the clips that they are of.
        """
        if not self.clock.padded:  # as `encode` leaves masked frames out
            states = states[:, : self.clock.count(samples)]
        return self.encoder_norm(states) if norm else states

    @contextmanager
    def encoder_starting_at(self, layer: int, states: Tensor) -> Iterator[None]:
        """Start the encoder at `encoder.layer` with `states` [clip, frame, dim]: earlier blocks do not run.

        Hooks must be attached before, since sites are looked up in the whole encoder.
        """
        path = inside(self._encoder_root, self.family.encoder.layers)
        stack, name = self.network.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2]
        blocks = self.network.get_submodule(path)
        assert isinstance(blocks, nn.ModuleList)

        def start(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if args:
                return (states, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": states}

        def widen(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            """Give all rows of `states` the positions that the encoder computed for one clip."""
            positions = kwargs.get("position_embeddings")
            if not isinstance(positions, Tensor) or len(positions) == len(states):
                return None
            return args, {
                **kwargs,
                "position_embeddings": positions.expand(len(states), *positions.shape[1:]),
            }

        # prepended, so that hooks that write at the first remaining block act on `states`
        handles = [blocks[layer].register_forward_pre_hook(start, with_kwargs=True, prepend=True)]
        handles += [block.register_forward_pre_hook(widen, with_kwargs=True) for block in blocks[layer:]]
        setattr(stack, name, blocks[layer:])
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            setattr(stack, name, blocks)

    def greedy_decode(self, encoded: Tensor, max_tokens: int | None = None) -> list[Transcript]:
        """Text from encoder output [clip, frame, dim], greedily and without fallbacks, one for each clip.

        Parameters
        ----------
        max_tokens
            Maximum number of tokens written; None, or a larger number, is the model's own limit.
        """
        raise self._no_text()

    def spoken(self, tokens: Sequence[int]) -> list[int]:
        """The tokens of a transcript that spell its text: no end-of-text, blank, or repetition of CTC's."""
        raise self._no_text()

    def transcribe(self, audio: Sequence[np.ndarray]) -> list[Transcript]:
        """Transcribe clips greedily and without fallbacks; one transcript for each."""
        with torch.inference_mode():
            return self.greedy_decode(self.encode(audio))

    @cached_property
    def letters(self) -> Callable[[str], str]:
        """Text in the letters that the model writes: lower or upper case alone, or both, as the text has it.

        Read off its transcripts of three clips, as no file of a model says it: a fine-tuned language model
        has tokens for capitals that it never writes.
        """
        clips = [item.audio() for item in load_corpus("innerear-speech").items[:3]]
        text = "".join(transcript.text for clip in clips for transcript in self.transcribe([clip]))
        return str.lower if text.islower() else str.upper if text.isupper() else str

    @property
    def long_form(self) -> str:
        """How the model transcribes clips that are longer than its window; empty if it cannot."""
        return ""

    def transcribe_long(self, clip: Playback) -> Transcript:
        """Transcribe a clip of any length; tokens are counted and frames numbered over all of it.

        Raises
        ------
        InputError
            If the model has no `long_form`, or the audio cannot be decoded.
        """
        raise InputError(f"{self.identity.name} cannot transcribe clips that are longer than its window")

    def tokenize(self, text: str) -> list[int]:
        """Tokens of `text` as the model writes it after other words, without special tokens."""
        raise self._no_text()

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Each token as the tokenizer spells it; a leading "▁", "Ġ" or space starts a word."""
        raise self._no_text()

    @property
    def special_tokens(self) -> frozenset[int]:
        """Tokens that stand for no text: `<unk>` where it is one, end-of-text, what a prompt is made of."""
        raise self._no_text()

    def _no_text(self) -> InputError:
        return InputError(f"{self.identity.name} has no text head")
