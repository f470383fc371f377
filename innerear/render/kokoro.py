"""Kokoro-82M through onnxruntime: speech, and the phones with the times at which the model placed them.

Kokoro writes phones in its own alphabet (one symbol a phone or diphthong, stress and length marks beside it)
and predicts for each symbol a duration in steps of 25 ms. These times lag behind the sound by a constant,
which the calibration of `innerear-speech` measures and `Kokoro.speak` subtracts.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from innerear.data.schema import Segment
from innerear.util.errors import InputError

RATE = 24_000
"""Hz of the rendered audio."""
STEP = 600 / RATE
"""Seconds of one duration step."""

_DURATIONS = "/encoder/Clip_output_0"

_STRESS = "ˈˌ"
_LENGTH = "ː"
_PAUSES = ".,;:!?"
_LONGEST = 0.25
"""Seconds of a phone before a pause. Some voices breathe out after it, as loud as a fricative."""
_CENTRING = ("ɪə", "ʊə")
"""British diphthongs: the /ɹ/ after them (in "curious") is a phone of its own."""

ARPABET_OF: Mapping[str, str] = {
    "A": "ey", "I": "ay", "O": "ow", "Q": "ow", "W": "aw", "Y": "oy",
    "i": "iy", "ɪ": "ih", "ᵻ": "ih", "u": "uw", "ʊ": "uh", "ɛ": "eh", "æ": "ae", "a": "ae",
    "ɑ": "aa", "ɒ": "aa", "ɔ": "ao", "ʌ": "ah", "ə": "ah", "ɐ": "ah", "ᵊ": "ah", "ɜ": "er", "ɚ": "er",
    "b": "b", "d": "d", "ɡ": "g", "k": "k", "p": "p", "t": "t", "T": "t", "ɾ": "t", "ʔ": "t",
    "ʧ": "ch", "ʤ": "jh", "ð": "dh", "θ": "th", "f": "f", "v": "v", "s": "s", "z": "z", "ʃ": "sh",
    "ʒ": "zh", "h": "hh", "m": "m", "n": "n", "ŋ": "ng", "l": "l", "ɹ": "r", "w": "w", "j": "y",
}  # fmt: skip
"""Kokoro's symbols as ARPAbet. British /ɒ/ is AA and the trap vowel AE, as in the CMU dictionary;
flaps and glottal stops are the /t/ they stand for. /ɜɹ/ and /əɹ/ are one ER (`phones_of`)."""


@dataclass(frozen=True)
class Spoken:
    """One rendered sentence: float32 samples at `RATE`, words and phones with times in seconds."""

    audio: np.ndarray
    words: tuple[Segment, ...]
    phones: tuple[Segment, ...]


class Kokoro:
    """The synthesiser.

    Parameters
    ----------
    model
        The ONNX file (v1.0, int8).
    vocabulary
        `vocab.json`: symbol → token.
    voices
        Folder of `NAME.bin`, 510 × 256 float32 each.
    late
        Seconds by which predicted times lag behind the sound.
    threads
        Threads to compute with; 0 are as many as there are cores.
    """

    def __init__(self, model: Path, vocabulary: Path, voices: Path, late: float, threads: int = 0) -> None:
        try:
            import onnx
            import onnxruntime
            from hibari.g2p import G2P
        except ImportError as error:
            raise InputError(
                f"rendering needs {error.name}; install it with `pip install 'innerear[render]'`"
            ) from error
        graph = onnx.load(model)
        graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(_DURATIONS))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        self._session: Any = onnxruntime.InferenceSession(
            graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._tokens: dict[str, int] = json.loads(vocabulary.read_text())["vocab"]
        self._voices = voices
        self._g2p = {"a": G2P(), "b": G2P(british=True)}
        self.late = late

    def speak(self, voice: str, text: str) -> Spoken:
        """Render a sentence in a voice (`af_heart`: American female, `bm_george`: British male).

        Raises
        ------
        InputError
            If words and pronunciations do not match one to one, or a symbol has no phone.
        """
        return self.say(text, self.style(voice), british=voice[0] == "b")

    def style(self, voice: str) -> np.ndarray:
        """What makes a voice: float32 [symbols - 1, 256]; a weighted mean of two is a voice, too."""
        return np.fromfile(self._voices / f"{voice}.bin", np.float32).reshape(-1, 256)

    def say(self, text: str, style: np.ndarray, *, british: bool = False, speed: float = 1.0) -> Spoken:
        """Render a sentence in a style and an accent, at a multiple of the usual speed; errors as `speak`."""
        symbols = "".join(self._g2p["b" if british else "a"](text))
        if unknown := sorted(set(symbols) - set(self._tokens)):
            raise InputError(f"Kokoro has no token for {unknown} in {text!r}; spell it differently")
        given = {
            "tokens": np.array([[0, *(self._tokens[symbol] for symbol in symbols), 0]], np.int64),
            "style": style[min(len(symbols), len(style)) - 1][None],
            "speed": np.array([speed], np.float32),
        }
        audio, steps = self._session.run(None, given)
        audio = audio.ravel()
        edges = np.concatenate([[0.0], np.cumsum(steps.ravel()) * STEP]) - self.late
        edges = np.clip(edges, 0.0, len(audio) / RATE)[1:]  # the first token is the padding before speech
        words, phones = _label(text, symbols, edges, audio)
        return Spoken(audio, words, phones)


def phones_of(symbols: str) -> list[tuple[str, int, int]]:
    """Phones of one word in Kokoro's alphabet, each with the range of symbols that it covers.

    A stress mark belongs to the phone after it, a length mark to the phone before it.

    Raises
    ------
    InputError
        If a symbol has no phone.
    """
    found: list[tuple[str, int, int]] = []
    start = 0
    for index, symbol in enumerate(symbols):
        if symbol in _STRESS:
            continue
        if symbol == _LENGTH:
            label, first, _ = found.pop()
            found.append((label, first, index + 1))
        elif symbol == "ɹ" and _is_coloured(symbols[:index]):
            _, first, _ = found.pop()
            found.append(("er", first, index + 1))
        elif symbol in ARPABET_OF:
            found.append((ARPABET_OF[symbol], start, index + 1))
        else:
            raise InputError(f"no ARPAbet phone for Kokoro's {symbol!r} in {symbols!r}; add it to ARPABET_OF")
        start = index + 1
    return found


def _is_coloured(before: str) -> bool:
    """Whether an /ɹ/ colours the vowel before it, and is one ER with it."""
    return before.endswith(("ɜ", "ə")) and not before.endswith(_CENTRING)


def _label(
    text: str, symbols: str, edges: np.ndarray, audio: np.ndarray
) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """Words and phones with times; `edges[i]` is where symbol i starts, spaces and punctuation included.

    A space without punctuation is no pause: half of its steps belong to the phone on either side. Before a
    pause the predicted duration runs on into the silence: the last phone ends where the sound does.
    """
    spelled = text.split()
    spoken = symbols.split(" ")
    if len(spelled) != len(spoken):
        raise InputError(f"{text!r}: {len(spelled)} words but {len(spoken)} pronunciations; reword it")
    words: list[Segment] = []
    phones: list[Segment] = []
    offset, paused = 0, True
    for word, sound in zip(spelled, spoken, strict=True):
        made = [
            Segment(label, float(edges[offset + first]), float(edges[offset + last]))
            for label, first, last in phones_of(sound.strip(_PAUSES))
        ]
        if words and not paused:
            border = (phones[-1].end + made[0].start) / 2
            phones[-1], words[-1] = replace(phones[-1], end=border), replace(words[-1], end=border)
            made[0] = replace(made[0], start=border)
        paused = sound[-1] in _PAUSES
        if paused:
            made[-1] = replace(made[-1], end=_audible_end(audio, made[-1]))
        phones += made
        words.append(Segment(word.strip(_PAUSES).lower(), made[0].start, made[-1].end))
        offset += len(sound) + 1
    return tuple(words), tuple(phones)


def _audible_end(audio: np.ndarray, phone: Segment) -> float:
    """End of a phone before a pause: 15 dB below its loudest 10 ms, and after `_LONGEST` at the latest."""
    hop = RATE // 100
    power = np.square(audio[: len(audio) // hop * hop]).reshape(-1, hop).mean(axis=1)
    first = int(phone.start * 100) + 3  # no phone lasts less than 30 ms
    sound = power[first : int(np.ceil(phone.end * 100))]
    loud = np.flatnonzero(sound > sound.max(initial=0) / 30)
    end = (first + (int(loud[-1]) + 1 if len(loud) else 0)) / 100
    return min(phone.end, end, phone.start + _LONGEST)
