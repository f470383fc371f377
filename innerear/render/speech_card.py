"""The card of `innerear-speech`; every figure is counted or measured from its data."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from innerear.data.phones import ARPABET, MANNER
from innerear.data.schema import Corpus, Item
from innerear.render.phone_times import compare_onsets, phones_in
from innerear.render.shared import markdown_table

_CARD = Path(__file__).with_name("speech_card.md")


def card(corpus: Corpus, calibration: Mapping[str, Any]) -> str:
    """Write the corpus card in Markdown, aligning the whole corpus to check its times (a minute or two).

    Parameters
    ----------
    corpus
        As `innerear.data.embedded.read` gives it.
    calibration
        The content of `calibration.json`.
    """
    differences, skipped = compare_onsets(corpus)
    sets = Counter(dict(item.extra)["sentence_set"] for item in corpus)
    voices = len(corpus.speakers)
    return _CARD.read_text().format(
        name=corpus.name,
        version=corpus.version,
        clips=len(corpus),
        minutes=sum(item.duration for item in corpus) / 60,
        voices=voices,
        own=sets["own"] // voices,
        shared=sets["shared"] // voices,
        phones=_phone_table(corpus),
        speakers=_voice_table(corpus, differences),
        late=1000 * calibration["late_s"],
        calibrated=calibration["phones"],
        heard=calibration["clips"],
        hiss=1000 * calibration["sibilant_check"]["late_s"],
        hisses=calibration["sibilant_check"]["n"],
        onsets=len(differences),
        skipped=f"; not aligned: {', '.join(skipped)}" if skipped else "; every clip was aligned",
        proof=_onset_table(differences),
        manners=_manner_table(differences),
    )


def _phone_table(corpus: Corpus) -> str:
    tokens = Counter(phone.label for item in corpus for phone in item.phones)
    per_voice = Counter(
        (item.speaker, phone.label) for item in corpus if _is_own(item) for phone in item.phones
    )
    words = defaultdict(set)
    for item in corpus:
        for word in item.words:
            for phone in phones_in(word, item.phones):
                words[phone.label].add(word.label)
    rows = [
        (label, tokens[label], len(words[label]), min(per_voice[voice, label] for voice in corpus.speakers))
        for label in ARPABET
    ]
    return markdown_table(("phone", "tokens", "different words", "fewest in a voice's own sentences"), rows)


def _voice_table(corpus: Corpus, differences: pd.DataFrame) -> str:
    onsets = differences.groupby("speaker")["difference"].agg(lambda part: part.abs().median())
    rows = []
    for voice in corpus.speakers:
        clips = [item for item in corpus if item.speaker == voice]
        seconds = sum(item.duration for item in clips)
        phones = sum(len(item.phones) for item in clips)
        first = clips[0]
        rows.append(
            (voice, first.accent, first.gender, f"{seconds:.1f}", phones, f"{1000 * onsets[voice]:.1f}")
        )
    return markdown_table(
        ("voice", "accent", "gender", "seconds", "phones", "median onset difference (ms)"), rows
    )


def _onset_table(differences: pd.DataFrame) -> str:
    groups = [("all", differences)]
    for column in ("accent", "gender"):
        groups += [(str(name), part) for name, part in differences.groupby(column)]
    rows = []
    for name, part in groups:
        size = 1000 * part["difference"].abs()
        quantiles = [f"{size.quantile(share):.1f}" for share in (0.5, 0.75, 0.9)]
        signed = f"{1000 * part['difference'].median():+.1f}"
        rows.append((name, len(part), *quantiles, f"{100 * (size <= 20).mean():.0f} %", signed))
    return markdown_table(
        ("voices", "onsets", "median (ms)", "p75", "p90", "within 20 ms", "signed median"), rows
    )


def _manner_table(differences: pd.DataFrame) -> str:
    rows = []
    for manner in MANNER:
        part = 1000 * differences.loc[differences["manner"] == manner, "difference"]
        rows.append((manner, len(part), f"{part.abs().median():.1f}", f"{part.median():+.1f}"))
    return markdown_table(("manner", "onsets", "median (ms)", "signed median"), rows)


def _is_own(item: Item) -> bool:
    return ("sentence_set", "own") in item.extra
