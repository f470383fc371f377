"""The card of a corpus of minimal pairs: what is counted in its data, and how accurate its times are."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from innerear.data.schema import Corpus
from innerear.render.phone_times import MANNER_OF, compare_onsets, summarise
from innerear.render.shared import markdown_table

_CARD = Path(__file__).with_name("pairs_card.md")


def measure(corpus: Corpus) -> dict[str, Any]:
    """Compare phone times with a forced alignment of the same phones.

    Every recording is used once: each word alone, then each favouring carrier with its word.

    Returns
    -------
    dict
        The content of `measured.json`: onsets of the words, and of carriers and words together.
    """
    return {
        "onsets_of_words": _onset_summary(corpus, "alone"),
        "onsets_in_carriers": _onset_summary(corpus, "favours-spoken"),
    }


def card(corpus: Corpus, measured: Mapping[str, Any], size: int) -> str:
    """Write the corpus card in Markdown; `measured` is what `measure` gives, `size` the bytes of the data."""
    words = {
        (item.label("pair"), item.label("word")): item for item in corpus if item.label("carrier") == "alone"
    }
    contrasts = Counter(
        tuple(sorted((item.label("phone"), item.label("foil_phone")))) for item in words.values()
    )
    positions = Counter(_position(item.label("position"), len(item.phones)) for item in words.values())
    return _CARD.read_text().format(
        name=corpus.name,
        version=corpus.version,
        favoured=_favoured(corpus.name),
        clips=len(corpus),
        pairs=len(words) // 2,
        said=_said(corpus),
        voices=_voices(corpus),
        hours=sum(item.duration for item in corpus) / 3600,
        longest=max(item.duration for item in corpus),
        megabytes=size / 1e6,
        contrasts=_contrast_table(contrasts),
        often=", ".join(
            f"/{one}/–/{other}/ {count // 2}" for (one, other), count in contrasts.most_common(8)
        ),
        initial=positions["initial"] // 2,
        medial=positions["medial"] // 2,
        final=positions["final"] // 2,
        proof=markdown_table(
            ("onsets", "number", "median (ms)", "signed median (ms)", "within 20 ms", "clips not aligned"),
            [_onset_row(label, measured[key]) for label, key in _ONSETS],
        ),
    )  # fmt: skip


def _favoured(corpus: str) -> str:
    """What is known of the word that a carrier favours."""
    return _CARD.with_name(f"{corpus.removeprefix('innerear-')}_favoured.md").read_text().strip()


def _said(corpus: Corpus) -> str:
    """Which voices say a word in all carriers, and which in the neutral one alone."""
    whole = Counter(
        (item.label("pair"), item.label("word"))
        for item in corpus
        if item.label("carrier") == "favours-spoken"
    )
    (number,) = set(whole.values())
    voices = len(corpus.speakers)
    if number == voices:
        return f"by each of {voices} voices"
    return (
        f"by one of {voices} voices, which take turns over the pairs, and in the neutral carrier and "
        "alone by another of the same accent and the other gender"
    )


def _voices(corpus: Corpus) -> str:
    voice_of = {item.speaker: (item.accent, item.gender) for item in corpus}
    counts = sorted(Counter(voice_of.values()).items())
    kinds = ", ".join(f"{number} {accent.capitalize()} {gender}" for (accent, gender), number in counts)
    return f"{', '.join(corpus.speakers)} ({kinds})"


_ONSETS = (("of the words", "onsets_of_words"), ("of carriers and words", "onsets_in_carriers"))


def _onset_summary(corpus: Corpus, kind: str) -> dict[str, float]:
    onsets, skipped = compare_onsets(
        corpus.with_items(item for item in corpus if item.label("carrier") == kind)
    )
    return summarise(onsets) | {"clips_not_aligned": len(skipped)}


def _onset_row(label: str, proof: Mapping[str, float]) -> tuple[object, ...]:
    return (
        label,
        proof["n"],
        f"{1000 * proof['median_s']:.0f}",
        f"{1000 * proof['signed_median_s']:+.0f}",
        f"{100 * proof['within_20_ms']:.0f} %",
        proof["clips_not_aligned"],
    )


def _contrast_table(contrasts: Mapping[tuple[str, ...], int]) -> str:
    manners = Counter[tuple[str, str]]()
    for (one, other), count in contrasts.items():
        first, second = sorted((MANNER_OF[one], MANNER_OF[other]))
        manners[first, second] += count // 2
    return markdown_table(
        ("manners of the two phones", "pairs"), [(" – ".join(k), n) for k, n in manners.most_common()]
    )


def _position(index: str, phones: int) -> str:
    return "initial" if index == "0" else "final" if int(index) == phones - 1 else "medial"
