"""What `transformers` alone writes for a clip, greedily: what the adapters are held against.

Nothing here uses an adapter, a front end or a tokenizer of innerear: each function loads a folder by the
classes that its makers use, and returns what runs a clip. Tokens are without what the decoder starts from; a
model that emits along the audio writes the token of each step.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf

from innerear.data.language import language_code
from innerear.data.schema import SAMPLING_RATE
from innerear.models.families import FAMILIES
from innerear.models.language_adapters import LanguageAdapter

Bare = Callable[[np.ndarray], list[int]]
"""A clip (float32 at `SAMPLING_RATE`) → the tokens that are written."""
_EXACT = dict(dtype=torch.float32, trust_remote_code=False, local_files_only=True, use_safetensors=True)


def bare_recogniser(family: str, folder: Path, language: str = "") -> Bare | None:
    """Load a recogniser without innerear.

    Parameters
    ----------
    language
        What the decoder is told, or whose adapter is used; empty where it is told none, or is English.

    Returns
    -------
    Bare or None
        None where it is not known here how a family is used.

    Raises
    ------
    OSError, ValueError
        Of `transformers`, if the folder lacks a file that innerear derives.
    """
    make = _BY_FAMILY.get(family) or _BY_KIND.get(FAMILIES[family].kind)
    return make(folder, language) if make else None


def bare_steps(folder: Path, audio: np.ndarray) -> tuple[list[int], list[int]]:
    """The token of each step of a transducer, blanks included, and the frames that it moves by."""
    return _steps(_network(folder), _extractor(folder), audio)


def _steps(network: Any, extractor: Any, audio: np.ndarray) -> tuple[list[int], list[int]]:
    made = network.generate(**_heard(extractor, audio), do_sample=False)
    return made.sequences[0, 1:].tolist(), made.durations[0, 1:].tolist()


def _network(folder: Path, kind: str = "") -> Any:
    """The network of a folder: of the kind that it was saved as, or of another one that it holds."""
    kind = kind or hf.AutoConfig.from_pretrained(folder).architectures[0]
    return getattr(hf, kind).from_pretrained(folder, **_EXACT).eval()


def _extractor(folder: Path) -> Any:
    return hf.AutoFeatureExtractor.from_pretrained(folder)


def _heard(extractor: Any, audio: np.ndarray) -> Mapping[str, Any]:
    given: Mapping[str, Any] = extractor(audio, sampling_rate=SAMPLING_RATE, return_tensors="pt")
    return given


def _ctc(folder: Path, language: str) -> Bare:
    chosen = LanguageAdapter.of(hf.AutoConfig.from_pretrained(folder), folder, language)
    more = {} if chosen.path is None else {"target_lang": chosen.language, "ignore_mismatched_sizes": True}
    network = hf.AutoModelForCTC.from_pretrained(folder, **_EXACT, **more).eval()
    extractor = _extractor(folder)

    def write(audio: np.ndarray) -> list[int]:
        with torch.inference_mode():
            best: list[int] = network(**_heard(extractor, audio)).logits.argmax(-1)[0].tolist()
            return best

    return write


def _transducer(folder: Path, _language: str) -> Bare:
    network, extractor = _network(folder), _extractor(folder)
    blank = network.config.blank_token_id
    return lambda audio: [token for token in _steps(network, extractor, audio)[0] if token != blank]


def _whisper(folder: Path, language: str) -> Bare:
    network, extractor = _network(folder), _extractor(folder)
    many = getattr(network.generation_config, "is_multilingual", False)
    told = {"language": language or "en", "task": "transcribe"} if many else {}
    return lambda audio: _generated(network, _heard(extractor, audio), 0, num_beams=1, **told)


def _moonshine(folder: Path, _language: str) -> Bare:
    network, extractor = _network(folder), _extractor(folder)
    return lambda audio: _generated(network, _heard(extractor, audio), 1)


def _moonshine_streaming(folder: Path, _language: str) -> Bare:
    network, extractor = _network(folder), _extractor(folder)
    extractor.return_attention_mask = True
    processor = hf.MoonshineStreamingProcessor(extractor, hf.AutoTokenizer.from_pretrained(folder))
    return lambda audio: _generated(network, processor(audio, sampling_rate=SAMPLING_RATE), 1)


def _canary(folder: Path, language: str) -> Bare:
    """What the chat template of its processor gives is put together here."""
    network, told = _network(folder), f"<|{language or 'en'}|>"
    processor = hf.CanaryProcessor(_extractor(folder), hf.AutoTokenizer.from_pretrained(folder))
    text = (
        f"<|startofcontext|><|startoftranscript|><|emo:undefined|>{told}{told}<|pnc|><|noitn|>"
        "<|notimestamp|><|nodiarize|>"
    )

    def write(audio: np.ndarray) -> list[int]:
        given = processor(audio=[audio], text=[text], add_special_tokens=False)
        return _generated(network, given, given["decoder_input_ids"].shape[1])

    return write


def _cohere(folder: Path, language: str) -> Bare:
    network = _network(folder)
    processor = hf.CohereAsrProcessor(_extractor(folder), hf.AutoTokenizer.from_pretrained(folder))

    def write(audio: np.ndarray) -> list[int]:
        given = processor(audio=audio, language=language or "en", sampling_rate=SAMPLING_RATE)
        return _generated(network, given, given["decoder_input_ids"].shape[1])

    return write


def _speech_to_text(folder: Path, _language: str) -> Bare:
    network, extractor = _network(folder), _extractor(folder)
    return lambda audio: _generated(network, _heard(extractor, audio), 1, num_beams=1)


def _seamless(folder: Path, language: str) -> Bare:
    config = hf.AutoConfig.from_pretrained(folder)
    network = _network(folder, FAMILIES[config.model_type].network)
    extractor, known = _extractor(folder), network.generation_config.text_decoder_lang_to_code_id
    told = next(each for each in sorted(known) if language_code(each) == (language or "en"))
    return lambda audio: _generated(network, _heard(extractor, audio), 2, num_beams=1, tgt_lang=told)


def _generated(network: Any, given: Mapping[str, Any], start: int, **told: Any) -> list[int]:
    written: list[int] = network.generate(**given, do_sample=False, **told)[0, start:].tolist()
    return written


def _qwen2_audio(folder: Path, language: str) -> Bare:
    network, tokens = _network(folder), hf.AutoTokenizer.from_pretrained(folder)
    processor = hf.Qwen2AudioProcessor(_extractor(folder), tokens)
    asked = f"Detect the language and recognize the speech: <|{language or 'en'}|>"
    ends = network.generation_config.eos_token_id
    chat = tokens.convert_tokens_to_ids("<|im_end|>") in (ends if isinstance(ends, list) else [ends])

    def write(audio: np.ndarray) -> list[int]:
        text = f"<|audio_bos|><|AUDIO|><|audio_eos|>{asked}"
        if chat:
            said: Any = [{"type": "audio", "audio": audio}, {"type": "text", "text": asked}]
            text = processor.apply_chat_template(
                [{"role": "user", "content": said}], tokenize=False, add_generation_prompt=True
            )
        given = processor(text=[text], audio=[audio], sampling_rate=SAMPLING_RATE, return_tensors="pt")
        return _generated(network, given, given["input_ids"].shape[1])

    return write


def _voxtral(folder: Path, language: str) -> Bare:
    """Its processor needs mistral-common: what this would give is put together here."""
    network, extractor = _network(folder), _extractor(folder)
    places = network.config.audio_config.max_source_positions // 4
    text = f"<s>[INST][BEGIN_AUDIO]{places * '[AUDIO]'}[/INST]lang:{language or 'en'}[TRANSCRIBE]"
    tokens = hf.AutoTokenizer.from_pretrained(folder)
    ids = tokens(text, return_tensors="pt", add_special_tokens=False).input_ids
    return lambda audio: _generated(network, {"input_ids": ids, **_heard(extractor, audio)}, ids.shape[1])


def _glm(folder: Path, _language: str) -> Bare:
    network = _network(folder)
    processor = hf.GlmAsrProcessor(_extractor(folder), hf.AutoTokenizer.from_pretrained(folder))
    text = (
        "<|user|>\n<|begin_of_audio|><|pad|><|end_of_audio|><|user|>\n"
        "Please transcribe this audio into text<|assistant|>\n"
    )
    return lambda audio: _prompted(network, processor, text, audio)


def _qwen3_asr(folder: Path, language: str) -> Bare:
    network = _network(folder)
    spelt = {"audio_token": "<|audio_pad|>", "audio_bos_token": "<|audio_start|>",
             "audio_eos_token": "<|audio_end|>"}  # fmt: skip
    tokens = hf.AutoTokenizer.from_pretrained(folder, extra_special_tokens=spelt)
    processor = hf.Qwen3ASRProcessor(hf.Qwen3ASRFeatureExtractor.from_pretrained(folder), tokens)
    listening = FAMILIES["qwen3_asr"].listening
    assert listening is not None
    text = (
        "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n<|audio_start|><|audio_pad|><|audio_end|>"
        f"<|im_end|>\n<|im_start|>assistant\nlanguage {listening.names[language or 'en']}<asr_text>"
    )
    return lambda audio: _prompted(network, processor, text, audio)


def _prompted(network: Any, processor: Any, text: str, audio: np.ndarray) -> list[int]:
    given = processor(text=[text], audio=[audio], sampling_rate=SAMPLING_RATE)
    return _generated(network, given, given["input_ids"].shape[1])


_BY_FAMILY: Mapping[str, Callable[[Path, str], Bare]] = {
    "whisper": _whisper,
    "moonshine": _moonshine,
    "moonshine_streaming": _moonshine_streaming,
    "canary": _canary,
    "cohere_asr": _cohere,
    "speech_to_text": _speech_to_text,
    "seamless_m4t": _seamless,
    "seamless_m4t_v2": _seamless,
    "qwen2_audio": _qwen2_audio,
    "voxtral": _voxtral,
    "qwen3_asr": _qwen3_asr,
    "glmasr": _glm,
}
_BY_KIND: Mapping[str, Callable[[Path, str], Bare]] = {"CTC": _ctc, "transducer": _transducer}
