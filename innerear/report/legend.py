"""How tables of the leaderboard are read, in words."""

LEGEND = (
    "Fractions are in per cent; brackets hold the interval (over speakers, see docs/statistics.md). Ranks: "
    "the possible ranks of a model, from paired permutation tests over speakers between all pairs of "
    "models, with Holm's correction over the table. Tied: models that share a letter do not differ "
    "significantly. Only merits have ranks: headlines that one may choose a model by, and whose audit "
    "passed; profiles describe models. Tables that rank without an audit say why. Lead: paired difference "
    "to the next model on the same items. Layer: the layer chosen on dev / the last layer (and its relative "
    "depth); with folds the headline pools them, each at the layer that its own dev speakers choose, so it "
    "need not be the accuracy of the layer named. Selectivity: accuracy minus that on control labels. "
    "Emergence: first depth within 95% of the peak of the curve on dev. 2nd head: Kendall's τ between the "
    "rankings of layers by two probe heads. ! after a name: the model was trained on this corpus; ? after a"
    " name: unknown, as its training data are undisclosed. Organism: a small model that was trained to be "
    "opened; all clips of its own training are known, while parts that it took over from another model may "
    "have heard what nobody disclosed, as the encoder of organism-audio-lm, which is Whisper's "
    "(docs/model-organisms.md). Architecture only: random weights in a network of that size, which are "
    "timed and nothing else. RTFx: seconds of audio per second of transcription (front end, model, "
    "decoding) on the machine of the run, if the task measures it. n: number of scored units."
)
"""How to read the columns."""
NO_WIDTH = (
    "An interval without width: no speaker (or source of sound) moves the number when it is left out, most "
    "often as all items come out alike, so the data show no spread. Other speakers may have some."
)
"""What an interval whose bounds are equal means."""
