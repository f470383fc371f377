"""Parameters of each protocol, as a task's YAML states them under `measure`; `protocol` selects the class."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    Field,
    PlainSerializer,
    SerializationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from innerear.tasks.causal_settings import (
    BiasLocalisation,
    Erasure,
    Listening,
    Mitigation,
    PhoneInterchange,
    PlantedCauses,
    Repetition,
    SemanticBias,
    SparseFeatures,
)
from innerear.tasks.declarations import TASK_KINDS
from innerear.tasks.spec import Spec


class Probe(Spec):
    """Multinomial logistic regression.

    Attributes
    ----------
    grid
        Values of scikit-learn's C (inverse L2 strength) to try; the dev set chooses among them.
    """

    grid: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)


class LogMelFloor(Spec):
    """The log-mel floor.

    Attributes
    ----------
    bands
        Number of mel bands.
    context
        Frames of 10 ms that are stacked on each side of the middle frame.
    """

    bands: int = Field(gt=0)
    context: int = Field(ge=0)


class PhoneProbing(Spec):
    """A probe on the encoder frame at the middle of each phone.

    Attributes
    ----------
    most_phones
        Maximum number of phones of a corpus, drawn by `innerear.protocols.phone_probing.drawn`; None: all.
    """

    protocol: Literal["phone-probing"]
    probe: Probe
    log_mel: LogMelFloor
    most_phones: int | None = Field(default=None, ge=1, exclude_if=lambda most: most is None)


class CtcProbing(Spec):
    """A linear CTC probe that writes the phones of a whole clip from all its frames."""

    protocol: Literal["ctc-probing"]
    probe: Probe
    log_mel: LogMelFloor


class PooledProbing(Spec):
    """A probe on encoder states averaged over the valid frames of a clip.

    Attributes
    ----------
    label
        Field of an item, or of its `extra`, that holds the class.
    log_mel_bands
        Mel bands of the log-mel floor.
    few
        Small numbers of training speakers for which accuracy is reported as well.
    portions
        Shares of the training speakers after which the probe is refitted for the online code length of the
        labels (Voita & Titov 2020).
    control_draws
        How often control labels are drawn at random per speaker; the control accuracy is the mean.
    pitch
        Whether to measure a floor on pitch (F0), too.
    """

    protocol: Literal["pooled-probing"]
    label: str
    probe: Probe
    log_mel_bands: int = Field(gt=0)
    few: tuple[int, ...]
    portions: tuple[float, ...]
    control_draws: int = Field(ge=1)
    pitch: bool = False


class WordProbing(Spec):
    """A probe on encoder states averaged over each spoken word: words of a category against others.

    Attributes
    ----------
    log_mel_bands
        Mel bands of the log-mel floor.
    control_draws
        How often control labels are drawn at random; the control accuracy is the mean.
    """

    protocol: Literal["word-probing"]
    probe: Probe
    log_mel_bands: int = Field(gt=0)
    control_draws: int = Field(ge=1)


class SpeechDetection(Spec):
    """A probe for speech against non-speech, on decoder states before the first token and over the output.

    Attributes
    ----------
    log_mel_bands
        Mel bands of the log-mel floor.
    control_draws
        How often control labels are drawn at random per speaker or sound source; the control accuracy is the
        mean.
    """

    protocol: Literal["speech-detection"]
    probe: Probe
    log_mel_bands: int = Field(gt=0)
    control_draws: int = Field(ge=1)


class HallucinationDetection(Spec):
    """A probe on decoder states: outputs with words that nobody said, against other outputs.

    Attributes
    ----------
    extremes
        Maximum number of clips of each class in arm A, which sets the clips of highest WER against clips
        without an error.
    control_draws
        How often control labels are drawn at random per speaker; the control accuracy is the mean.
    bins
        Number of bins of the calibration curve, with equally many clips in each.
    """

    protocol: Literal["hallucination-detection"]
    probe: Probe
    extremes: int = Field(ge=1)
    control_draws: int = Field(ge=1)
    bins: int = Field(ge=2)


class Transcription(Spec):
    """Greedy transcripts and their word error rate.

    Attributes
    ----------
    timed
        Number of clips that are transcribed once more to measure the speed (RTFx).
    """

    protocol: Literal["transcription"]
    timed: int = Field(ge=1)


class Speed(Spec):
    """Timings of hearing, writing, capturing, sweeping and probing.

    Attributes
    ----------
    repetitions, warm_up
        How often everything is timed, and how often before that without a clock.
    timed
        Number of clips that are heard and written.
    batches
        Numbers of clips at once to try, from the smallest on, for as long as a clip gets faster.
    tokens
        Maximum number of tokens of a sweep.
    """

    protocol: Literal["speed"]
    repetitions: int = Field(ge=1)
    warm_up: int = Field(ge=1)
    timed: int = Field(ge=1)
    batches: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    tokens: int = Field(ge=1)
    probe: Probe


class Abx(Spec):
    """Triphone ABX by layer.

    Attributes
    ----------
    modes
        `within`: A, B and X are from one speaker; `across`: X is from another. The first one is the headline.
    distance
        Distance between two frames.
    most
        Maximum number of tokens of a triphone by one speaker.
    x_speakers
        Maximum number of speakers that X is taken from.
    log_mel_bands
        Mel bands of the log-mel floor.
    """

    protocol: Literal["abx"]
    modes: tuple[Literal["within", "across"], ...] = Field(min_length=1)
    distance: Literal["angular", "cosine"]
    most: int = Field(ge=2)
    x_speakers: int = Field(ge=1)
    log_mel_bands: int = Field(gt=0)


class LogitLens(Spec):
    """Logit lens: final norm and unembedding at each decoder layer.

    Models that emit along the audio are read at each encoder layer.

    Attributes
    ----------
    ridge
        L2 strength of the ridge regression that initialises the tuned lens.
    steps
        Adam steps of the tuned lens.
    checks
        How often during training the lens is evaluated on dev, which chooses among these states.
    """

    protocol: Literal["logit-lens"]
    ridge: float = Field(gt=0)
    steps: int = Field(ge=1)
    checks: int = Field(ge=1)


class EncoderLens(Spec):
    """Each encoder layer is decoded by the model's own decoder.

    Attributes
    ----------
    most
        Maximum number of tokens written.
    """

    protocol: Literal["encoder-lens"]
    most: int = Field(ge=8)


class AlignmentHeads(Spec):
    """Cross-attention heads whose attention follows the audio in time.

    Attributes
    ----------
    near
        Tolerance in seconds: an attention peak counts as on the word if it is this near to it. Heads are
        ranked by the share of such peaks.
    onsets
        Tolerances in seconds for the other measures: how far a peak may be from the word's onset.
    averaged
        Maximum number of heads that time a word together.
    halvings
        Number of times that the speakers are halved; the headline is the mean over them.
    ablated
        Number of top-ranked heads that are ablated together, where no list of the model's heads is published.
    draws
        Number of random sets of as many heads, ablated for comparison.
    """

    protocol: Literal["alignment-heads"]
    averaged: int = Field(ge=1)
    halvings: int = Field(ge=1)
    ablated: int = Field(ge=1)
    draws: int = Field(ge=1)
    near: Annotated[float, Field(gt=0)]
    onsets: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)


_BuiltIn = Annotated[
    PhoneProbing
    | PooledProbing
    | WordProbing
    | SpeechDetection
    | HallucinationDetection
    | Transcription
    | Speed
    | Abx
    | CtcProbing
    | LogitLens
    | EncoderLens
    | AlignmentHeads
    | Repetition
    | SparseFeatures
    | SemanticBias
    | BiasLocalisation
    | PhoneInterchange
    | Erasure
    | Listening
    | Mitigation
    | PlantedCauses,
    Field(discriminator="protocol"),
]


def _of_kind(value: Any, built_in: ValidatorFunctionWrapHandler) -> Any:
    """Settings of the kind that `protocol` names."""
    name = str(value.get("protocol") if isinstance(value, dict) else getattr(value, "protocol", ""))
    return TASK_KINDS[name].settings.model_validate(value) if name in TASK_KINDS else built_in(value)


def _dumped(value: BaseModel, info: SerializationInfo) -> dict[str, Any]:
    return value.model_dump(mode=info.mode)


Measure = Annotated[_BuiltIn, WrapValidator(_of_kind), PlainSerializer(_dumped)]
"""The settings of any protocol, those of other packages included; `protocol` selects the class."""
