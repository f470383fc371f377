"""The card of `innerear-words`: what is counted in its data, and what is measured on it."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline

from innerear.data.language import ENGLISH
from innerear.data.phones import MANNER
from innerear.data.schema import Corpus
from innerear.data.text import align_words, normalise
from innerear.data.word_categories import word_categories
from innerear.models.base import SpeechModel
from innerear.models.loading import load_model
from innerear.render.phone_times import compare_onsets, phones_in, summarise
from innerear.render.shared import markdown_table
from innerear.util.progress import bar

RECOGNISERS = ("whisper-base", "whisper-tiny.en")
"""Recognisers whose transcripts show which words are intelligible."""

_CARD = Path(__file__).with_name("words_card.md")
_VOWELS = {*MANNER["vowel"], *MANNER["diphthong"]}


def measure(corpus: Corpus) -> dict[str, Any]:
    """Measure what takes minutes: words recognised, categories predicted from phones, accuracy of times.

    Parameters
    ----------
    corpus
        As `innerear.data.embedded.read` gives it.

    Returns
    -------
    dict
        The content of `measured.json`.
    """
    categories = word_categories()
    recognised = {name: count_recognised(corpus, load_model(name)) for name in RECOGNISERS}
    spoken = Counter(word.label for item in corpus for word in item.words)
    per_category = {
        category: {
            name: sum(right[word] for word in spoken if categories[word] == category)
            for name, right in recognised.items()
        }
        for category in sorted(set(categories.values()))
    }
    onsets, _ = compare_onsets(corpus)
    return {
        "heard_right": per_category,
        "never_heard": sorted(
            word for word in spoken if not any(right[word] for right in recognised.values())
        ),
        "bag_of_phones": bag_of_phones(corpus),
        "onsets": summarise(onsets),
    }


def count_recognised(corpus: Corpus, model: SpeechModel) -> Counter[str]:
    """Count for each word the clips in which a recogniser writes it, both normalised as Whisper does."""
    right: Counter[str] = Counter()
    with bar(f"{model.identity.name} hears {corpus.name}", len(corpus)) as advance:
        for item in corpus:
            written = normalise(model.transcribe([item.audio()])[0].text, ENGLISH)
            words = item.text.split()
            right.update(
                words[word.reference] for word in align_words(item.text, written) if word.kind == "right"
            )
            advance()
    return right


def bag_of_phones(corpus: Corpus) -> float:
    """Accuracy of predicting a word's category from its phone counts, learnt on the words of other blocks."""
    categories = word_categories()
    bags, labels, blocks = [], [], []
    for item in corpus:
        for word in item.words:
            bags.append(Counter(phone.label for phone in phones_in(word, item.phones)))
            labels.append(categories[word.label])
            blocks.append(item.label("block"))
    learner = make_pipeline(DictVectorizer(), LogisticRegression(max_iter=1000))
    return float(np.mean(cross_val_score(learner, bags, labels, groups=blocks, cv=LeaveOneGroupOut())))


def card(corpus: Corpus, measured: Mapping[str, Any]) -> str:
    """Write the corpus card in Markdown; `measured` is what `measure` gives."""
    categories = word_categories()
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
        table=_category_table(corpus, measured["heard_right"]),
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


def _category_table(corpus: Corpus, heard: Mapping[str, Mapping[str, int]]) -> str:
    categories = word_categories()
    words, phones, syllables, seconds = (defaultdict[str, list[Any]](list) for _ in range(4))
    for item in corpus:
        for word in item.words:
            sounds = [phone.label for phone in phones_in(word, item.phones)]
            for group in (categories[word.label], "all"):
                words[group].append(word.label)
                phones[group].append(len(sounds))
                syllables[group].append(sum(sound in _VOWELS for sound in sounds))
                seconds[group].append(word.end - word.start)
    everywhere = {name: sum(counts[name] for counts in heard.values()) for name in RECOGNISERS}
    right = {**heard, "all": everywhere}
    rows = [
        (
            group,
            len(set(words[group])),
            *(f"{mean(values[group]):.2f}" for values in (phones, syllables, seconds)),
            *(f"{100 * right[group][name] / len(words[group]):.0f} %" for name in RECOGNISERS),
        )
        for group in (*sorted(set(categories.values())), "all")
    ]
    heads = ("category", "words", "mean phones", "mean syllables", "mean seconds", *RECOGNISERS)
    return markdown_table(heads, rows)


def _voice_table(corpus: Corpus) -> str:
    rows = []
    for voice in corpus.speakers:
        clips = [item for item in corpus if item.speaker == voice]
        minutes = sum(item.duration for item in clips) / 60
        words = sum(len(item.words) for item in clips)
        rows.append((voice, clips[0].accent, clips[0].gender, len(clips), words, f"{minutes:.1f}"))
    return markdown_table(("voice", "accent", "gender", "clips", "words", "minutes"), rows)
