"""A manifest with new labels, as an aligner makes them."""

import pytest
from manifests import LINE, write

from innerear.data.manifest import align_manifest, load_manifest
from innerear.data.schema import Segment
from innerear.util.errors import InputError


def test_aligning_writes_a_manifest_that_loads_with_the_new_labels(corpora):
    def align(audio, text):
        if text == "Mumble.":
            raise InputError("the words are not in the audio")
        return [Segment("she", 0.0, 0.5)], [Segment("sh", 0.0, 0.2), Segment("iy", 0.2, 0.5)]

    old = LINE | {"ctm": "absent.ctm", "take": 2}
    path = write(corpora, old, LINE | {"id": "m", "text": "Mumble."})
    (corpora / "out").mkdir()
    corpus = align_manifest(path, corpora / "out/aligned.jsonl", align)
    (item,) = corpus
    assert [phone.label for phone in item.phones] == ["sh", "iy"]
    assert (item.id, item.gender, item.extra) == ("clips/a", "female", (("take", "2"),))
    assert item.audio().shape == (8000,)
    assert corpus.refused == (("m", "my.jsonl:2: the words are not in the audio"),)
    assert corpus.fingerprint() == load_manifest(corpora / "out/aligned.jsonl").fingerprint()


def test_aligning_passes_over_clips_without_speech(corpora):
    def align(audio, text):
        assert text
        return [Segment("she", 0.0, 0.5)], [Segment("sh", 0.0, 0.2), Segment("iy", 0.2, 0.5)]

    path = write(corpora, LINE, {"audio": "clips/b.wav", "text": "", "speaker": "fan", "speech": False})
    spoken, mute = align_manifest(path, corpora / "out.jsonl", align)
    assert (len(spoken.phones), mute.text, mute.words, mute.phones) == (2, "", (), ())


def test_aligning_nothing_writes_nothing(corpora):
    path = write(corpora, LINE | {"audio": "clips/none.wav"})
    with pytest.raises(InputError, match="no clip could be aligned"):
        align_manifest(path, corpora / "out.jsonl", lambda audio, text: ((), ()))
    with pytest.raises(InputError, match="name the output"):
        align_manifest(path, corpora / "out.csv", lambda audio, text: ((), ()))
    assert not list(corpora.glob("out*"))
