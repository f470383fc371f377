"""Parameters of the protocols that intervene in a model, or look for what causes its output."""

from typing import Annotated, Literal

from pydantic import Field

from innerear.data.noise import NoiseRule
from innerear.tasks.spec import Spec


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
    """The states of a word are patched from another carrier sentence, in the encoder and in the decoder.

    Attributes
    ----------
    words
        Maximum number of words for which every component and control is patched as well, spread evenly over
        the words that count.
    alphas
        Interpolation weights: how far the states of the last encoder layer are moved towards those of the
        word's own carrier.
    """

    protocol: Literal["bias-localisation"]
    words: int = Field(ge=8)
    alphas: tuple[Annotated[float, Field(gt=0, lt=1)], ...]


class PhoneInterchange(Spec):
    """The frames of one phone are patched from the word that differs in this phone.

    Attributes
    ----------
    words
        Number of words, one a pair, spread evenly over the voices.
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


class Listening(Spec):
    """Heads that carry the audio: they write what they would write for silence.

    Attributes
    ----------
    most
        Maximum number of tokens of an output that is judged.
    best
        Share of the heads that count as the best listeners.
    nodes
        Numbers of heads that are deaf together: the points of the curve of ranked and of random heads.
    draws
        Number of random orders of the other heads, for comparison.
    """

    protocol: Literal["listening"]
    most: int = Field(ge=8)
    best: float = Field(gt=0, le=0.5)
    nodes: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=2)
    draws: int = Field(ge=1)


class Erasure(Spec):
    """Concepts are taken away from the states of each encoder layer.

    Attributes
    ----------
    noise
        Ratios and kinds of the noise that is one of the concepts: all speech is there with it, too.
    clips_per_sound
        Maximum number of clips of each source of non-speech.
    tested
        Maximum number of clips of each speaker that are transcribed after each erasure, and once more in
        noise.
    c
        Inverse L2 strength of the probes, as scikit-learn's C.
    longer
        Maximum number of tokens written beyond those of the ordinary transcript.
    """

    protocol: Literal["erasure"]
    noise: NoiseRule
    clips_per_sound: int = Field(ge=1)
    tested: int = Field(ge=1)
    c: float = Field(gt=0)
    longer: int = Field(ge=1)


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
