"""Languages decide how texts are scored; clips that a task is not defined for are left out and said."""

import pytest
from conftest import make_item, measured, multilingual, noise, tiny_model

from innerear.activations.capture import capture
from innerear.activations.readings import packed
from innerear.data.schema import Corpus, Segment
from innerear.protocols.base import NotApplicable
from innerear.protocols.registry import PROTOCOLS, Inapplicable, protocol_of
from innerear.protocols.transcription import TranscriptionProtocol
from innerear.tasks.task import load_task, task_names
from innerear.util.errors import InputError

TASK = load_task("transcription").model_copy(update={"noise": None})
ENGLISH_ONLY = {
    name for name in task_names() if PROTOCOLS[load_task(name).measure.protocol].languages == "English"
}


def corpus(*texts):
    """A clip of a speaker of its own for each (language, text)."""
    clips = [
        make_item(f"c{at}", noise(0.5, at), text=text, language=language, speaker=f"s{at}")
        for at, (language, text) in enumerate(texts)
    ]
    return Corpus("made", "1", tuple(clips), "made", "none")


def transcribed(model, clips, *written):
    """What the task finds if a model writes these texts."""
    protocol = TranscriptionProtocol(TASK, lambda _: clips)
    (captured,) = capture(model, list(protocol.demands(model).values()))
    for index, text in zip(captured.indices, written, strict=True):
        made = {"text": text, "tokens": [], "log_probs": [], "ended": True, "pieces": []}
        captured.values[index]["json"] = packed(made)
    return protocol.measure(model, {"text": captured}, "meta")


def test_german_is_scored_in_german():
    found = transcribed(
        multilingual(), corpus(("de", "Es ist größer, ähm."), ("de", "Zwei")), "es ist größer", "2"
    )
    assert (found.headline, list(found.scores)) == ("wer", ["wer", "cer"])
    assert found.scores["wer"].value == pytest.approx(2 / 5)
    assert found.tables["languages"] == [
        {
            "language": "de",
            "clips": 2,
            "stated": 2,
            "errors": 2,
            "words": 5,
            "character_errors": 8,
            "characters": 21,
        }
    ]


def test_scripts_without_spaces_are_ranked_by_characters():
    found = transcribed(
        multilingual(), corpus(("zh", "今天天气很好。"), ("zh", "去北京")), "今天 天气好", "去北京!"
    )
    assert (found.headline, list(found.scores)) == ("cer", ["cer"])
    assert found.scores["cer"].value == pytest.approx(1 / 9)
    assert (found.items["outcome"].sum(), found.items["weight"].sum()) == (1, 9)


def test_a_corpus_with_such_a_script_is_ranked_by_characters_in_all_its_languages():
    mixed = corpus(("zh", "去北京"), ("en", "red sky"))
    found = transcribed(multilingual(), mixed, "去", "red sky")
    assert (found.headline, list(found.scores)) == ("cer", ["cer"])
    assert found.scores["cer"].value == pytest.approx(2 / (3 + 7))
    assert [row["language"] for row in found.tables["languages"]] == ["zh", "en"]
    other = tiny_model("moonshine")
    other.languages = frozenset({"en"})
    assert transcribed(other, mixed, "red sky").headline == "cer"


def test_a_clip_of_no_stated_language_is_in_that_of_the_model():
    clips = corpus(("", "Zwei größere"), ("de", "Ja"))
    assert transcribed(multilingual("de"), clips, "zwei größere", "ja").scores["wer"].value == 0
    found = transcribed(multilingual(), clips, "2 groszere", "ja")
    assert [(row["language"], row["clips"], row["stated"]) for row in found.tables["languages"]] == [
        ("en", 1, 0), ("de", 1, 1)
    ]  # fmt: skip


def test_english_results_say_nothing_of_languages():
    found = transcribed(tiny_model("moonshine"), corpus(("en", "red sky")), "red sky")
    assert "languages" not in found.tables
    assert "language" not in found.items


def test_a_model_of_another_language_is_na():
    model = tiny_model("moonshine")
    model.languages = frozenset({"en"})
    protocol = TranscriptionProtocol(TASK, lambda _: corpus(("de", "Ja")))
    assert protocol.unsupported_reason(model) == ("tiny-moonshine transcribes only en, and the clip is in de")
    assert (
        TranscriptionProtocol(TASK, lambda _: corpus(("de", "Ja"), ("en", "Yes"))).unsupported_reason(model)
        is None
    )


def test_tasks_about_english_name_themselves():
    assert {"phoneme-probing", "abx", "semantic-bias", "semantic-category", "encoder-lens"} <= ENGLISH_ONLY
    assert not {"transcription", "logit-lens", "speaker-gender", "repetition"} & ENGLISH_ONLY


@pytest.mark.parametrize("name", sorted(ENGLISH_ONLY))
def test_other_languages_are_left_out_of_tasks_about_english(name):
    protocol = protocol_of(load_task(name), lambda _: corpus(("de", "Ja"), ("fr", "Oui")))
    assert isinstance(protocol, Inapplicable)
    model = tiny_model("whisper")
    reason = protocol.unsupported_reason(model)
    assert reason == "made: no clip can be used; the first: the task is for English, and c0 is in de"
    with pytest.raises(NotApplicable, match="the task is for English"):
        measured(protocol, model)


def spoken(at, language):
    phones = (Segment("aa", 0.0, 0.2), Segment("iy", 0.2, 0.4))
    words = (Segment("a", 0.0, 0.4),)
    return make_item(
        f"c{at}",
        noise(0.5, at),
        text=f"a {at}",
        language=language,
        speaker=f"s{at}",
        phones=phones,
        words=words,
    )


def test_what_is_left_out_is_counted():
    clips = tuple(spoken(at, "de" if at % 3 == 0 else "en") for at in range(12))
    protocol = protocol_of(load_task("phoneme-probing"), lambda _: Corpus("made", "1", clips, "made", "none"))
    assert len(protocol.corpus) == 8
    assert [name for name, _ in protocol.corpus.refused] == ["c0", "c3", "c6", "c9"]


@pytest.mark.parametrize("speakers", [1, 2])
def test_folds_over_too_few_speakers_are_na(speakers):
    clips = tuple(spoken(at, "en") for at in range(speakers))
    protocol = protocol_of(load_task("phoneme-probing"), lambda _: Corpus("made", "1", clips, "made", "none"))
    counted = {1: "1 speaker is", 2: "2 speakers are"}[speakers]
    assert protocol.unsupported_reason(tiny_model("whisper")) == (
        f"made: {counted} too few for 4 folds disjoint by speaker"
    )


def test_a_limit_that_leaves_too_few_clips_is_named():
    clips = Corpus("made", "1", tuple(spoken(at, "en") for at in range(12)), "made", "none")
    task = load_task("phoneme-probing").resolve(limit=2)
    with pytest.raises(
        InputError, match=r"2 speakers are too few for 4 folds .*; --limit 2 leaves too little"
    ):
        protocol_of(task, lambda _: clips)
    few = clips.with_items(clips.items[:2])
    assert "--limit" not in protocol_of(task, lambda _: few).unsupported_reason(tiny_model("whisper"))
