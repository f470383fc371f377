"""The card of `innerear-words`: what is counted in its data, and what is measured on it once."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import jiwer
import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline

from innerear.data.phones import MANNER
from innerear.data.schema import Corpus, Item, Segment
from innerear.data.text import normalise
from innerear.models.base import SpeechModel
from innerear.models.loading import load_model
from innerear.render.phone_times import prove
from innerear.render.speech_card import table
from innerear.util.progress import bar

LISTENERS = ("whisper-base", "whisper-tiny.en")
"""Recognisers that say which words can be heard."""

_CARD = Path(__file__).with_name("words_card.md")
_VOWELS = {*MANNER["vowel"], *MANNER["diphthong"]}


def measure(corpus: Corpus, categories: Mapping[str, str]) -> dict[str, Any]:
    """What takes minutes: what recognisers hear, how far phones tell categories, how far times hold.

    Parameters
    ----------
    corpus
        As `innerear.data.embedded.read` gives it.
    categories
        Category of each word.

    Returns
    -------
    dict
        The content of `measured.json`.
    """
    heard = {name: heard_right(corpus, load_model(name)) for name in LISTENERS}
    spoken = Counter(word.label for item in corpus for word in item.words)
    per_category = {
        category: {
            name: sum(right[word] for word in spoken if categories[word] == category)
            for name, right in heard.items()
        }
        for category in sorted(set(categories.values()))
    }
    onsets, _ = prove(corpus)
    difference = onsets["difference"]
    return {
        "heard_right": per_category,
        "never_heard": sorted(word for word in spoken if not any(right[word] for right in heard.values())),
        "bag_of_phones": bag_of_phones(corpus, categories),
        "onsets": {
            "n": len(onsets),
            "median_s": float(difference.abs().median()),
            "signed_median_s": float(difference.median()),
            "within_20_ms": float((difference.abs() <= 0.020).mean()),
        },
    }


def heard_right(corpus: Corpus, model: SpeechModel) -> Counter[str]:
    """Count for each word the clips in which a recogniser writes it, both normalised as Whisper does."""
    right: Counter[str] = Counter()
    with bar(f"{model.identity.name} hears {corpus.name}", len(corpus)) as advance:
        for item in corpus:
            written = normalise(model.transcribe([item.audio()])[0].text)
            for chunk in jiwer.process_words(item.text, written).alignments[0]:
                if chunk.type == "equal":
                    right.update(item.text.split()[chunk.ref_start_idx : chunk.ref_end_idx])
            advance()
    return right


def bag_of_phones(corpus: Corpus, categories: Mapping[str, str]) -> float:
    """Accuracy of naming a word's category from its phone counts, learnt on the words of other blocks."""
    bags, labels, blocks = [], [], []
    for item in corpus:
        for word in item.words:
            bags.append(Counter(phone.label for phone in _inside(item, word)))
            labels.append(categories[word.label])
            blocks.append(item.label("block"))
    learner = make_pipeline(DictVectorizer(), LogisticRegression(max_iter=1000))
    return float(np.mean(cross_val_score(learner, bags, labels, groups=blocks, cv=LeaveOneGroupOut())))


def card(corpus: Corpus, categories: Mapping[str, str], measured: Mapping[str, Any]) -> str:
    """Write the corpus card in Markdown; `measured` is what `measure` gives."""
    spoken = [word for item in corpus for word in item.words]
    words = len({word.label for word in spoken})
    chance = 1 / len(set(categories.values()))
    never = measured["never_heard"]
    onsets = measured["onsets"]
    return _CARD.read_text().format(
        name=corpus.name,
        version=corpus.version,
        clips=len(corpus),
        minutes=sum(item.duration for item in corpus) / 60,
        longest=max(item.duration for item in corpus),
        words=words,
        categories=len(set(categories.values())),
        blocks=len({item.label("block") for item in corpus}),
        tokens=len(spoken),
        voice_count=len(corpus.speakers),
        voices=_voice_table(corpus),
        table=_category_table(corpus, categories, measured["heard_right"]),
        never=f"No recogniser gets {', '.join(never)} right in any voice." if never
        else "Every word is heard right by one of the two in one voice or more.",
        bag=100 * measured["bag_of_phones"],
        chance=100 * chance,
        error=100 * math.sqrt(chance * (1 - chance) / words),
        onsets=onsets["n"],
        median=1000 * onsets["median_s"],
        signed=1000 * onsets["signed_median_s"],
        within=100 * onsets["within_20_ms"],
    )  # fmt: skip


def _category_table(
    corpus: Corpus, categories: Mapping[str, str], heard: Mapping[str, Mapping[str, int]]
) -> str:
    words, phones, syllables, seconds = (defaultdict[str, list[Any]](list) for _ in range(4))
    for item in corpus:
        for word in item.words:
            sounds = [phone.label for phone in _inside(item, word)]
            for group in (categories[word.label], "all"):
                words[group].append(word.label)
                phones[group].append(len(sounds))
                syllables[group].append(sum(sound in _VOWELS for sound in sounds))
                seconds[group].append(word.end - word.start)
    everywhere = {name: sum(counts[name] for counts in heard.values()) for name in LISTENERS}
    right = {**heard, "all": everywhere}
    rows = [
        (
            group,
            len(set(words[group])),
            *(f"{mean(values[group]):.2f}" for values in (phones, syllables, seconds)),
            *(f"{100 * right[group][name] / len(words[group]):.0f} %" for name in LISTENERS),
        )
        for group in (*sorted(set(categories.values())), "all")
    ]
    heads = ("category", "words", "mean phones", "mean syllables", "mean seconds", *LISTENERS)
    return table(heads, rows)


def _voice_table(corpus: Corpus) -> str:
    rows = []
    for voice in corpus.speakers:
        clips = [item for item in corpus if item.speaker == voice]
        minutes = sum(item.duration for item in clips) / 60
        words = sum(len(item.words) for item in clips)
        rows.append((voice, clips[0].accent, clips[0].gender, len(clips), words, f"{minutes:.1f}"))
    return table(("voice", "accent", "gender", "clips", "words", "minutes"), rows)


def _inside(item: Item, word: Segment) -> list[Segment]:
    return [phone for phone in item.phones if word.start <= phone.middle <= word.end]
