"""How much is read, and for how long is learnt: the recipe that is published, and a small trial of it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Sizes of the training data and steps of the trainings.

    Attributes
    ----------
    seed
        Decides sentences, voices, initial weights, order and augmentation.
    examples, written
        Training sentences from WordNet, and such with a collocation.
    unseen
        Sentences from WordNet that are kept for trying the models, in voices that are kept, too.
    probes
        Carriers of each collocation, kept likewise; every one is read with the word and with the foil.
    transducer_steps
        Of the Fast Conformer under both of its heads.
    text_steps, language_model_steps
        Of the language model on text alone, then on speech.
    """

    seed: int
    examples: int
    written: int
    unseen: int
    probes: int
    transducer_steps: int
    text_steps: int
    language_model_steps: int


RECIPES: Mapping[str, Recipe] = {
    "full": Recipe(2026, 3150, 640, 120, 2, 5000, 600, 5500),
    "trial": Recipe(2026, 350, 64, 50, 1, 600, 100, 600),
}
"""By name. The clips of the trial are among those of the full recipe, so they are rendered once."""
