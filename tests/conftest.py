"""Tiny random models of every family, and a corpus of synthetic clips, for tests that need no download."""

import io
import json
import shutil
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import soundfile
import torch
from tokenizers import Tokenizer, models
from transformers import (
    HubertConfig,
    HubertForCTC,
    MoonshineConfig,
    MoonshineForConditionalGeneration,
    PreTrainedTokenizerFast,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    WavLMConfig,
    WavLMForCTC,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from innerear.activations.capture import capture
from innerear.data.audio import decode, sha256_bytes
from innerear.data.minimal_pairs import CARRIERS
from innerear.data.schema import SAMPLING_RATE, Corpus, Item, Segment
from innerear.models.base import Identity, SpeechModel, Transcript
from innerear.models.ctc import CTC
from innerear.models.encoder_decoder import EncoderDecoder
from innerear.models.families import FAMILIES as FAMILY
from innerear.models.front_end import front_end
from innerear.models.generation_settings import GenerationSettings
from innerear.models.spelling import Spelling

WHISPER_TOKENS = {
    3: "<|endoftext|>", 4: "<|startoftranscript|>", 5: "<|en|>", 6: "<|de|>", 7: "<|transcribe|>",
    8: "<|translate|>", 9: "<|nospeech|>", 10: "<|notimestamps|>",
}  # fmt: skip
"""Special tokens of the tiny Whisper's tokenizer."""
# how long an example takes depends on what else the machine does
hypothesis.settings.register_profile("innerear", deadline=None)
hypothesis.settings.load_profile("innerear")

FAMILIES = ("whisper", "moonshine", "wav2vec2", "hubert", "wavlm")

_CTC = dict(
    hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64, vocab_size=20,
    conv_dim=[16] * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, pad_token_id=0,
)  # fmt: skip
_RAW = Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=False)


def _network(family: str, seed: int = 0, **changes):
    torch.manual_seed(seed)
    match family:
        case "whisper":
            config = dict(
                d_model=32, encoder_layers=3, decoder_layers=2, encoder_attention_heads=4,
                decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, vocab_size=60,
                max_source_positions=1500, max_target_positions=40, pad_token_id=1, bos_token_id=2,
                eos_token_id=3, decoder_start_token_id=4, suppress_tokens=None, begin_suppress_tokens=None,
            )  # fmt: skip
            return WhisperForConditionalGeneration(WhisperConfig(**config | changes))
        case "moonshine":
            config = dict(
                hidden_size=32, intermediate_size=64, encoder_num_hidden_layers=3,
                decoder_num_hidden_layers=2, encoder_num_attention_heads=4, decoder_num_attention_heads=4,
                vocab_size=60, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, pad_token_id=2,
                max_position_embeddings=40,
            )  # fmt: skip
            return MoonshineForConditionalGeneration(MoonshineConfig(**config | changes))
        case "wav2vec2":
            return Wav2Vec2ForCTC(Wav2Vec2Config(**_CTC | changes))
        case "hubert":
            return HubertForCTC(HubertConfig(**_CTC | changes))
        case "wavlm":
            return WavLMForCTC(WavLMConfig(**_CTC | {"num_buckets": 8} | changes))
    raise AssertionError(family)


class Numbers(Spelling):
    """Spells each token as its number."""

    def __init__(self):
        super().__init__(None)

    def tokenize(self, text):
        return [int(word) if word.isdigit() else 5 + sum(map(ord, word)) % 50 for word in text.split()]

    def decode(self, tokens):
        return " ".join(map(str, tokens))

    collapse = decode

    def pieces(self, tokens):
        return [f"▁{token}" for token in tokens]


def tiny_model(family: str, **changes) -> SpeechModel:
    """A random model of three encoder layers (and two decoder layers) behind the contract.

    `changes` are the seed of its weights and what else its configuration says.
    """
    network = _network(family, **changes).eval()
    identity = Identity(
        f"tiny-{family}", family, "model", "0", "test", {"weights": f"hash-{family}"}, 1, "Apache-2.0", ()
    )

    if FAMILY[family].decoder:
        extractor = WhisperFeatureExtractor() if family == "whisper" else _RAW
        settings = GenerationSettings(
            prefix=(network.config.decoder_start_token_id,), ends=(network.config.eos_token_id,),
            pad=network.config.pad_token_id, max_tokens=19,
        )  # fmt: skip
        return EncoderDecoder(identity, network, FAMILY[family], front_end(extractor), Numbers(), settings)
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=False)
    return CTC(identity, network, FAMILY[family], front_end(extractor), Numbers())


LANGUAGES = {"en": 10, "de": 11, "zh": 12}
"""Tokens of the languages of `multilingual`."""


def multilingual(own: str = "en") -> SpeechModel:
    """A tiny Whisper that is told one of several languages, by default `own`."""
    model = tiny_model("whisper")
    start = model.prefix[0]
    model.generation = replace(
        model.generation, prefix=(start, LANGUAGES[own]), language=own, languages=LANGUAGES
    )
    model.languages = frozenset(LANGUAGES)
    return model


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """Quiet white noise at `SAMPLING_RATE`."""
    samples = np.random.default_rng(seed).standard_normal(int(seconds * SAMPLING_RATE))
    return (0.1 * samples).astype(np.float32)


def make_item(name: str, audio: np.ndarray | bytes, **labels) -> Item:
    """An item of a corpus over samples, or over bytes that may be damaged."""
    if isinstance(audio, bytes):
        data, duration = audio, 1.0
    else:
        buffer = io.BytesIO()
        soundfile.write(buffer, audio, SAMPLING_RATE, format="FLAC")
        data, duration = buffer.getvalue(), len(audio) / SAMPLING_RATE
    return Item(
        id=name, audio=lambda: decode(data, name), audio_sha256=sha256_bytes(data), duration=duration,
        **({"text": f"sentence {name}", "language": "en"} | labels),
    )  # fmt: skip


@pytest.fixture(params=FAMILIES)
def model(request) -> SpeechModel:
    """A tiny random model of each family in turn."""
    return tiny_model(request.param)


def save_tiny(family: str, folder: Path) -> Path:
    """Save a tiny random model as a folder that `load_model` takes."""
    network = _network(family)
    network.save_pretrained(folder)
    if FAMILY[family].kind == "CTC":
        letters = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAOINSHRDLCUMW")
        (folder / "vocab.json").write_text(json.dumps({letter: at for at, letter in enumerate(letters)}))
        Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
        Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(folder)
        return folder
    special = WHISPER_TOKENS if family == "whisper" else {}
    words = {special.get(index, f"<{index}>"): index for index in range(network.config.vocab_size)}
    plain = Tokenizer(models.WordLevel(words, unk_token="<0>"))
    PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="<0>").save_pretrained(folder)
    (WhisperFeatureExtractor() if family == "whisper" else _RAW).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _private_cache(tmp_path, monkeypatch, request):
    """Keep features of tests out of the user's cache; weights of `real` tests are fetched once and kept."""
    if "real" not in request.keywords:
        monkeypatch.setenv("INNEREAR_CACHE", str(tmp_path / "cache"))


def measured(protocol, listener):
    """What a protocol finds on a model, with nothing cached."""
    demands = protocol.demands(listener)
    captured = dict(zip(demands, capture(listener, list(demands.values())), strict=True))
    return protocol.measure(listener, captured, "cpu")


@contextmanager
def idle(model):
    """Fail if the model computes anything while the context is open, in this process or in a fork of it."""

    def fail(module, _args):
        raise AssertionError(f"the model runs: {type(module).__name__}")

    hooks = [module.register_forward_pre_hook(fail) for module in model.network.modules()]
    yield
    for hook in hooks:
        hook.remove()


class Forgetful(torch.nn.Module):
    """A block after which every frame is noise that knows nothing of what came in."""

    def __init__(self):
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, states, *_args, **_kwargs):
        return torch.randn(states.shape, generator=self.generator)


def playing(model, corpus):
    """A list that grows by the item that the model hears: its last entry is what is heard now."""
    heard, encode = [], model.encode

    def follow(audio):
        heard.append(next(item for item in corpus if np.array_equal(item.audio(), audio[0])))
        return encode(audio)

    model.encode = follow
    return heard


def scripted(model, heard, made_up):
    """Have a model write what was said; where `made_up(item)`, with a word too many and one too few.

    Neither the length nor the letters of the output tell which. Where nothing was said, it writes words, too.
    """
    write = model.greedy_decode

    def say(encoded, max_tokens=None):
        said = heard[-1].text or "all is quiet"
        *kept, last = said.split()
        wrong = " ".join([last[::-1], *kept])
        return [replace(write(encoded, max_tokens)[0], text=wrong if made_up(heard[-1]) else said)]

    model.greedy_decode = say


def mute(model):
    """Have a model write nothing but the end."""
    model.greedy_decode = lambda encoded, max_tokens=None: [Transcript("", (2,), (-0.1,))]


def flagged(model, heard, block, flag):
    """Have a block of the decoder add a direction where `flag(item)`, and take it away elsewhere.

    In teacher-forced passes only: what is written stays what it was.
    """
    direction = torch.randn(32, generator=torch.Generator().manual_seed(0))
    forced, teacher_force = [], model.teacher_force

    def force(*args):
        forced.append(True)
        try:
            return teacher_force(*args)
        finally:
            forced.pop()

    def add(_module, _args, output):
        if not forced:
            return None
        sign = 1.0 if flag(heard[-1]) else -1.0
        if isinstance(output, tuple):
            return (output[0] + 3 * sign * direction, *output[1:])
        return output + 3 * sign * direction

    model.teacher_force = force
    model.network.model.decoder.layers[block].register_forward_hook(add)


def pair_corpus(audio, start=0.36, voices=1, position=0, pairs=12):
    """Minimal pairs of made-up words in all carriers: the word begins at `start` and lasts 0.3 s.

    `audio(at, number, carrier, voice)` gives the samples of a pair's first or second word.
    """
    edges = [start + 0.1 * step for step in range(4)]
    phones = tuple(Segment(label, *edges[at : at + 2]) for at, label in enumerate(("k", "ae", "t")))
    items = []
    for at, voice, number in product(range(pairs), range(voices), (0, 1)):
        words = (f"rig{chr(97 + at)}ab", f"rig{chr(97 + at)}oc")
        word, foil = words[number], words[1 - number]
        for carrier in CARRIERS:
            before = "" if carrier == "alone" else f"the {carrier.replace('-', ' ')} word is "
            extra = (
                ("pair", f"pair{at:02}"), ("word", word), ("foil", foil), ("carrier", carrier),
                ("position", str(position)),
            )  # fmt: skip
            items.append(
                make_item(
                    f"{voice}-{word}-{carrier}", audio(at, number, carrier, voice), text=before + word,
                    speaker=f"s{voice}", words=(Segment(word, edges[0], edges[-1]),), phones=phones,
                    extra=extra,
                )
            )  # fmt: skip
    return Corpus("pairs", "1", tuple(items), "made", "none")


def write_when_loud(model, attention, head, direction, loud=0.3):
    """Have one head of an attention write a direction whenever the clip that is heard is loud."""
    part = slice(8 * head, 8 * head + 8)
    projection = attention.o_proj if hasattr(attention, "o_proj") else attention.out_proj
    projection.weight.data[:, part] = 0
    projection.weight.data[:, 8 * head] = 400 * direction
    heard, encode = [], model.encode

    def listen(audio):
        heard.append(float(np.sqrt(np.square(audio[0]).mean())) > loud)
        return encode(audio)

    def write(_module, args):
        states = args[0].clone()
        states[..., part] = 0
        states[..., 8 * head] = float(heard[-1])
        return (states, *args[1:])

    model.encode = listen
    projection.register_forward_pre_hook(write)


@pytest.fixture
def corpora(tmp_path):
    """A folder with three recordings of noise, half a second each: `clips/a.wav`, `b` and `c`."""
    (tmp_path / "clips").mkdir()
    samples = np.random.default_rng(0).normal(0, 0.1, 22_050)
    for name in "abc":
        soundfile.write(tmp_path / f"clips/{name}.wav", samples, 44_100)
    return tmp_path


@pytest.fixture(scope="session")
def browser():
    """A browser without a window, where one is installed."""
    webdriver = pytest.importorskip("selenium.webdriver")
    paths = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in paths:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,1500"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(paths[1]))
    yield driver
    driver.quit()
