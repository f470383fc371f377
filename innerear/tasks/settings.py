"""Parameters of each protocol, as a task's YAML states them under `measure`; the protocol's name chooses."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Spec(BaseModel):
    """Base of everything in a task: frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Probe(Spec):
    """Multinomial logistic regression; scikit-learn's C (inverse L2 strength) comes from `grid` by dev."""

    grid: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)


class LogMelFloor(Spec):
    """The log-mel floor: mel bands, and frames of 10 ms of context on each side."""

    bands: int = Field(gt=0)
    context: int = Field(ge=0)


class PhoneProbing(Spec):
    """Encoder frames at the middle of each phone."""

    protocol: Literal["phone-probing"]
    probe: Probe
    log_mel: LogMelFloor


class PooledProbing(Spec):
    """Encoder states averaged over the valid frames of a clip.

    Attributes
    ----------
    label
        Field of an item, or of its `extra`, that holds the class.
    few
        Training speakers at which accuracy is reported, too.
    portions
        Shares of the training speakers at which the online code of the labels is sent (Voita & Titov 2020).
    control_draws
        Draws of random labels per speaker; the control accuracy is their mean.
    pitch
        Whether the F0 floor stands beside log-mel.
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
    """Encoder states averaged over each spoken word, words of a category against others."""

    protocol: Literal["word-probing"]
    probe: Probe
    log_mel_bands: int = Field(gt=0)
    control_draws: int = Field(ge=1)


class SpeechDetection(Spec):
    """Decoder states before the first token, and averaged over the output, of speech and of other sounds.

    Attributes
    ----------
    log_mel_bands
        Of the floor.
    control_draws
        Draws of random labels per speaker (per source of sound); the control accuracy is their mean.
    """

    protocol: Literal["speech-detection"]
    probe: Probe
    log_mel_bands: int = Field(gt=0)
    control_draws: int = Field(ge=1)


class HallucinationDetection(Spec):
    """Decoder states of outputs with words that nobody said, and of others.

    Attributes
    ----------
    extremes
        Clips of each class in arm A at the most: those of the highest WER, and of no error.
    control_draws
        Draws of random labels per speaker; the control accuracy is their mean.
    bins
        Bins of equal mass of the calibration.
    """

    protocol: Literal["hallucination-detection"]
    probe: Probe
    extremes: int = Field(ge=1)
    control_draws: int = Field(ge=1)
    bins: int = Field(ge=2)


class Transcription(Spec):
    """Greedy transcripts; `timed` clips are transcribed once more for RTFx."""

    protocol: Literal["transcription"]
    timed: int = Field(ge=1)


class Abx(Spec):
    """Triphone ABX by layer.

    Attributes
    ----------
    modes
        Within a speaker, across speakers; the first is the headline.
    most, x_speakers
        Tokens of a triphone by one speaker, and speakers of X, at the most.
    """

    protocol: Literal["abx"]
    modes: tuple[Literal["within", "across"], ...] = Field(min_length=1)
    distance: Literal["angular", "cosine"]
    most: int = Field(ge=2)
    x_speakers: int = Field(ge=1)
    log_mel_bands: int = Field(gt=0)


class LogitLens(Spec):
    """Final norm and unembedding at each decoder layer (CTC: the head at each encoder layer).

    Attributes
    ----------
    ridge
        L2 strength of the regression that the tuned lens starts from.
    steps, checks
        Its steps of Adam, and the points on the way at which dev is asked.
    """

    protocol: Literal["logit-lens"]
    ridge: float = Field(gt=0)
    steps: int = Field(ge=1)
    checks: int = Field(ge=1)


class EncoderLens(Spec):
    """Each encoder layer through the decoder; `most` tokens are written at most."""

    protocol: Literal["encoder-lens"]
    most: int = Field(ge=8)


class AlignmentHeads(Spec):
    """Cross-attention heads that follow time.

    Attributes
    ----------
    near
        Seconds: a peak this near to a word is on it; that ranks the heads.
    onsets
        Seconds from the word's onset within which a peak counts, for the other measures.
    ablated
        Heads at the head of the ranking that are taken out together, where no list is published.
    draws
        Draws of as many random heads beside them.
    """

    protocol: Literal["alignment-heads"]
    ablated: int = Field(ge=1)
    draws: int = Field(ge=1)
    near: Annotated[float, Field(gt=0)]
    onsets: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)


class Repetition(Spec):
    """Components and heads whose ablation ends a loop.

    Attributes
    ----------
    most
        Tokens that are written at most: a loop is over long before.
    nodes
        Sizes of the sets of the faithfulness curve.
    best
        Heads of which pairs are tried.
    dearest
        Rise of the word error rate on clean speech up to which a site may be chosen.
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
        Features by dimension of the states.
    k
        Features that may be active at a time.
    steps, batch, rate
        Steps of Adam, frames of each, and the learning rate.
    dead_after
        Steps after which a feature that was never active counts as dead.
    revive
        Weight of the loss by which dead features learn what the others leave.
    """

    expansion: int = Field(ge=1)
    k: int = Field(ge=1)
    steps: int = Field(ge=5)
    batch: int = Field(ge=1)
    rate: float = Field(gt=0)
    dead_after: int = Field(ge=1)
    revive: float = Field(ge=0)


class Steering(Spec):
    """Directions that are added at the site on held-out clips.

    Attributes
    ----------
    clips
        Held-out clips of sounds, and of speech, at the most.
    features
        Features that make up a direction.
    strengths
        Lengths of the step; 1 is the norm of the difference of means.
    most
        Tokens that are written at the most.
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
        Which layer, as a share of the encoder's depth.
    every
        Frames are taken this far apart.
    clips_per_sound
        Clips of each source of sound that is no speech, at the most.
    seeds
        Of the autoencoders; the first one's features are the headline.
    least
        Held-out frames on which a feature must be active to be live.
    steering
        Of models with a decoder; without it nothing is steered.
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
    """Minimal pairs in carriers that favour one word or the other.

    Attributes
    ----------
    voices
        Voices that say each pair, dealt in turn.
    graded
        Pairs, evenly over all, whose phone is graded.
    steps
        Steps of the continuum between the two words.
    snr
        Noise on the differing phone, dB, rising.
    resamples
        Of the interval of a shift: each fits the curves anew.
    """

    protocol: Literal["semantic-bias"]
    voices: int = Field(ge=1)
    graded: int = Field(ge=2)
    steps: int = Field(ge=5)
    snr: tuple[int, ...] = Field(min_length=6)
    resamples: int = Field(ge=100)


class BiasLocalisation(Spec):
    """Encoder and decoder states of a word taken from a neutral carrier.

    Attributes
    ----------
    words
        Words, of as many pairs, evenly over all.
    alphas
        How far states go towards the neutral ones, at the last encoder layer.
    """

    protocol: Literal["bias-localisation"]
    words: int = Field(ge=8)
    alphas: tuple[Annotated[float, Field(gt=0, lt=1)], ...]


class PhoneInterchange(Spec):
    """Frames of one phone taken from the word one phone apart; `words` of as many pairs, evenly over all."""

    protocol: Literal["phone-interchange"]
    words: int = Field(ge=8)


class Mitigation(Spec):
    """Heads masked and states steered against words where nobody speaks.

    Attributes
    ----------
    most
        Tokens that are written at most.
    clips_per_sound
        Clips of each source of sound, at the most.
    depths
        Decoder layers that are steered, as shares of the decoder's depth.
    strengths
        Length of a step, in mean norms of the state; of attenuation the share that is taken away.
    draws
        Random directions.
    dearest
        Rise of the word error rate on clean speech up to which a point may be chosen.
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
        Base models in which each cause is planted, by recipe; the task's seed draws the places.
    clips
        Clips of each kind that a cause is planted with, and as many that it is tried on.
    """

    protocol: Literal["planted-causes"]
    plan: dict[str, tuple[str, ...]] = Field(min_length=1)
    clips: int = Field(ge=8)


Measure = Annotated[
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
"""Any of them; `protocol` says which."""
