"""How accurate phone times are: the labels of a corpus against a forced alignment of the same phones."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from innerear.data.align import align
from innerear.data.phones import MANNER
from innerear.data.schema import Corpus, Segment
from innerear.util.errors import InputError
from innerear.util.progress import bar

MANNER_OF = {phone: manner for manner, group in MANNER.items() for phone in group}


def phones_in(word: Segment, phones: Iterable[Segment]) -> list[Segment]:
    """The phones whose middle lies inside a word."""
    return [phone for phone in phones if word.start <= phone.middle <= word.end]


def onset_differences(
    audio: np.ndarray, words: Sequence[Segment], phones: Sequence[Segment]
) -> np.ndarray | None:
    """Labelled minus aligned onset of each phone in seconds, by forced alignment of the same phones.

    Every word gets the pronunciation that its label has, so the phones pair up one to one.

    Parameters
    ----------
    audio
        float32 samples at `SAMPLING_RATE`.
    words, phones
        The labels, without silences.

    Returns
    -------
    array
        [phone], or None if the aligner failed on the clip.
    """
    sounds = {
        f"w{index}": [phone.label for phone in phones_in(word, phones)] for index, word in enumerate(words)
    }
    try:
        _, aligned = align(audio, " ".join(sounds), sounds)
    except InputError:
        return None
    if [phone.label for phone in aligned] != [phone.label for phone in phones]:
        return None
    return np.array([ours.start - theirs.start for ours, theirs in zip(phones, aligned, strict=True)])


def compare_onsets(corpus: Corpus) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Compare every phone onset of a corpus with its forced alignment.

    Returns
    -------
    differences
        A row for each phone: speaker, gender, accent, phone, manner, difference (labelled minus aligned
        onset in seconds).
    skipped
        Ids of the clips on which the aligner failed.
    """
    rows, skipped = [], []
    with bar(f"aligning {corpus.name}", len(corpus)) as advance:
        for item in corpus:
            differences = onset_differences(item.audio(), item.words, item.phones)
            if differences is None:
                skipped.append(item.id)
            else:
                rows += [
                    (item.speaker, item.gender, item.accent, phone.label, MANNER_OF[phone.label], difference)
                    for phone, difference in zip(item.phones, differences, strict=True)
                ]
            advance()
    columns = ["speaker", "gender", "accent", "phone", "manner", "difference"]
    return pd.DataFrame(rows, columns=columns), tuple(skipped)


def summarise(differences: pd.DataFrame) -> dict[str, float]:
    """Summary of the onset differences that `compare_onsets` gives, as in `measured.json`."""
    difference = differences["difference"]
    return {
        "n": len(differences),
        "median_s": float(difference.abs().median()),
        "signed_median_s": float(difference.median()),
        "within_20_ms": float((difference.abs() <= 0.020).mean()),
    }
