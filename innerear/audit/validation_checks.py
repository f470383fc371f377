"""Checks of references: each measures a quantity live if that is cheap, else reads a published result."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from innerear.audit.validation_references import Outcome, Reference
from innerear.data.audio import decode
from innerear.data.human import RECIPES, local_folder, parse_timit_labels
from innerear.data.language import ENGLISH
from innerear.data.registry import corpus_names, load_corpus
from innerear.data.text import edits
from innerear.interventions.run import encode, generate
from innerear.interventions.spec import Intervention
from innerear.models.base import SpeechModel
from innerear.models.decoder import DecoderModel, decoder_of
from innerear.models.floors import LogMel, LogMelSpec
from innerear.models.loading import load_model
from innerear.models.registry import load_spec, model_names
from innerear.results.schema import Result
from innerear.results.store import Store
from innerear.util.errors import InnerearError

CLIPS = 8
"""Smallest number of clips, evenly spaced over a corpus, that a live check transcribes."""
PATCHING_STRIDE = 59
"""Patching takes every 59th clip: five pairs of innerear-speech, the selection of the published report."""


class Measured(NamedTuple):
    """A measured value; `low` and `high` are its interval if known, `n` is its sample size."""

    value: float | list[tuple[int, int]]
    low: float | None = None
    high: float | None = None
    n: int | None = None


class Unavailable(Exception):
    """A check cannot be made here; the outcome says what is missing, the note how to get it."""

    def __init__(self, outcome: Outcome, note: str) -> None:
        super().__init__(note)
        self.outcome = outcome


@dataclass
class Context:
    """Sources for checks: published results, human corpora, recordings, and models (each loaded once)."""

    store: Store
    data_dir: Path | None = None
    load: Callable[[str], SpeechModel] = load_model
    _models: dict[str, SpeechModel] = field(default_factory=dict)
    _results: list[Result] | None = None

    def model(self, name: str) -> DecoderModel:
        """A model with a decoder; raises `Unavailable` if its weights cannot be fetched."""
        if name not in self._models:
            try:
                self._models[name] = self.load(name)
            except InnerearError as error:
                raise Unavailable("needs a hub", str(error)) from error
        return decoder_of(self._models[name])

    def result(self, reference: Reference, model: str = "") -> Result:
        """The published result that a reference is about; of several, that of the most clips."""
        if self._results is None:
            self._results = self.store.load_all()
        name, corpus = model or reference.model, reference.corpus
        found = [
            result
            for result in self._results
            if (result.task.id, result.model.name) == (reference.task, name)
            and (corpus in ("any", result.corpus.name) and not result.train_corpus)
            and result.score
        ]
        if found:
            return max(found, key=lambda result: result.corpus.items)
        hubs = {entry.name for entry in corpus_names() if entry.kind == "hub"}
        hub_only = name in model_names() and all(source.kind == "hub" for source in load_spec(name).sources)
        outcome: Outcome = "needs a hub" if corpus in hubs or hub_only else "needs a result"
        raise Unavailable(outcome, f"innerear run --models {name} --tasks {reference.task}" + (
            "" if corpus == "any" else f" --corpus {corpus}"
        ))  # fmt: skip

    def recording(self, name: str) -> np.ndarray:
        """A recording from the data folder."""
        path = (self.data_dir or Path()) / name
        if self.data_dir is None or not path.is_file():
            raise Unavailable("needs a file", f"put {name} into --data-dir")
        return decode(path.read_bytes(), name)


def listed_heads(reference: Reference, context: Context) -> Measured:
    """The heads that the generation configuration names."""
    heads = sorted(context.model(reference.model).alignment_heads)
    return Measured(heads, n=len(heads))


def parameters(reference: Reference, context: Context) -> Measured:
    """Parameters in millions."""
    return Measured(context.model(reference.model).identity.parameters / 1e6)


def mel_filters(reference: Reference, context: Context) -> Measured:
    """Largest difference between the front end's mel filters and librosa's."""
    import librosa
    from transformers import WhisperFeatureExtractor

    context.model(reference.model)
    own = WhisperFeatureExtractor(feature_size=80).mel_filters.T
    other = librosa.filters.mel(sr=16000, n_fft=400, n_mels=80)
    return Measured(float(np.abs(own - other).max()), n=own.size)


def whole_state_patch(reference: Reference, context: Context) -> Measured:
    """Share of outputs equal to the donor's when the whole state of one layer is patched from the donor.

    The share is over encoder layers and pairs of clips, cut to a common length. Pairs whose two outputs are
    the same anyway are skipped, as they show nothing. Parallel worlds (rows of one batch, each with its own
    interventions) run both clips and every patched layer at once.
    """
    model, matches = context.model(reference.model), []
    clips = [item.audio() for item in load_corpus("innerear-speech").items[::PATCHING_STRIDE]]
    for one, other in zip(clips[0::2], clips[1::2], strict=False):
        length = min(len(one), len(other))
        pair = [one[:length], other[:length]]
        worlds = [(), ()] + [(Intervention(site=site, kind="patch", row=1),) for site in model.encoder_sites]
        audio = [pair[0], pair[1], *[pair[0]] * len(model.encoder_sites)]
        encoded = encode(model, audio, worlds)
        recipient, donor, *patched = [
            transcript.tokens for transcript in generate(model, encoded, [()] * len(worlds))
        ]
        if recipient != donor:
            matches += [tokens == donor for tokens in patched]
    if not matches:
        raise InnerearError(
            f"{reference.model}: gives the same output for every clip, so patching cannot be checked"
        )
    return Measured(float(np.mean(matches)), n=len(matches))


def recording(reference: Reference, context: Context) -> Measured:
    """Number of word errors in a recording whose text is known."""
    audio = context.recording(reference.file)
    counts = edits(reference.text, context.model(reference.model).transcribe([audio])[0].text, ENGLISH)
    return Measured(float(counts.errors), n=counts.reference)


def word_time(reference: Reference, context: Context) -> Measured:
    """Mean time in seconds that the listed heads attend to when predicting the tokens of a word."""
    audio, model = context.recording(reference.file), context.model(reference.model)
    transcript = model.transcribe([audio])[0]
    tokens = list(transcript.tokens)
    word = model.tokenize(reference.text)
    at = next((i for i in range(len(tokens)) if tokens[i : i + len(word)] == word), None)
    if at is None:
        raise InnerearError(f"{reference.model} does not write {reference.text!r}: {transcript.text!r}")
    _, cross = model.attention(model.encode([audio]), tokens)
    first = model.prefix_length - 1 + at
    layers, heads = np.array(sorted(model.alignment_heads)).T
    times = model.heard_times(len(audio))
    attention = cross[layers, heads, first : first + len(word), : len(times)].mean(dim=(0, 1)).numpy()
    return Measured(float((times * attention).sum() / attention.sum()), n=len(word))


def shipped_texts(reference: Reference, context: Context) -> Measured:
    """Share of clips whose transcript, without noise, equals the one in the published result."""
    result = context.result(reference)
    items = context.store.read_items(result)
    clean = items[items["condition"] == items["condition"].iloc[0]]
    texts = dict(zip(clean["item"], clean["written"], strict=True))
    clips = [item for item in load_corpus(reference.corpus) if item.id in texts]
    if not clips:
        raise InnerearError(f"{reference.corpus} has none of the clips of the published result")
    clips = clips[:: max(1, len(clips) // CLIPS)]
    model = context.model(reference.model)
    same = [model.transcribe([item.audio()])[0].text == texts[item.id] for item in clips]
    return Measured(float(np.mean(same)), n=len(same))


def score(reference: Reference, context: Context) -> Measured:
    """A score of a published result."""
    result = context.result(reference)
    if reference.score not in result.scores:
        raise InnerearError(f"{result.task.id} of {result.model.name} has no score {reference.score!r}")
    published = result.scores[reference.score]
    return Measured(published.value, published.low, published.high, published.n)


def worst_layer(reference: Reference, context: Context) -> Measured:
    """The lowest point of a published layer curve."""
    curve = context.result(reference).main
    if curve is None:
        raise InnerearError(f"{reference.task} of {reference.model} has no layer curve")
    point = min(curve.points, key=lambda point: point.value)
    return Measured(point.value, point.low, point.high, curve.n)


def twin_below_floor(reference: Reference, context: Context) -> Measured:
    """Score of the random twin's best layer minus that of log-mel."""
    twin = context.result(reference, f"{reference.model}-random").main
    floor = context.result(reference, "log-mel").score
    if twin is None or floor is None:
        raise InnerearError(f"{reference.task}: the twin has no curve or the floor no score")
    return Measured(max(point.value for point in twin.points) - floor.value, n=floor.n)


_LEE_HON = {
    "ao": "aa", "ax": "ah", "ax-h": "ah", "axr": "er", "hv": "hh", "ix": "ih", "ux": "uw", "el": "l",
    "em": "m", "en": "n", "nx": "n", "eng": "ng", "zh": "sh",
    **dict.fromkeys(["pcl", "tcl", "kcl", "bcl", "dcl", "gcl", "h#", "pau", "epi"], "sil"),
}  # fmt: skip
"""TIMIT's labels mapped to the 39 classes of Lee & Hon (1989), table 3; glottal stops are left out."""


def lee_hon_log_mel(reference: Reference, context: Context) -> Measured:
    """Phone accuracy from the middle log-mel frame of each segment and five on each side, in four folds.

    Sentences that all speakers read are left out, so that no sentence occurs twice; folds are of whole
    speakers.
    """
    recipe = RECIPES["timit-sample"]
    folder = local_folder(recipe, context.data_dir)
    if folder is None:
        raise Unavailable("needs a corpus", "give the folder of timit-sample by --data-dir or INNEREAR_DATA")
    floor, values, labels, speakers = LogMel(LogMelSpec(bands=40, context=5)), [], [], []
    for path in sorted(folder.rglob("s[ix]*.phn")):
        audio = decode(path.with_suffix(".wav").read_bytes(), path.name)
        frames = floor.frames(audio)
        for start, end, label in parse_timit_labels(path.read_text(), path.name):
            if label != "q":
                at = min(round((start + end) / 2 * 100), len(frames) - 1)
                values.append(frames[at])
                labels.append(_LEE_HON.get(label, label))
                speakers.append(path.parent.name)
    if not values:
        raise Unavailable("needs a corpus", f"{folder} has no phone labels")
    states, names, who = np.stack(values), np.array(labels), np.array(speakers)
    right = np.zeros(len(names), dtype=bool)
    for fold in range(4):
        test = np.isin(who, np.unique(who)[fold::4])
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, tol=1e-2, max_iter=1000))
        right[test] = probe.fit(states[~test], names[~test]).predict(states[test]) == names[test]
    means = [right[who == each].mean() for each in np.unique(who)]
    error = 2.13 * float(np.std(means, ddof=1)) / len(means) ** 0.5  # t of 15 degrees of freedom
    return Measured(float(right.mean()), float(right.mean()) - error, float(right.mean()) + error, len(right))


CHECKS: dict[str, Callable[[Reference, Context], Measured]] = {
    "listed-heads": listed_heads,
    "parameters": parameters,
    "mel-filters": mel_filters,
    "whole-state-patch": whole_state_patch,
    "recording": recording,
    "word-time": word_time,
    "shipped-texts": shipped_texts,
    "score": score,
    "worst-layer": worst_layer,
    "twin-below-floor": twin_below_floor,
    "lee-hon-log-mel": lee_hon_log_mel,
}
