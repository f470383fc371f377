"""Charts of a clip are valid, hold the numbers of their rows, and show themselves in a notebook."""

import altair
import pytest
from conftest import noise, tiny_model
from synthetic import make_result

from innerear.data.registry import load_corpus
from innerear.look import charts
from innerear.look.charts import attention_map, lens, phones, plot, saliency, sweep
from innerear.look.clip import lens_rows, saliency_rows, sweep_rows
from innerear.look.phones import phone_rows
from innerear.protocols.phone_probing import PhoneProbingProtocol
from innerear.report.chart import Chart
from innerear.tasks.task import load_task
from innerear.util.errors import InputError

CLIP = noise(0.5)
OF_DECODERS = (lens, attention_map, saliency, sweep)


def shown(chart: Chart) -> Chart:
    """The chart, if it is valid and a notebook can show it."""
    altair.Chart.from_dict(chart.printed())
    made = chart._repr_mimebundle_()
    assert made["image/svg+xml"].startswith("<svg")
    assert made["text/plain"].startswith(chart.title)
    assert len(chart.to_frame()) == len(chart.rows)
    return chart


@pytest.mark.parametrize("draw", OF_DECODERS, ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("family", ["whisper", "moonshine"])
def test_what_a_decoder_does_is_drawn_with_a_table_behind(draw, family):
    shown(draw(tiny_model(family), CLIP))


def test_the_numbers_are_those_of_the_rows():
    model = tiny_model("moonshine")
    assert [int(rank) - 1 for *_, rank, _ in lens(model, CLIP).rows] == [
        row["rank"] for row in lens_rows(model, CLIP, "clip")
    ]
    assert [row["lost"] for row in saliency(model, CLIP).data] == pytest.approx(
        [row["lost"] for row in saliency_rows(model, CLIP)], rel=1e-4, abs=1e-6
    )
    assert [(row["site"], row["changed"]) for row in sweep(model, CLIP).data] == [
        (row["site"], row["changed"]) for row in sweep_rows(model, CLIP)
    ]


def test_the_phones_of_a_ctc_model_are_drawn_and_it_says_how_far_to_trust_them(tmp_path, monkeypatch):
    monkeypatch.setenv("INNEREAR_CACHE", str(tmp_path))
    task = load_task("phoneme-probing").resolve(limit=84)
    monkeypatch.setattr(charts, "load_task", lambda _: task)
    model = tiny_model("wav2vec2")
    rows = phone_rows(model, CLIP, PhoneProbingProtocol(task, load_corpus))
    chart = shown(phones(model, CLIP))
    assert [(site, phone) for site, _, phone, _ in chart.rows] == [
        (row["site"], row["phone"]) for row in rows
    ]
    assert f"right in {rows[0]['held_out']:.0%}" in chart.caption


def test_a_model_without_a_decoder_has_heads_and_says_what_it_lacks():
    model = tiny_model("wav2vec2")
    shown(sweep(model, CLIP))
    for draw in OF_DECODERS[:-1]:
        with pytest.raises(InputError, match="no decoder"):
            draw(model, CLIP)


def test_a_result_is_plotted_and_a_chart_that_it_lacks_is_named():
    assert shown(plot(make_result())).title
    with pytest.raises(InputError, match=r"unknown chart 'lens'; did you mean 'layers'"):
        plot(make_result(), name="lens")
