"""Mine `innerear-loops`: clips on which a recogniser writes the same thing over and over.

Candidates are sounds that are known to provoke loops, synthesised from a seed, and speech that ends in
silence, breaks off, or is masked; none of them repeats itself as a text would. Each is transcribed by both
Whisper models, and what loops in either is kept, as FLAC: the corpus is mined once and pinned.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.random import Generator

from innerear.data.audio import decode
from innerear.data.embedded import load
from innerear.data.schema import SAMPLING_RATE, Corpus, Item, Segment
from innerear.data.text import is_loop
from innerear.interventions.ablation import stop_at_loop
from innerear.interventions.run import generate
from innerear.models.base import SpeechModel
from innerear.models.loading import load_model
from innerear.render.shared import coarse, generator, row, write_corpus
from innerear.render.sounds import SOUNDS, Sound, slow_noise
from innerear.util.errors import InnerearError
from innerear.util.progress import bar

NAME = "innerear-loops"
SEED = 20251
MODELS = ("whisper-base", "whisper-tiny.en")
WANTED = 52
"""Loops wanted from each model."""
MOST = 1600
"""Maximum number of candidates."""

_SOUNDS: dict[str, Sound] = {
    "tones": SOUNDS["tones"], "slow-noise": slow_noise, "clicks": SOUNDS["clicks"],
    "machine": SOUNDS["machine"],
}  # fmt: skip
_SPEECH = ("silence-after", "truncated", "masked")
KINDS = (*_SOUNDS, *_SPEECH)
LEVEL = 0.04
"""RMS of sounds, about that of speech in `innerear-speech`."""


def source(number: int) -> str:
    """The unit that splits keep on one side: the two sounds of one source, or a clip of speech."""
    kind, at = KINDS[number % len(KINDS)], number // len(KINDS)
    return f"{kind}-{at // 2:03d}-source" if kind in _SOUNDS else f"{kind}-{at:03d}"


def candidate(number: int, speech: Sequence[Item]) -> tuple[str, np.ndarray, str]:
    """Kind, samples and transcript of the candidate with a number.

    Parameters
    ----------
    speech
        Clips that the speech kinds are made from.
    """
    kind, at = KINDS[number % len(KINDS)], number // len(KINDS)
    draw = generator(SEED, kind, at)
    if kind in _SOUNDS:
        shared = generator(SEED, kind, at // 2, 1)
        length = int(draw.uniform(2, 6) * SAMPLING_RATE)
        samples = _SOUNDS[kind](at, shared, draw, length)
        samples = samples * LEVEL / np.sqrt(np.square(samples).mean())
        return kind, coarse(np.clip(samples, -0.9, 0.9)), ""
    item = speech[int(draw.integers(len(speech)))]
    samples, words = _changed(kind, item, draw)
    return kind, coarse(np.clip(samples, -0.9, 0.9)), " ".join(word.label for word in words)


def _changed(kind: str, item: Item, draw: Generator) -> tuple[np.ndarray, list[Segment]]:
    """Speech made hard to recognise, and the words that stay whole."""
    audio = item.audio().astype(np.float64)
    if kind == "silence-after":
        rest = 10 ** draw.uniform(-4.5, -2.5) * draw.standard_normal(int(draw.uniform(4, 14) * SAMPLING_RATE))
        return np.concatenate([audio, rest]), list(item.words)
    if kind == "truncated":
        end = draw.uniform(0.15, 0.7) * item.duration
        return audio[: int(end * SAMPLING_RATE)], [word for word in item.words if word.end <= end]
    kept = list(item.words)
    level = np.sqrt(np.square(audio).mean())
    for _ in range(int(draw.integers(2, 5))):
        start = draw.uniform(0, max(0.1, item.duration - 0.5))
        end = start + draw.uniform(0.3, 0.9)
        span = slice(int(start * SAMPLING_RATE), int(end * SAMPLING_RATE))
        audio[span] = level * draw.uniform(0.5, 2) * draw.standard_normal(len(audio[span]))
        kept = [word for word in kept if word.end <= start or word.start >= end]
    return audio, kept


def mined(models: Sequence[SpeechModel], speech: Sequence[Item]) -> Iterator[dict[str, Any]]:
    """Candidates that loop in some model, as rows, until each model has `WANTED`.

    Raises
    ------
    InnerearError
        If `MOST` candidates are not enough.
    """
    found: Counter[str] = Counter()
    with bar("mining loops", WANTED * len(models)) as advance:
        for number in range(MOST):
            kind, samples, text = candidate(number, speech)
            made = row(f"{kind}-{number // len(KINDS):03d}", samples, text=text, kind=kind)
            audio = decode(made["audio"], made["id"])  # as models will get it
            looped = [model.identity.name for model in models if _loops(model, audio)]
            for name in looped:
                found[name] += 1
                advance(int(found[name] <= WANTED))
            if looped:
                yield made | {"speaker": source(number), "loops_in": " ".join(looped)}
            if all(found[model.identity.name] >= WANTED for model in models):
                return
    raise InnerearError(f"{MOST} candidates gave only {dict(found)} loops; raise MOST")


def _loops(model: SpeechModel, audio: np.ndarray) -> bool:
    if not model.decoder_layers or model.unsupported_reason(len(audio)):
        return False
    with torch.inference_mode():
        encoded = model.encode([audio])
    (made,) = generate(model, encoded, [()], stop=stop_at_loop)
    return is_loop(made.text, made.tokens, made.ended)


def render(output: Path, work: Path) -> Path:
    """Mine the corpus into the folder `output`; `work` is not used."""
    rows = list(mined([load_model(name) for name in MODELS], load("innerear-speech").items))
    return write_corpus(
        output,
        rows,
        lambda corpus, _: card(corpus),
        name=NAME,
        licence="Apache-2.0",
        source="mined by innerear",
        summary="clips on which Whisper base or tiny.en loops: tones, noise, clicks, machines, hard speech",
        citation="innerear (Apache-2.0)",
    )


def card(corpus: Corpus) -> str:
    """The card of the corpus: what was mined, counted."""
    lines = []
    for kind in KINDS:
        own = [item for item in corpus if item.label("kind") == kind]
        counts = [sum(name in item.label("loops_in").split() for item in own) for name in MODELS]
        lines.append(f"| {kind} | {len(own)} | {' | '.join(map(str, counts))} |")
    totals = [sum(name in item.label("loops_in").split() for item in corpus) for name in MODELS]
    seconds = sum(item.duration for item in corpus)
    return f"""# {NAME}

{len(corpus)} clips ({seconds / 60:.1f} minutes) on which Whisper base or Whisper tiny.en loops when it
decodes greedily: an n-gram of 1 to 10 tokens at least four times in a row at the tail, a compression ratio
above 2.4, or the limit of length reached. `loops_in` names the models; on another machine a borderline clip
may not loop, so tasks look again.

| kind | clips | {" | ".join(MODELS)} |
|---|--:|--:|--:|
{chr(10).join(lines)}
| all | {len(corpus)} | {" | ".join(map(str, totals))} |

- *tones*, *slow-noise*, *clicks*, *machine*: synthesised, two clips of each source, 2 to 6 s.
- *silence-after*: a sentence of `innerear-speech` and 4 to 14 s of soft noise. *truncated*: a sentence that
  breaks off. *masked*: two to four stretches of a sentence replaced by noise. `text` holds the whole words.

No clip says the same thing four times in a row, but clicks and machines are rhythmic: read results by kind.

Mined with `innerear corpora render {NAME}` from numbered candidates (seed {SEED}), in turn of the kinds,
until each model had {WANTED} loops. Audio: 16 kHz mono FLAC. Licence: Apache-2.0.
"""
