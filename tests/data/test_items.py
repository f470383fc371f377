"""What an item and a corpus say of themselves."""

from dataclasses import replace

import pytest

from innerear.data.registry import load_corpus
from innerear.data.schema import Corpus, Item, Segment
from innerear.data.text import normalise
from tests.conftest import make_item, noise

CLIP = noise(0.2)


@pytest.fixture(scope="module")
def joined() -> Corpus:
    """Speech, sounds of all kinds, and speech under noise, as tasks join them."""
    return load_corpus("innerear-speech+innerear-nonspeech+innerear-loops")


def test_the_cluster_is_the_speaker_the_sound_source_or_the_item_itself():
    assert make_item("a", CLIP, speaker="bob").cluster == "bob"
    assert make_item("b", CLIP, speaker="fan", text="", extra=(("kind", "hum"),)).cluster == "fan"
    assert make_item("c", CLIP).cluster == "c"


def test_a_clip_is_speech_where_it_has_a_transcript():
    assert make_item("a", CLIP, text="hello").is_speech
    assert make_item("b", CLIP, text="Hm.").is_speech  # although no word is left after normalisation
    assert not make_item("c", CLIP, text="").is_speech


def test_embedded_clips_are_speech_where_their_transcripts_have_words(joined):
    assert [item.is_speech for item in joined] == [bool(normalise(item.text, "en")) for item in joined]
    assert {item.label("kind") for item in joined if item.is_speech} == {"", "masked"}


def test_with_items_changes_nothing_else(joined):
    refused = replace(joined, refused=(("x", "it is empty"),))
    few = refused.with_items(item for item in refused if item.label("kind") == "hum")
    assert len(few) == 30
    assert {item.label("kind") for item in few} == {"hum"}
    assert replace(few, items=refused.items) == refused


def test_fingerprints_stay_what_published_results_say():
    """They hash what is stored of an item; `cluster` and `is_speech` follow from that."""
    said = (Segment("hello", 0.1, 0.6),)
    bob = Item("a", lambda: CLIP, "0" * 64, 1.0, "hello", language="en", speaker="bob", words=said)
    fan = Item("b", lambda: CLIP, "1" * 64, 1.0, "", language="en", speaker="fan", extra=(("kind", "hum"),))
    corpus = Corpus("made", "1", (bob, fan), "made", "none")
    assert corpus.fingerprint() == "72082125ea3749dd5ca2d7675f94391a7cd9b6af94e95d72b180a1eb541eaed3"
    assert corpus.with_items([fan, bob]).fingerprint() != corpus.fingerprint()
