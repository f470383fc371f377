"""What results and reports must know about each protocol: headline formula, pairing, pictures.

A result states the name of its protocol; `declaration` gives the facts. They are read where no model is
loaded, so nothing here needs torch. Neither the result nor the hash of a task holds them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

from innerear.models.capabilities import Capabilities, Needs
from innerear.tasks.head_measures import ALIGNMENT_HEADS, LISTENING, MITIGATION, REPETITION, HeadMeasure
from innerear.util.errors import InnerearError
from innerear.util.plugins import Extended

if TYPE_CHECKING:
    from innerear.stats.intervals import Scale  # scipy takes half a second

Formula = Literal["mean", "ratio", "auroc", "auroc-gain", "nested-mean", "median"]
"""How a headline follows from the per-item outcomes.

`mean` of `outcome`; `ratio`, the sum of `outcome` over the sum of `weight`; `auroc` of `score`, over pairs of
a positive and a negative item of one fold; `auroc-gain`, the AUROC of `both` minus that of `baselines` over
pairs of one fold and one `condition`; `nested-mean`, the mean of ABX over contexts, speakers and phone
pairs; `median` of `outcome`, over repetitions.
"""
Drawing = Literal[
    "confusions",
    "lens",
    "kinds",
    "heads",
    "calibration",
    "psychometric",
    "faithfulness",
    "remedies",
    "methods",
]
"""Kinds of pictures that `innerear.report` can draw."""


@dataclass(frozen=True)
class Rows:
    """The per-item outcomes that a headline is over, where it is not over all of them.

    Attributes
    ----------
    column
        Only rows with one value of this column count.
    prefix
        The value is the name of the headline without this prefix; None: the value of the first row.
    """

    column: str
    prefix: str | None = None


@dataclass(frozen=True)
class Picture:
    """A picture of one of a result's tables.

    Attributes
    ----------
    table
        Name of the table in the result.
    name
        Name of the picture, also in file names.
    drawing
        How it is drawn.
    caption
        What stands below it.
    """

    table: str
    name: str
    drawing: Drawing
    caption: str


@dataclass(frozen=True)
class Declaration:
    """Facts of one protocol.

    Attributes
    ----------
    formula
        How its headline follows from the per-item outcomes.
    rows
        Which outcomes the headline is over; None: all.
    paired
        How two models are paired: by unit (phone, word, clip), or by speaker where the units are the model's
        own output.
    scale
        Range of an outcome: a share from 0 to 1 (with a ratio, of its weight), a rate from 0 upwards, or a
        difference of either sign (of shares within ± 1; without limit where it is a ratio). It has no
        default: a result with outcomes beyond it does not verify.
    same_rows
        Whether the outcomes of all models have the same rows, but for clips that a model refused.
    own_frames
        Whether a split counts all frames of its clips, of which a model has as many as its frame rate gives.
    given
        Columns of the outcomes, beside `item` and `speaker`, that the task decides and no model.
    unpaired_reason
        Why two models cannot be paired at all; empty where they can.
    timed
        Whether outcomes are timings. They are of a machine, which the run writes into the task, and differ
        from run to run: the task's tolerance is a share of a number then, and holds on the same machine.
    pictures
        Pictures of one result's tables.
    overviews
        Pictures of all results in one leaderboard table, from a table of each.
    heads
        What its results say of single attention heads.
    needs
        What a model must have, as the protocol's readings ask for it; None: it scores no models.
    """

    formula: Formula = "mean"
    rows: Rows | None = None
    paired: Literal["units", "speakers"] = "units"
    scale: "Scale" = field(kw_only=True)
    same_rows: bool = False
    own_frames: bool = False
    given: tuple[str, ...] = ()
    unpaired_reason: str = ""
    timed: bool = False
    pictures: tuple[Picture, ...] = ()
    overviews: tuple[Picture, ...] = ()
    heads: tuple[HeadMeasure, ...] = ()
    needs: tuple[Needs, ...] | None = ("encoder",)

    def lacking(self, model: Capabilities) -> str | None:
        """Why this kind of task does not apply to a model, or None where it does."""
        if not (model.trained or self.timed):
            return f"{model.name} is an architecture with random weights, of which only timings say something"
        return next((reason for each in self.needs or () if (reason := model.lacks(each))), None)

    def allowance(self, tolerance: float, value: float) -> float:
        """How far a number may be from `value` when it is measured again, by the tolerance of its task."""
        return tolerance * abs(value) if self.timed else tolerance


_CONFUSIONS = Picture("confusion_matrix", "confusions", "confusions", "Confusion matrix")
_SELF_HEADS = Picture("head_map_self", "heads-self", "heads", "Every self-attention head")
_HEADS = Picture("head_map", "heads", "heads", "Every cross-attention head")
_PROBING = Declaration(
    scale="share", same_rows=True, given=("fold", "type", "truth"), pictures=(_CONFUSIONS,)
)

DECLARATIONS: dict[str, Declaration] = {
    "abx": Declaration(
        "nested-mean",
        Rows("mode", prefix="error_"),
        scale="share",
        same_rows=True,
        given=("mode", "phone", "other", "x_speaker", "triples", "weight"),
    ),
    "alignment-heads": Declaration(
        scale="rate",
        given=("word", "start", "end"),
        pictures=(_HEADS, _SELF_HEADS),
        heads=ALIGNMENT_HEADS,
        needs=("decoder", "text"),
    ),
    "bias-localisation": Declaration(
        "ratio",
        scale="difference",
        needs=("decoder",),
    ),
    "ctc-probing": Declaration(
        "ratio", scale="rate", same_rows=True, own_frames=True, given=("fold", "truth", "weight")
    ),
    "encoder-lens": Declaration(
        scale="share",
        paired="speakers",
        same_rows=True,
        pictures=(Picture("kinds", "kinds", "kinds", "What the decoder writes from each encoder layer"),),
        needs=("lens", "text"),
    ),
    "erasure": Declaration(
        "ratio",
        Rows("concept", prefix="use_"),
        scale="difference",
        paired="speakers",
        given=("concept", "gender", "accent", "weight"),
        needs=("encoder", "text"),
    ),
    "hallucination-detection": Declaration(
        "auroc-gain",
        scale="difference",
        same_rows=True,
        given=("fold", "type", "condition", "reference", "words"),
        pictures=(Picture("calibration", "calibration", "calibration", "Predicted against observed"),),
        needs=("decoder", "text"),
    ),
    "listening": Declaration(
        scale="difference",
        given=("half",),
        pictures=(
            _HEADS,
            _SELF_HEADS,
            Picture(
                "faithfulness", "faithfulness", "faithfulness", "Probability lost with the first k heads deaf"
            ),
        ),
        heads=LISTENING,
        needs=("decoder",),
    ),
    "logit-lens": Declaration(
        scale="share",
        paired="speakers",
        given=("condition",),
        pictures=(
            Picture("lens_map", "lens", "lens", "What the lens predicts for each token at each layer"),
        ),
        needs=("predictions", "text"),
    ),
    "mitigation": Declaration(
        scale="difference",
        same_rows=True,
        pictures=(
            _SELF_HEADS,
            Picture("points", "remedies", "remedies", "Sounds silenced against WER increase"),
        ),
        heads=MITIGATION,
        needs=("decoder", "text"),
    ),
    "phone-interchange": Declaration(
        scale="share",
        needs=("decoder",),
    ),
    "phone-probing": _PROBING,
    "planted-causes": Declaration(
        scale="share",
        overviews=(Picture("by_recipe", "methods", "methods", "methods by cause"),),
        needs=None,
    ),
    "pooled-probing": _PROBING,
    "repetition": Declaration(
        scale="share",
        pictures=(
            _HEADS,
            _SELF_HEADS,
            Picture("faithfulness", "faithfulness", "faithfulness", "Loops resolved by the first k heads"),
        ),
        heads=REPETITION,
        needs=("decoder",),
    ),
    "semantic-bias": Declaration(
        scale="difference",
        given=("pair", "word", "foil", "voice"),
        pictures=(
            Picture("psychometric", "psychometric", "psychometric", "Choices against acoustic evidence"),
        ),
        needs=("choice", "text"),
    ),
    "sparse-features": Declaration(
        scale="share",
        unpaired_reason="each dictionary has features of its own, which no other dictionary shares",
    ),
    "speech-detection": Declaration(
        "auroc",
        Rows("sounds", prefix="auroc_"),
        scale="share",
        same_rows=True,
        given=("fold", "type", "truth", "kind", "sounds"),
        needs=("decoder", "text"),
    ),
    "speed": Declaration(
        "median",
        Rows("quantity"),
        scale="rate",
        unpaired_reason="timings are of one model on one machine: no repetition of one is that of another",
        timed=True,
    ),
    "transcription": Declaration(
        "ratio",
        scale="rate",
        same_rows=True,
        given=("condition", "noise", "reference", "weight", "words", "characters"),
        needs=("text",),
    ),
    "word-probing": _PROBING,
}
"""Facts of each protocol, by the name that tasks and results give."""


@dataclass(frozen=True)
class TaskKind:
    """A kind of task of another package, registered under the entry point group `innerear.protocols`.

    Attributes
    ----------
    settings
        Its parameters, as a task's YAML states them under `measure`; `protocol` is its name.
    declaration
        What results and reports must know about it.
    protocol
        Where its `innerear.protocols.base.Protocol` is, as `module:Class`: it is imported to measure, and
        reports need no torch.
    """

    settings: type[BaseModel]
    declaration: Declaration
    protocol: str


TASK_KINDS: Mapping[str, TaskKind] = Extended(
    "innerear.protocols", "protocol", {}, lambda loaded: isinstance(loaded, TaskKind)
)
"""Kinds of tasks of other packages."""


def declaration(protocol: str) -> Declaration:
    """The facts of a protocol, by the name that a result states.

    Raises
    ------
    InnerearError
        If this innerear does not know the protocol.
    """
    if protocol in TASK_KINDS:
        return TASK_KINDS[protocol].declaration
    if protocol not in DECLARATIONS:
        raise InnerearError(
            f"unknown protocol {protocol!r}: read this result with the version of innerear that made it, and "
            "with the package of its task installed "
            f"(this one knows {', '.join(DECLARATIONS)})"
        )
    return DECLARATIONS[protocol]
