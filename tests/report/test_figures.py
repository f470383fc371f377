"""Every table that has a picture gets one, and what it shows is what the table says."""

import numpy as np
from synthetic import make_result

from innerear.report.figures import (
    DRAWINGS,
    _piece,
    calibration_figure,
    caption,
    confusion_figure,
    draw,
    faithfulness_figure,
    kinds_figure,
    lens_figure,
    pictures,
    remedies_figure,
)
from innerear.report.plots import curves_figure
from innerear.tasks.declarations import DECLARATIONS

LENS = [
    {"item": "c", "token": f"▁t{at}", "layer": layer, "top": "Ġx", "rank": 0 if layer == 2 else 10**at}
    for at in range(4) for layer in range(3)
]  # fmt: skip
KINDS = [
    {"site": f"encoder.{layer}", "norm": norm, "empty": 1, "correct": layer, "loop": 2, "partial": 0,
     "gibberish": 0, "fluent": 1, "wer": 1.0}
    for norm in (True, False) for layer in range(3)
]  # fmt: skip

FAITHFULNESS = [
    {"ranking": name, "heads": count, "resolved": share * at / 2}
    for name, share in (("ranked", 1.0), ("random-0", 0.2), ("random-1", 0.4))
    for at, count in enumerate((1, 2, 4))
]
POINTS = [
    {"arm": f"arm {arm}", "where": where, "strength": 0.1 * at, "cost": 0.01 * at, "reduction": 0.1 * arm}
    for arm in range(9) for where in ("decoder.1", "decoder.2") for at in range(3)
]  # fmt: skip


def test_confusions_are_shares_of_the_true_class():
    figure = confusion_figure([{"truth": "AA", "AA": 3, "AE": 1}, {"truth": "AE", "AA": 0, "AE": 5}])
    (image,) = figure.axes[0].images
    np.testing.assert_allclose(image.get_array(), [[0.75, 0.25], [0, 1]])


def test_the_lens_shows_ranks_with_the_last_layer_on_top():
    figure = lens_figure(LENS)
    (image,) = figure.axes[0].images
    assert image.get_array().shape == (3, 4)
    np.testing.assert_allclose(image.get_array()[2], 0)
    np.testing.assert_allclose(image.get_array()[0], np.log10(10.0 ** np.arange(4) + 1))
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == [f" t{at}" for at in range(4)]


def test_kinds_of_output_fill_every_bar():
    for axes in kinds_figure(KINDS).axes:
        tops = {bar.get_x(): 0.0 for bar in axes.patches}
        for bar in axes.patches:
            tops[bar.get_x()] += bar.get_height()
        np.testing.assert_allclose(list(tops.values()), 1)


def test_calibration_is_drawn_against_the_diagonal():
    figure = calibration_figure([{"predicted": 0.1, "observed": 0.2, "clips": 5}])
    assert "n = 5 in 1 bins" in figure.axes[0].get_title(loc="left")


def test_the_ranking_stands_out_from_random_ones():
    (axes,) = faithfulness_figure(FAITHFULNESS).axes
    assert [line.get_ydata().tolist()[-1] for line in axes.lines] == [1.0, 0.2, 0.4]
    assert axes.lines[0].get_zorder() > axes.lines[1].get_zorder()
    assert [text.get_text() for text in axes.get_legend().texts] == ["by the ranking", "at random"]


def test_what_deaf_heads_lose_is_named_so():
    rows = [{"ranking": "ranked", "heads": count, "lost": 0.1 * count} for count in (1, 2, 4)]
    (axes,) = faithfulness_figure(rows).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("heads deaf together", "probability lost")
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.1, 0.2, 0.4])


def test_each_arm_has_a_look_of_its_own_and_a_line_a_place():
    (axes,) = remedies_figure(POINTS).axes
    lines = axes.lines[1:]
    assert len(lines) == 18
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 9
    assert [text.get_text() for text in axes.get_legend().texts] == [f"arm {arm}" for arm in range(9)]
    np.testing.assert_allclose(lines[0].get_xdata(), [0, 1, 2])


def test_a_result_gets_a_picture_of_each_table(tmp_path):
    tables = {
        "lens_map": LENS, "kinds": KINDS, "confusion_matrix": [{"truth": "a", "a": 1, "b": 1}],
        "head_map": [
            {"layer": layer, "head": head, "value": 0.1 * head, "marked": head == 1}
            for layer in (1, 2) for head in range(3)
        ],
        "calibration": [{"predicted": 0.5, "observed": 0.5, "clips": 1}],
    }  # fmt: skip
    tables["psychometric"] = [
        {"evidence": kind, "context": name, "level": level, "n": 5, "chosen": level / 6, "fitted": 0.5,
         "threshold": 3.0, "censored": False, "slope": 2.0, "lapse": 0.02}
        for kind in ("step", "dB") for name in ("first", "neutral") for level in range(7)
    ]  # fmt: skip
    tables["head_map_self"] = tables["head_map"]
    tables["faithfulness"], tables["points"] = FAITHFULNESS, POINTS
    result = make_result()
    fields = {name: getattr(result, name) for name in type(result).model_fields}
    made = type(result)(**fields | {"tables": tables, "content_sha256": "", "record_sha256": ""})
    drawn = set()
    for protocol, declared in DECLARATIONS.items():
        own = made.model_copy(update={"task": made.task.model_copy(update={"protocol": protocol})})
        names = list(pictures(own))
        assert names == ["layers", "curves", *(picture.name for picture in declared.pictures)]
        assert all(caption(own, name) for name in names)
        kinds = {picture.drawing for picture in declared.pictures}
        if kinds - drawn:
            files = draw(own, [], tmp_path)
            assert [path.name for path in files] == [f"{name}.png" for name in names]
            assert all(path.stat().st_size > 1000 for path in files)
        drawn |= kinds
    assert drawn == set(DRAWINGS)


def test_all_curves_of_a_result_are_drawn_a_panel_for_each_metric():
    result = make_result()
    bits = result.curves[0].model_copy(update={"name": "code", "metric": "bits per label", "unit": "bits"})
    figure = curves_figure(result.model_copy(update={"curves": [*result.curves, bits]}))
    accuracy, code, *hidden = figure.axes
    drawn = [text.get_text() for text in accuracy.get_legend().get_texts()]
    assert drawn == ["probe", "dev", "difference-of-means", "control-labels", "selectivity"]
    assert code.get_ylabel() == "bits per label (bits)"
    assert not hidden


def test_tokens_are_shown_as_their_readers_know_them():
    assert [_piece(text) for text in ("Ġthe", "▁the", "ice", "</s>")] == [" the", " the", "ice", "(end)"]
    assert _piece("ÐºÐ¾") == "ко"  # two Cyrillic letters, byte by byte
    assert _piece("Ð") == "Ð"
