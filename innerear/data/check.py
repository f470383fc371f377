"""Look for faults in a corpus before a long run: in its audio, labels, speakers and split."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from innerear.data.clips import SILENCE_RANGE, SLACK
from innerear.data.language import ENGLISH
from innerear.data.phones import ARPABET, SILENCE, is_noise
from innerear.data.schema import SAMPLING_RATE, Corpus, Item
from innerear.data.splits import Fold, sentence
from innerear.data.text import has_words, normalise
from innerear.util.errors import InputError
from innerear.util.progress import bar
from innerear.util.spread import spread

Severity = Literal["error", "warning", "information"]

# The thresholds were set on 544 clean recordings (the TIMIT sample and the RAVDESS part), none of which has a
# single frame that is both loud and white, and on the 37 TIMIT clips that a text-mode transfer would damage.
SILENT_PEAK = 1e-3
"""Full scale is 1. A clip that never gets over -60 dB holds no speech."""
OFFSET = 0.05
"""Mean of the samples from which a direct current is reported."""
FULL_SCALE, OVER = 0.99, 1.5
CLIPPED_SHARE = 1e-3
"""Share of samples in runs of three or more at full scale, or flat at the clip's own peak."""
NOISE_RMS, NOISE_FLATNESS, NOISE_SECONDS = 0.25, 0.3, 0.1
"""Samples whose bytes are shifted by one are white (flatness 0.56 by a periodogram) with an RMS of 0.58."""
NOISE_WHOLE = 0.9
"""A clip that is loud and white from end to end, or white where it is soft, is a recording of noise."""
ABRUPT_DB, DYNAMICS_DB = -10.0, 20.0
"""Level of the last 10 ms relative to loud frames; and the range of levels from which a clip has pauses."""

MANY, BATCH = 3000, 50
"""Sounds from which on they are heard in several processes, and that a process hears at once."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or worth knowing; `items` are the ids that it concerns."""

    items: tuple[str, ...]
    kind: str
    severity: Severity
    message: str


def check(corpus: Corpus, folds: Sequence[Fold] | None = None) -> list[Finding]:
    """Check every clip of a corpus, and the corpus as a whole.

    Parameters
    ----------
    corpus
        What to check; clips that were refused on loading are reported, too.
    folds
        A split of it (`make_folds`): audio, sentences and speakers on two sides are errors.

    Returns
    -------
    list of Finding
        Errors first, then warnings, then what is worth knowing; an empty list means a clean corpus.
    """
    findings = [Finding((name,), "refused", "error", reason) for name, reason in corpus.refused]
    findings += [Finding((), "labels", severity, message) for severity, message in corpus.notes]
    findings += _check_clips(corpus)
    findings += _check_whole(corpus)
    for number, fold in enumerate(folds or (), start=1):
        findings += _check_fold(corpus, fold, number)
    order: tuple[Severity, ...] = ("error", "warning", "information")
    return sorted(findings, key=lambda finding: order.index(finding.severity))


_Problem = tuple[str, Severity, str]


def _check_clips(corpus: Corpus) -> list[Finding]:
    """Check each clip alone, in their order; clips of the same sound are heard once."""
    alike: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for at, item in enumerate(corpus):
        alike[item.audio_sha256, item.is_speech].append(at)
    groups, found = list(alike.values()), dict[int, list[_Problem]]()
    batches = [groups[at : at + BATCH] for at in range(0, len(groups), BATCH)]
    with bar(f"checking {corpus.name}", len(corpus)) as advance:
        for judged in spread(partial(_judged, corpus), batches, worth=len(groups) >= MANY):
            for at, problems in judged:
                found[at] = problems
                advance()
    return [
        Finding((item.id,), kind, severity, f"{item.id}: {message}")
        for at, item in enumerate(corpus)
        for kind, severity, message in found[at]
    ]


def _judged(corpus: Corpus, groups: Sequence[Sequence[int]]) -> list[tuple[int, list[_Problem]]]:
    """Problems of clips by their positions; a group has the same sound."""
    judged = []
    for group in groups:
        audio: list[_Problem] = []
        for at in group:
            item = corpus.items[at]
            if at == group[0] or any(kind == "undecodable" for kind, *_ in audio):  # that names the file
                audio = list(_check_audio(item))
            judged.append((at, [*audio, *_check_labels(item)]))
    return judged


def _check_audio(item: Item) -> Iterator[_Problem]:
    try:
        samples = item.audio()
    except InputError as error:
        yield "undecodable", "error", str(error).removeprefix(f"{item.id}: ")
        return
    seconds = len(samples) / SAMPLING_RATE
    if seconds < item.duration - SLACK:
        yield "cut off", "error", f"the header promises {item.duration:.3f} s, {seconds:.3f} s are there"
    peak = float(np.abs(samples).max())
    if abs(offset := float(samples.mean())) > OFFSET:
        yield "offset", "warning", f"samples lie around {offset:.2f}, not 0; remove the direct current"
    if float(np.abs(samples - offset).max()) < SILENT_PEAK:
        is_silence = np.ptp(samples) < SILENCE_RANGE
        severity: Severity = "information" if not item.is_speech else "error" if is_silence else "warning"
        heard = "nothing" if is_silence else "hardly anything"
        yield "silent", severity, f"never louder than {peak:.5f} of full scale; {heard} can be heard"
        return
    if peak > OVER:
        message = f"samples reach {peak:.1f} times full scale; floating-point audio lies between -1 and 1"
        yield "scale", "warning", message
    elif (share := clipped_share(samples)) > CLIPPED_SHARE:
        yield "clipped", "warning", f"{share:.1%} of the samples are cut flat; record at a lower level"
    if not item.is_speech:  # the rest is about speech
        return
    if noise := noise_bursts(samples):
        start, end = noise
        yield (
            "turns to noise",
            "error",
            f"white noise at full scale from {start:.2f} to {end:.2f} s and speech elsewhere: bytes were lost"
            " or added on the way; copy it again in binary mode",
        )
    elif ends_abruptly(samples):
        yield "cut off", "warning", "it ends at full level, as if in the middle of a word"


def clipped_share(samples: np.ndarray) -> float:
    """Share of samples in runs of three or more that lie at full scale or equal the clip's own peak."""
    level = np.abs(samples)
    flat = (level >= FULL_SCALE) | (level == level.max())
    run = flat[:-2] & flat[1:-1] & flat[2:]
    inside = np.zeros(len(samples), bool)
    for shift in range(3):
        inside[shift : shift + len(run)] |= run
    return float(inside.mean())


def noise_bursts(samples: np.ndarray) -> tuple[float, float] | None:
    """First and last second of frames that are white at full scale, in a clip that is not so throughout.

    After a lost byte, 16-bit samples are read across their boundaries: what was the low byte of one becomes
    the high byte of the next, so they are uniform and white. Fricatives are white, too, but soft; vowels are
    loud, but far from white.
    """
    length, hop = 512, 256
    if len(samples) < length:
        return None
    frames = np.lib.stride_tricks.sliding_window_view(samples, length)[::hop]
    rms = np.sqrt(np.square(frames).mean(axis=1))
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(length), axis=1)))[:, 1:-1] + 1e-12
    flatness = np.exp(np.log(power).mean(axis=1)) / power.mean(axis=1)
    noisy = (rms > NOISE_RMS) & (flatness > NOISE_FLATNESS)
    needed = int(np.ceil(NOISE_SECONDS * SAMPLING_RATE / hop))
    runs = np.convolve(noisy, np.ones(needed), "valid") if len(noisy) >= needed else np.zeros(1)
    if runs.max() < needed or noisy.mean() > NOISE_WHOLE:
        return None
    if np.percentile(flatness[~noisy], 10) > NOISE_FLATNESS:  # Any speech has voiced frames.
        return None
    where = np.flatnonzero(noisy)
    return float(where[0] * hop / SAMPLING_RATE), float((where[-1] * hop + length) / SAMPLING_RATE)


def ends_abruptly(samples: np.ndarray) -> bool:
    """Whether the last 10 ms are nearly as loud as the loudest frames, in a clip that has pauses."""
    length = SAMPLING_RATE // 100
    whole = samples[len(samples) % length :].reshape(-1, length)
    level = 10 * np.log10(np.square(whole).mean(axis=1) + 1e-12)
    low, high = np.percentile(level, [10, 95])
    return bool(level[-1] - high > ABRUPT_DB and high - low > DYNAMICS_DB)


def _check_labels(item: Item) -> Iterator[_Problem]:
    if item.is_speech and not item.text.strip():
        yield "blank transcript", "warning", "the transcript is blank; write what is said"
    elif item.is_speech and not has_words(item.text, item.language or ENGLISH):
        yield (
            "no words",
            "warning",
            f"the transcript {item.text!r} holds no word that is scored (fillers, punctuation, noise)",
        )
    elif marks := [
        word
        for word in item.text.split()
        if is_noise(word, word=True) and normalise(word, item.language or ENGLISH)
    ]:
        yield "noise", "warning", f"{', '.join(dict.fromkeys(marks))} would be scored as words; remove them"
    if not item.is_speech and (item.words or any(phone.label != SILENCE for phone in item.phones)):
        yield "labels without speech", "warning", "it has words or phones, but an empty transcript"
    for kind, segments in (("word", item.words), ("phone", item.phones)):
        end, start = 0.0, 0.0
        for segment in segments:
            span = f"{kind} {segment.label!r} at {segment.start:.3f} to {segment.end:.3f} s"
            if not 0 <= segment.start < segment.end:
                yield "times", "error", f"{span} has no possible time"
            elif segment.end > item.duration + SLACK:
                yield "past the end", "error", f"{span} ends after the clip ({item.duration:.3f} s)"
            elif segment.start < start:
                yield "times", "error", f"{span} is out of order"
            elif kind == "phone" and segment.start < end - SLACK:  # Words may share a phone.
                yield "times", "error", f"{span} begins before the last one ends"
            start, end = segment.start, segment.end
    unknown = sorted({phone.label for phone in item.phones} - {*ARPABET, SILENCE})
    if unknown:
        yield (
            "unknown labels",
            "error",
            f"phones {', '.join(map(repr, unknown))} are not among the 39 classes",
        )


def _check_whole(corpus: Corpus) -> Iterator[Finding]:
    for item_id, group in _grouped(corpus, lambda item: item.id):
        yield Finding((item_id,), "duplicate id", "error", f"{item_id}: {len(group)} clips have this id")
    for _, group in _grouped(corpus, lambda item: item.audio_sha256):
        ids = tuple(item.id for item in group)
        yield Finding(ids, "duplicate audio", "warning", f"{_listed(ids)}: the same audio file")
    shared = [
        [item.id for item in group]
        for _, group in _grouped(corpus, lambda item: sentence(item.text))
        if group[0].is_speech and len({item.cluster for item in group}) > 1
    ]
    if shared:
        ids = tuple(item_id for group in shared for item_id in group)
        message = f"{len(shared)} sentences are read by several speakers ({len(ids)} of {len(corpus)} clips)"
        yield Finding(
            ids, "shared sentences", "information", f"{message}; sentence-disjoint splits leave them out"
        )
    if mute := tuple(item.id for item in corpus if not item.is_speech):
        message = f"{len(mute)} of {len(corpus)} clips hold no speech: their transcripts are empty on purpose"
        yield Finding(mute, "no speech", "information", message)
    if nameless := tuple(item.id for item in corpus if not item.speaker):
        which = "no speakers" if len(nameless) == len(corpus) else f"{_listed(nameless)}: no speaker"
        message = f"{which}: each clip is its own cluster; intervals are too narrow if a voice has several"
        yield Finding(nameless, "no speaker", "warning", message)
    if vague := tuple(item.id for item in corpus if item.is_speech and not item.language):
        message = (
            f"{_listed(vague)}: no language is stated; it is taken for the model's own, else for English"
        )
        yield Finding(vague, "no language", "information", message)
    counts = Counter(item.speaker for item in corpus if item.speaker)
    single = tuple(item.id for item in corpus if counts[item.speaker] == 1)
    if single:
        message = f"{_listed(single)}: each the only clip of its speaker; speaker tasks cannot use it"
        yield Finding(single, "single clip", "warning", message)
    bare = tuple(item.id for item in corpus if item.is_speech and not item.phones)
    if bare and any(item.phones for item in corpus):
        message = f"{_listed(bare)}: no phones, although other clips have them; phone tasks pass over these"
        yield Finding(bare, "no phones", "warning", message)


def _check_fold(corpus: Corpus, fold: Fold, number: int) -> Iterator[Finding]:
    sides = {"train": fold.train, "dev": fold.dev, "test": fold.test}
    keys: dict[str, Callable[[Item], str]] = {
        "audio": lambda item: item.audio_sha256,
        "sentence": lambda item: sentence(item.text),
        "speaker": lambda item: item.speaker,
    }
    for what, key in keys.items():
        places: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for side, indices in sides.items():
            for index in indices:
                if found := key(corpus.items[index]):  # a clip without words has no sentence
                    places[found][side].append(corpus.items[index].id)
        leaks = [found for found in places.values() if len(found) > 1]
        if leaks:
            ids = tuple(
                dict.fromkeys(item_id for found in leaks for side in found.values() for item_id in side)
            )
            example = ", ".join(f"{found[0]} in {side}" for side, found in leaks[0].items())
            message = f"fold {number}: the same {what} is on two sides {len(leaks)} times ({example})"
            yield Finding(ids, f"{what} on two sides", "error", message)


def _grouped(corpus: Corpus, key: Callable[[Item], str]) -> Iterator[tuple[str, list[Item]]]:
    """Groups of more than one item."""
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in corpus:
        groups[key(item)].append(item)
    return ((name, group) for name, group in groups.items() if len(group) > 1)


def _listed(ids: Iterable[str]) -> str:
    """The first three ids and how many more there are."""
    names = list(ids)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
