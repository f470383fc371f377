"""Parameters of each protocol, as a task's YAML states them under `measure`; `protocol` selects the class."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from innerear.tasks.declarations import TASK_KINDS


class Spec(BaseModel):
    """Base of every part of a task: frozen, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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
    """A probe on the encoder frame at the middle of each phone."""

    protocol: Literal["phone-probing"]
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
    """Logit lens: final norm and unembedding at each decoder layer (CTC: the head at each encoder layer).

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
    ablated
        Number of top-ranked heads that are ablated together, where no list of the model's heads is published.
    draws
        Number of random sets of as many heads, ablated for comparison.
    """

    protocol: Literal["alignment-heads"]
    ablated: int = Field(ge=1)
    draws: int = Field(ge=1)
    near: Annotated[float, Field(gt=0)]
    onsets: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)


class Repetition(Spec):
    """Components and heads whose ablation ends a loop (a repetition in the output).

    Attributes
    ----------
    most
        Maximum number of tokens written; a loop shows long before.
    nodes
        Numbers of heads ablated together: the points of the faithfulness curve.
    best
        Number of top-ranked heads that are ablated in pairs.
    dearest
        Largest WER increase allowed on clean speech for the site that is chosen.
    """

    protocol: Literal["repetition"]
    most: int = Field(ge=20)
    nodes: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=2)
    best: int = Field(ge=2)
    dearest: float = Field(gt=0)


class Dictionary(Spec):
    """How a TopK sparse autoencoder is trained.

    Attributes
    ----------
    expansion
        Number of features per dimension of the states.
    k
        Number of features that are active in a frame.
    steps, batch, rate
        Adam steps, frames in each step, and the learning rate.
    dead_after
        Number of steps without activity after which a feature counts as dead.
    revive
        Weight of the auxiliary loss by which dead features learn to reconstruct the residual.
    """

    expansion: int = Field(ge=1)
    k: int = Field(ge=1)
    steps: int = Field(ge=5)
    batch: int = Field(ge=1)
    rate: float = Field(gt=0)
    dead_after: int = Field(ge=1)
    revive: float = Field(ge=0)


class Steering(Spec):
    """Steering: directions are added to the states at the site, on held-out clips.

    Attributes
    ----------
    clips
        Maximum number of held-out clips of non-speech, and of speech.
    features
        Number of features that make up a direction.
    strengths
        Lengths of the step; 1 is the norm of the difference of means.
    most
        Maximum number of tokens written.
    """

    clips: int = Field(ge=2)
    features: int = Field(ge=1)
    strengths: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=4)
    most: int = Field(ge=8)


class SparseFeatures(Spec):
    """Features of a sparse autoencoder on the frames of one encoder layer.

    Attributes
    ----------
    depth
        The layer, as a share of the encoder's depth.
    every
        Every how many frames one is taken.
    clips_per_sound
        Maximum number of clips of each source of non-speech.
    dictionary
        How the autoencoders are trained.
    seeds
        Seeds of the autoencoders, one each; the headline is of the first.
    least
        Minimum number of held-out frames on which a feature must be active to count as live.
    steering
        Settings of the steering arm, for models with a decoder; without them nothing is steered.
    """

    protocol: Literal["sparse-features"]
    depth: float = Field(gt=0, le=1)
    every: int = Field(ge=1)
    clips_per_sound: int = Field(ge=1)
    dictionary: Dictionary
    seeds: tuple[int, ...] = Field(min_length=2)
    least: int = Field(ge=1)
    steering: Steering | None = None


class SemanticBias(Spec):
    """Minimal pairs in carrier sentences that favour one word or the other.

    Attributes
    ----------
    voices
        Number of voices that speak each pair; the voices take turns over the pairs.
    graded
        Number of pairs, spread evenly over all, for which the acoustic evidence of the differing phone is
        graded.
    steps
        Number of steps of the continuum between the two words.
    snr
        Signal-to-noise ratios of the noise on the differing phone, in dB, increasing.
    resamples
        Bootstrap resamples for the interval of a shift; each one fits the curves again.
    """

    protocol: Literal["semantic-bias"]
    voices: int = Field(ge=1)
    graded: int = Field(ge=2)
    steps: int = Field(ge=5)
    snr: tuple[int, ...] = Field(min_length=6)
    resamples: int = Field(ge=100)


class BiasLocalisation(Spec):
    """The states of a word are patched from a neutral carrier sentence, in the encoder and in the decoder.

    Attributes
    ----------
    words
        Number of words, one a pair, spread evenly over all pairs.
    alphas
        Interpolation weights: how far the states of the last encoder layer are moved towards the neutral
        ones.
    """

    protocol: Literal["bias-localisation"]
    words: int = Field(ge=8)
    alphas: tuple[Annotated[float, Field(gt=0, lt=1)], ...]


class PhoneInterchange(Spec):
    """The frames of one phone are patched from the word that differs in this phone.

    Attributes
    ----------
    words
        Number of words, one a pair, spread evenly over all pairs.
    """

    protocol: Literal["phone-interchange"]
    words: int = Field(ge=8)


class Mitigation(Spec):
    """Mitigations of words written on non-speech: heads are ablated, states are steered.

    Attributes
    ----------
    most
        Maximum number of tokens written.
    clips_per_sound
        Maximum number of clips of each source of non-speech.
    depths
        Decoder layers that are steered, as shares of the decoder's depth.
    strengths
        Lengths of a step, in mean norms of the state; for attenuation, the share of the output that is
        removed.
    draws
        Number of random directions, for comparison.
    dearest
        Largest WER increase allowed on clean speech for the mitigation that is chosen.
    """

    protocol: Literal["mitigation"]
    most: int = Field(ge=20)
    clips_per_sound: int = Field(ge=1)
    depths: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(min_length=1)
    strengths: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(min_length=3)
    draws: int = Field(ge=1)
    dearest: float = Field(gt=0)


class PlantedCauses(Spec):
    """Localisation methods on models with planted causes.

    Attributes
    ----------
    plan
        By recipe, the base models in which the cause is planted; the task's seed draws the places.
    clips
        Number of clips of each kind used to plant a cause, and as many others to test it.
    """

    protocol: Literal["planted-causes"]
    plan: dict[str, tuple[str, ...]] = Field(min_length=1)
    clips: int = Field(ge=8)


_BuiltIn = Annotated[
    PhoneProbing
    | PooledProbing
    | WordProbing
    | SpeechDetection
    | HallucinationDetection
    | Transcription
    | Abx
    | LogitLens
    | EncoderLens
    | AlignmentHeads
    | Repetition
    | SparseFeatures
    | SemanticBias
    | BiasLocalisation
    | PhoneInterchange
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
