"""What a row of the table of architectures says; needs neither torch nor transformers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from innerear.data.schema import SAMPLING_RATE
from innerear.models.frames import WHISPER, FrameClock
from innerear.models.site import Part

Kind = Literal["encoder-decoder", "CTC", "transducer", "audio LM"]
"""How text comes out of a model."""
PRECISIONS = ("float32", "bfloat16", "float16")
"""Types of numbers in which a model can be loaded."""
DTYPE = PRECISIONS[0]
"""The one unless another is asked for."""
Config = Any
"""The `transformers` configuration of a network."""
LONGEST = 40.0
"""Window in seconds of models that have none of their own: attention over longer clips only costs memory."""


@dataclass(frozen=True)
class Stack:
    """Where one family keeps a stack of transformer blocks.

    Attributes
    ----------
    layers
        Path of the list of blocks: from the encoder's module for an encoder, else from the network.
    parts
        Submodules of a block by the component that they are.
    heads
        Where the configuration counts the heads of an attention; a dotted path into nested ones.
    out_projection
        Submodule of an attention whose input is the concatenated heads: empty for the attention itself, None
        where no module sees them.
    scales
        Factors by which a block multiplies what a component writes before it adds it, where it is not 1.
    """

    layers: str
    parts: Mapping[Part, str]
    heads: str
    out_projection: str | None
    scales: Callable[[Config], Mapping[Part, float]] = lambda _: {}


@dataclass(frozen=True)
class Listening:
    """How a language model is given audio: as embeddings, in the places that its prompt keeps for them.

    Attributes
    ----------
    placeholder
        Spelling of the token in whose place an embedding of the audio comes.
    positions
        Times of the embeddings of the audio.
    prompts
        What asks for a transcript, with `{audio}` and `{language}` in it, by the token that ends the
        answer: a chat model ends its turns with a token of its own. "" is for all others.
    mask
        Name by which the network takes the mask of the window; empty where it takes none.
    names
        What `{language}` stands for, by code; empty where it is the code itself.
    whole
        Whether it hears the whole window, padding included.
    packed
        Whether the encoder's blocks see the frames of all clips in one row.
    language_model
        Path of the module that takes embeddings of text and audio, and gives states after its final norm.
    """

    placeholder: str
    positions: Callable[[Config], FrameClock]
    prompts: Mapping[str, str]
    mask: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    whole: bool = False
    packed: bool = False
    language_model: str = "model.language_model"


@dataclass(frozen=True)
class Family:
    """Where the parts of an architecture are.

    Attributes
    ----------
    network, bare
        Names of the `transformers` classes of the recogniser, and of its encoder without a text head, empty
        where that is not published alone. A family of another package may state `module:Class`.
    front_end
        Kind of the input, of `innerear.models.front_end`.
    encoder_module
        Path of the module that takes that input and gives the encoder's output.
    encoder
        The encoder's blocks.
    encoder_norm
        Path of the module between the last block and what reads the encoder, from `encoder_module`: a norm,
        or an upsampling; empty where the last block's output is read as it is.
    clock
        Times of the encoder's frames.
    window
        Longest clip in seconds that it takes in one piece.
    head
        Path of the output projection to the vocabulary.
    decoder, decoder_norm
        The decoder's blocks, and the path of the norm behind them; None and empty without a decoder.
    generation
        How its generation settings are read, of `innerear.models.generation`; empty without a decoder.
    lead
        What comes before a word that follows others: " " where tokens include the space before a word.
    languages
        Those of all models that are told no language, or of models whose prompt tells them one; empty where
        they differ.
    adapter
        Whether an adapter over time stands behind the encoder's blocks: what reads them sees other frames.
    independent
        Whether each encoder block needs nothing of those before it but the residual stream.
    listening
        How a language model is given audio; None in other kinds.
    prompt
        Spellings of the tokens that a decoder starts from, with `{language}` in them; empty where it starts
        from a single one, or its generation settings are read in another way.
    heard
        Times of what the decoder attends to, where an adapter makes other frames; None elsewhere.
    unused
        Beginnings of the names of tensors that a folder holds for other tasks than recognition.
    """

    kind: Kind
    network: str
    front_end: str
    encoder_module: str
    encoder: Stack
    encoder_norm: Callable[[Config], str]
    clock: Callable[[Config], FrameClock]
    window: Callable[[Config], float]
    head: str
    bare: str = ""
    decoder: Stack | None = None
    decoder_norm: str = ""
    generation: str = ""
    lead: str = ""
    languages: tuple[str, ...] = ()
    adapter: Callable[[Config], bool] = lambda _: False
    independent: bool = True
    listening: Listening | None = None
    prompt: tuple[str, ...] = ()
    heard: Callable[[Config], FrameClock] | None = None
    unused: tuple[str, ...] = ()


_HALVES: Mapping[Part, float] = {"first_mlp": 0.5, "mlp": 0.5}
"""A Conformer block adds half of what each of its MLPs writes (Gulati et al. 2020, eq. 1)."""

FAST_CONFORMER = Stack(
    "layers",
    {"first_mlp": "feed_forward1", "self_attn": "self_attn", "conv": "conv", "mlp": "feed_forward2"},
    "encoder_config.num_attention_heads",
    "o_proj",
    lambda _: _HALVES,
)
"""NVIDIA's Fast Conformer inside a recogniser (Rekesh et al. 2023)."""


def w2v_conformer(heads: str) -> Stack:
    """The Conformer blocks of wav2vec 2.0 Conformer, w2v-BERT and their descendants."""
    parts: Mapping[Part, str] = {
        "first_mlp": "ffn1",
        "self_attn": "self_attn",
        "conv": "conv_module",
        "mlp": "ffn2",
    }
    return Stack("encoder.layers", parts, heads, "linear_out", lambda _: _HALVES)


def whisper_window(config: Config) -> float:
    """Window in seconds of an encoder like Whisper's, or of one inside a language model."""
    encoder: Any = getattr(config, "audio_config", config)
    # rotary positions have another name
    frames = getattr(encoder, "max_source_positions", None) or encoder.max_position_embeddings
    return float(frames * WHISPER.stride / SAMPLING_RATE)
