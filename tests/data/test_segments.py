"""Parts of recordings: bounds, channels, and labels whose times are those of the clip or of the recording."""

import numpy as np
import pytest
from manifests import LINE, write
from praatio import textgrid

from innerear.data.manifest import load_manifest
from innerear.data.schema import Segment


@pytest.mark.parametrize(
    "column",
    [
        "start_ms", "end_samples", "onset", "Start (ms)", "begin[s]", "seg_start", "segment_end_time",
        "frame_offset", "audio_start", "t0", "tmin", "t_end", "endTime",
    ],
)  # fmt: skip
def test_bounds_that_are_not_understood_are_never_passed_over(corpora, column):
    corpus = load_manifest(write(corpora, LINE, LINE | {"id": "b", column: 1}))
    assert f"the column {column!r} is not understood" in corpus.refused[0][1]


def test_segments_of_one_recording_are_clips_of_their_own(corpora):
    line = {"audio": "clips/a.wav", "text": "She."}
    first, second = load_manifest(
        write(corpora, line | {"offset": 0.1, "duration": 0.2}, line | {"start": 0.3, "end": 0.45})
    )
    assert [item.id for item in (first, second)] == ["clips/a_0.1_0.3", "clips/a_0.3_0.45"]
    assert (first.duration, second.duration) == (0.2, 0.15)
    assert first.audio_sha256 != second.audio_sha256
    np.testing.assert_allclose(first.audio().shape, 3200)


def test_labels_of_a_segment_are_its_own_inline_and_cut_from_those_of_its_recording(corpora):
    (corpora / "p.ctm").write_text("a 1 0.0 0.2 SH\na 1 0.2 0.3 IY1\nown 1 0.0 0.1 S\n")
    segment = LINE | {"start": 0.15, "end": 0.45}
    inline, recording, own = load_manifest(
        write(
            corpora,
            segment | {"id": "inline", "phones": [{"label": "SH", "start": 0, "end": 0.1}]},
            segment | {"id": "recording", "ctm": "p.ctm"},
            segment | {"id": "own", "ctm": "p.ctm"},
        )
    )
    assert inline.phones == (Segment("sh", 0, 0.1),)
    ((phone),) = recording.phones
    assert (phone.label, phone.start, phone.end) == ("iy", pytest.approx(0.05), pytest.approx(0.3))
    assert own.phones == (Segment("s", 0.0, 0.1),)


def test_two_channels_of_a_ctm_are_two_recordings(corpora):
    (corpora / "p.ctm").write_text("a A 0.0 0.2 SH\na B 0.1 0.2 IY1\n")
    line = LINE | {"ctm": "p.ctm"}
    corpus = load_manifest(write(corpora, line | {"channel": "A"}, line | {"channel": 2}, line | {"id": "x"}))
    assert [(item.id, item.phones[0].label) for item in corpus] == [("clips/a_A", "sh"), ("clips/a_2", "iy")]
    ((name, reason),) = corpus.refused
    assert name == "x"
    assert "channels A, B of one clip are two recordings" in reason


def test_absolute_paths_never_become_ids(corpora, tmp_path_factory):
    inside = (corpora / "clips/a.wav").as_uri()
    other = tmp_path_factory.mktemp("else") / "deep"
    other.mkdir()
    outside = [other / "x.wav", other / "y+z.wav"]
    for path in outside:
        path.write_bytes((corpora / "clips/b.wav").read_bytes())
    gone = other / "gone.wav"
    corpus = load_manifest(
        write(corpora, *({"audio": str(path), "text": "x"} for path in (inside, *outside, gone)))
    )
    assert [item.id for item in corpus] == ["clips/a", "x", "y+z"]
    assert corpus.refused[0][0] == "gone"
    assert str(other) not in corpus.refused[0][1]


def write_grid(path, start, end):
    grid = textgrid.Textgrid(start, end)
    for name, label in (("words", "she"), ("phones", "IY1"), ("gestures", "nod")):
        entry = (start + 0.1, start + 0.3, label)
        grid.addTier(textgrid.IntervalTier(name, [entry], start, end))
    grid.save(str(path), format="long_textgrid", includeBlankSpaces=True)


@pytest.mark.parametrize(
    ("grid", "bounds", "times"),
    [
        ((0.0, 0.5), {}, (0.1, 0.3)),
        ((12.5, 13.0), {}, (0.1, 0.3)),
        ((0.05, 0.45), {}, (0.15, 0.35)),
        ((0.0, 0.5), {"start": 0.05, "end": 0.45}, (0.05, 0.25)),
        ((0.0, 0.3), {"start": 0.1, "end": 0.4}, (0.1, 0.3)),
        ((0.1, 0.4), {"start": 0.1, "end": 0.4}, (0.1, 0.3)),
    ],
)
def test_times_of_a_textgrid_are_those_of_the_clip_or_of_its_recording(corpora, grid, bounds, times):
    write_grid(corpora / "a.TextGrid", *grid)
    (item,) = load_manifest(write(corpora, LINE | {"textgrid": "a.TextGrid"} | bounds))
    ((word),) = item.words
    assert (word.start, word.end) == (pytest.approx(times[0]), pytest.approx(times[1]))
    assert item.phones[-1].end <= item.duration


@pytest.mark.parametrize(("end", "said"), [(0.5, False), (0.45, False), (0.35, True)])
def test_a_textgrid_of_another_length_than_its_audio_is_said(corpora, end, said):
    write_grid(corpora / "a.TextGrid", 0.0, end)
    corpus = load_manifest(write(corpora, LINE | {"textgrid": "a.TextGrid"}))
    assert any("not as long as its audio" in note.message for note in corpus.notes) == said


def test_a_textgrid_of_neither_the_clip_nor_the_recording_is_refused(corpora):
    write_grid(corpora / "a.TextGrid", 5.0, 6.0)
    bad = LINE | {"id": "b", "start": 0.1, "end": 0.4, "textgrid": "a.TextGrid"}
    corpus = load_manifest(write(corpora, LINE, bad))
    assert "it covers 5.000 to 6.000 s, neither the clip (0.300 s) nor its recording" in corpus.refused[0][1]
