"""Charts of one clip as one model hears it, and of one result, for notebooks and pages."""

import json
from collections.abc import Sequence

import numpy as np

from innerear.data.registry import load_corpus
from innerear.look.clip import attention_rows, heard_by, lens_rows, saliency_rows, sweep_rows
from innerear.look.phones import phone_rows
from innerear.models.base import SpeechModel
from innerear.models.decoder import decoder_of
from innerear.protocols.phone_probing import PhoneProbingProtocol
from innerear.report import field_charts
from innerear.report.chart import Chart, Spec, looks_of, number_of
from innerear.report.figures import charts
from innerear.results.schema import Result
from innerear.tasks.task import load_task
from innerear.util.errors import InputError, unknown_name

STEP = 18
"""Height of a token, in pixels."""
NAMED = 0.035
"""Seconds from which on a stretch has the name of its phone written on it."""
SECONDS: Spec = {"type": "quantitative", "scale": {"nice": False}, "axis": {"title": "seconds"}}
"""The axis of time."""


def lens(model: SpeechModel, audio: np.ndarray, name: str = "clip") -> Chart:
    """What each decoder layer would write at each token of the model's own transcript (logit lens).

    Parameters
    ----------
    audio
        float32 at 16 kHz, no longer than the model's window.
    name
        Of the clip, for the axis.

    Raises
    ------
    InputError
        If the model has no decoder, cannot process the clip, or writes nothing.
    """
    rows = lens_rows(model, audio, name)
    drawn = field_charts.lens(rows)
    return Chart(
        f"Lens of {model.identity.name}",
        f"The written tokens, and what each layer would write in their place. {drawn.key}",
        drawn.spec,
        ("token", "layer", "first of the layer", "rank of the written token", "KL, nats"),
        tuple(
            (field_charts.token(row["token"]), str(row["layer"]), field_charts.token(row["top"]),
             f"{row['rank'] + 1:,}", f"{row['kl']:.3g}")
            for row in rows
        ),
    )  # fmt: skip


def attention_map(model: SpeechModel, audio: np.ndarray, heads: Sequence[str] = ()) -> Chart:
    """Where the decoder's heads attend in the audio when each token is predicted.

    Parameters
    ----------
    heads
        Names such as `decoder.3.cross_attn.head.2`; by default those published for alignment, else all that
        hear the audio.

    Raises
    ------
    InputError
        As `lens`, or if a head does not hear the audio.
    """
    chosen = heard_by(model, heads)
    published = "published for alignment" if decoder_of(model).alignment_heads else "that hear the audio"
    which = ", ".join(heads) or f"the {len(chosen)} heads {published}"
    return _over_time(
        f"Attention of {model.identity.name}",
        f"Share of the attention on each stretch of the audio, mean of {which}.",
        attention_rows(model, audio, chosen), "weight", "attention", ".1%", diverging=False,
    )  # fmt: skip


def saliency(model: SpeechModel, audio: np.ndarray) -> Chart:
    """What each written token loses when a stretch of the audio is silenced, and the text before it stays.

    Raises
    ------
    InputError
        As `lens`.
    """
    return _over_time(
        f"What the words of {model.identity.name} rest on",
        "Log-probability that each token loses when a stretch of the audio is silenced and the text before "
        "it stays. Negative: the token becomes more probable.",
        saliency_rows(model, audio), "lost", "lost, nats", ".2f", diverging=True,
    )  # fmt: skip


def phones(model: SpeechModel, audio: np.ndarray) -> Chart:
    """The phone that a linear probe names at each encoder layer, over the whole clip.

    Probes are those of the first fold of `phoneme-probing` on innerear-speech, which the model hears for
    them: a minute or two on a CPU, once, since states are cached.

    Raises
    ------
    InputError
        If the model cannot process the clip in one piece.
    """
    task = load_task("phoneme-probing")
    rows = phone_rows(model, audio, PhoneProbingProtocol(task, load_corpus))
    data = [
        {name: number_of(value) if isinstance(value, float) else value for name, value in row.items()}
        for row in rows
    ]
    held = {row["layer"]: row["held_out"] for row in rows}
    named = field_charts.written("probability", {"field": "phone"}, fontSize=9)
    spec: Spec = {
        "width": "container", "height": {"step": STEP}, "data": {"values": data},
        "encoding": {"y": {"field": "layer", "type": "ordinal", "sort": "descending",
                           "axis": {"title": "encoder layer"}}},
        "layer": [
            {
                "mark": {"type": "rect", "stroke": "#888888", "strokeWidth": 0.3},
                "encoding": {
                    "x": {"field": "start", **SECONDS}, "x2": {"field": "end"},
                    "color": {"field": "probability", "type": "quantitative", "scale": {"domain": [0, 1]},
                              "legend": {"title": "probability", "format": ".0%"}},
                    "tooltip": [
                        {"field": "phone"}, {"field": "site", "title": "layer"},
                        {"field": "probability", "format": ".0%"},
                        {"field": "start", "title": "from, s", "format": ".2f"},
                        {"field": "end", "title": "to, s", "format": ".2f"},
                        {"field": "held_out", "title": "right on held-out speakers", "format": ".1%"},
                    ],
                },
            },
            {
                "transform": [
                    {"filter": f"datum.end - datum.start >= {NAMED}"},
                    {"calculate": "(datum.start + datum.end) / 2", "as": "middle"},
                ],
                "mark": named["mark"], "encoding": {"x": {"field": "middle", **SECONDS}, **named["encoding"]},
            },
        ],
    }  # fmt: skip
    right = ", ".join(f"{accuracy:.0%}" for _, accuracy in sorted(held.items()))
    return Chart(
        f"Phones in the layers of {model.identity.name}",
        f"The phone (ARPAbet) that a linear probe names at each layer, learnt on {task.corpus}, where it is "
        f"right in {right} of the phones of held-out speakers (from the lowest layer). Probes know no "
        "silence: where nobody speaks they name a phone, too.",
        spec,
        ("layer", "seconds", "phone", "probability"),
        tuple(
            (row["site"], f"{row['start']:.2f}–{row['end']:.2f}", row["phone"], f"{row['probability']:.0%}")
            for row in rows
        ),
    )


def sweep(model: SpeechModel, audio: np.ndarray, heads: Sequence[str] = ()) -> Chart:
    """How many words change when each head is ablated, and what is written then.

    Parameters
    ----------
    heads
        Names of heads; by default all of the decoder, or of the encoder where there is no decoder that reads
        the audio.

    Raises
    ------
    InputError
        If the model writes nothing, cannot process the clip, or has no such head.
    """
    rows = sweep_rows(model, audio, heads)
    parts = list(dict.fromkeys(f"{row['stack']}: {row['part']}" for row in rows))
    data = [{**row, "of": f"{row['stack']}: {row['part']}"} for row in rows]
    most = max([1, *(row["changed"] for row in rows)])
    one = field_charts.field(
        [],
        {"field": "head", "type": "ordinal", "axis": {"title": "head", "labelAngle": 0}},
        {"field": "layer", "type": "ordinal", "sort": "descending", "axis": {"title": "layer"}},
        {
            "field": "changed",
            "scale": {"domain": [0, most]},
            "legend": {"title": "words changed", "format": "d", "values": sorted({0, most // 2, most})},
        },
        [
            {"field": "site", "title": "head"},
            {"field": "changed", "title": "words changed"},
            {"field": "text"},
        ],
        30,
        26,
    )
    del one["data"]
    spec: Spec = {
        "data": {"values": data}, "spec": one,
        "facet": {"field": "of", "type": "nominal", "sort": parts, "title": None}, "columns": 2,
        "resolve": {"axis": {"x": "independent", "y": "independent"}},
    }  # fmt: skip
    return Chart(
        f"Heads of {model.identity.name}",
        "Words by which the transcript changes when the output of one head is set to zero.",
        spec,
        ("head", "words changed", "written without it"),
        tuple((row["site"], str(row["changed"]), row["text"]) for row in rows),
    )


def plot(result: Result, beside: Sequence[Result] = (), name: str = "") -> Chart:
    """A chart of a result; by default its first, the layer curve where it has one.

    Parameters
    ----------
    beside
        Results of its random twin and of floors, drawn into the layer curves.
    name
        Of one of the result's charts.

    Raises
    ------
    InputError
        If it has no chart, or none of this name, which then says what it has.
    """
    made = dict(charts(result, beside, looks_of([result.model.name])[result.model.name]))
    if not made:
        raise InputError(f"{result.model.name} on {result.task.id} has no chart")
    if name and name not in made:
        raise InputError(unknown_name("chart", name, list(made)))
    return made[name or next(iter(made))]


def _over_time(
    title: str, caption: str, rows: Sequence[Spec], value: str, label: str, form: str, *, diverging: bool
) -> Chart:
    """Tokens by stretches of the audio, coloured by a value."""
    names = {row["at"]: field_charts.token(row["token"]) for row in rows}
    data = [
        {
            "at": row["at"], "token": names[row["at"]], "start": number_of(row["start"]),
            "end": number_of(row["end"]), value: number_of(row[value]),
        }
        for row in rows
    ]  # fmt: skip
    widest = max(abs(row[value]) for row in rows) or 1.0
    scale: Spec = {"domain": [-widest, widest], "domainMid": 0} if diverging else {"domain": [0, widest]}
    labels = json.dumps(list(names.values()), ensure_ascii=False)
    spec: Spec = {
        "width": "container", "height": {"step": STEP}, "data": {"values": data},
        "mark": "rect",
        "encoding": {
            "x": {"field": "start", **SECONDS}, "x2": {"field": "end"},
            "y": {"field": "at", "type": "ordinal",
                  "axis": {"title": "written", "labelExpr": f"{labels}[datum.value]"}},
            "color": {"field": value, "type": "quantitative", "scale": scale,
                      "legend": {"title": label, "format": form}},
            "tooltip": [
                {"field": "token", "title": "written"},
                {"field": "start", "title": "from, s", "format": ".2f"},
                {"field": "end", "title": "to, s", "format": ".2f"},
                {"field": value, "title": label, "format": form},
            ],
        },
    }  # fmt: skip
    shown = tuple(
        (row["token"], f"{row['start']:.2f}–{row['end']:.2f}", format(row[value], form)) for row in data
    )
    return Chart(title, caption, spec, ("token", "seconds", label), shown)
