"""The checks: each finds here what a reference says, live where that is cheap, else in published results."""

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
from innerear.data.registry import corpus_names, load_corpus
from innerear.data.text import edits
from innerear.interventions.run import encode, generate
from innerear.interventions.spec import Intervention
from innerear.models.base import SpeechModel
from innerear.models.encoder_decoder import EncoderDecoder
from innerear.models.floors import LogMel, LogMelSpec
from innerear.models.loading import load_model
from innerear.models.registry import load_spec, model_names
from innerear.results.schema import Result
from innerear.results.store import Store
from innerear.util.errors import InnerearError

CLIPS = 8
"""Clips of a live check, or pairs of them."""


class Found(NamedTuple):
    """What was found; `low` and `high` bound it where that is known."""

    value: float | list[tuple[int, int]]
    low: float | None = None
    high: float | None = None
    n: int | None = None


class Needs(Exception):
    """A check cannot be made here: what is missing, and a line on it."""

    def __init__(self, what: Outcome, note: str) -> None:
        super().__init__(note)
        self.what = what


@dataclass
class Context:
    """Where checks look: published results, human corpora, recordings, and models (each loaded once)."""

    store: Store
    data_dir: Path | None = None
    load: Callable[[str], SpeechModel] = load_model
    _models: dict[str, SpeechModel] = field(default_factory=dict)
    _results: list[Result] | None = None

    def model(self, name: str) -> EncoderDecoder:
        """A model that writes by a decoder; `Needs` where its weights cannot be had."""
        if name not in self._models:
            try:
                self._models[name] = self.load(name)
            except InnerearError as error:
                raise Needs("needs a hub", str(error)) from error
        model = self._models[name]
        assert isinstance(model, EncoderDecoder)
        return model

    def result(self, reference: Reference, model: str = "") -> Result:
        """The published result that a reference is about."""
        if self._results is None:
            self._results = self.store.load_all()
        name, corpus = model or reference.model, reference.corpus
        for result in self._results:
            heard = corpus in ("any", result.corpus.name) and not result.train_corpus
            if (result.task.id, result.model.name) == (reference.task, name) and heard and result.score:
                return result
        hubs = {entry.name for entry in corpus_names() if entry.kind == "hub"}
        hub_only = name in model_names() and all(source.kind == "hub" for source in load_spec(name).sources)
        what: Outcome = "needs a hub" if corpus in hubs or hub_only else "needs a result"
        raise Needs(what, f"innerear run --models {name} --tasks {reference.task}" + (
            "" if corpus == "any" else f" --corpus {corpus}"
        ))  # fmt: skip

    def recording(self, name: str) -> np.ndarray:
        """A recording from the data folder."""
        path = (self.data_dir or Path()) / name
        if self.data_dir is None or not path.is_file():
            raise Needs("needs a file", f"put {name} into --data-dir")
        return decode(path.read_bytes(), name)


def listed_heads(reference: Reference, context: Context) -> Found:
    """The heads that the generation configuration names."""
    heads = sorted(context.model(reference.model).alignment_heads)
    return Found(heads, n=len(heads))


def parameters(reference: Reference, context: Context) -> Found:
    """Parameters in millions."""
    return Found(context.model(reference.model).identity.parameters / 1e6)


def mel_filters(reference: Reference, context: Context) -> Found:
    """Largest difference between the front end's filters and librosa's."""
    import librosa
    from transformers import WhisperFeatureExtractor

    context.model(reference.model)
    own = WhisperFeatureExtractor(feature_size=80).mel_filters.T
    other = librosa.filters.mel(sr=16000, n_fft=400, n_mels=80)
    return Found(float(np.abs(own - other).max()), n=own.size)


def whole_state_patch(reference: Reference, context: Context) -> Found:
    """Share of outputs that become the donor's when the whole state of one layer does, over layers and pairs.

    Clips of a pair are cut to one length. A pair of which both outputs are the same proves nothing and is
    refused.
    """
    model, right = context.model(reference.model), []
    clips = [item.audio() for item in load_corpus("innerear-speech").items[:: 954 // (2 * CLIPS)]]
    for one, other in zip(clips[0::2], clips[1::2], strict=False):
        length = min(len(one), len(other))
        pair = [one[:length], other[:length]]
        worlds = [(), ()] + [(Intervention(site=site, kind="patch", row=1),) for site in model.encoder_sites]
        audio = [pair[0], pair[1], *[pair[0]] * len(model.encoder_sites)]
        encoded = encode(model, audio, worlds)
        bare, donor, *patched = [made.tokens for made in generate(model, encoded, [()] * len(worlds))]
        if bare != donor:
            right += [made == donor for made in patched]
    if not right:
        raise InnerearError(f"{reference.model}: writes the same of every clip, so no patch could be seen")
    return Found(float(np.mean(right)), n=len(right))


def recording(reference: Reference, context: Context) -> Found:
    """Word errors in a recording whose text is known."""
    said = context.recording(reference.file)
    found = edits(reference.text, context.model(reference.model).transcribe([said])[0].text)
    return Found(float(found.errors), n=found.reference)


def word_time(reference: Reference, context: Context) -> Found:
    """Where the listed heads look, on average, when they predict the tokens of a word, in seconds."""
    said, model = context.recording(reference.file), context.model(reference.model)
    written = model.transcribe([said])[0]
    tokens = list(written.tokens)
    wanted = model.tokenize(reference.text)
    at = next((i for i in range(len(tokens)) if tokens[i : i + len(wanted)] == wanted), None)
    if at is None:
        raise InnerearError(f"{reference.model} does not write {reference.text!r}: {written.text!r}")
    _, cross = model.attention(model.encode([said]), tokens)
    first = model.prefix_length - 1 + at
    layers, heads = np.array(sorted(model.alignment_heads)).T
    valid = model.clock.count(len(said))
    looks = cross[layers, heads, first : first + len(wanted), :valid].mean(dim=(0, 1)).numpy()
    times = model.clock.times(len(said))
    return Found(float((times * looks).sum() / looks.sum()), n=len(wanted))


def shipped_texts(reference: Reference, context: Context) -> Found:
    """Share of shipped clips of which the model writes, bare and now, what the published result says."""
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
    return Found(float(np.mean(same)), n=len(same))


def score(reference: Reference, context: Context) -> Found:
    """A score of a published result."""
    result = context.result(reference)
    if reference.score not in result.scores:
        raise InnerearError(f"{result.task.id} of {result.model.name} has no score {reference.score!r}")
    found = result.scores[reference.score]
    return Found(found.value, found.low, found.high, found.n)


def worst_layer(reference: Reference, context: Context) -> Found:
    """The lowest point of a published layer curve."""
    curve = context.result(reference).main
    if curve is None:
        raise InnerearError(f"{reference.task} of {reference.model} has no layer curve")
    point = min(curve.points, key=lambda point: point.value)
    return Found(point.value, point.low, point.high, curve.n)


def twin_below_floor(reference: Reference, context: Context) -> Found:
    """Best layer of the random twin minus log-mel."""
    twin = context.result(reference, f"{reference.model}-random").main
    floor = context.result(reference, "log-mel").score
    if twin is None or floor is None:
        raise InnerearError(f"{reference.task}: twin or floor has no curve")
    return Found(max(point.value for point in twin.points) - floor.value, n=floor.n)


_LEE_HON = {
    "ao": "aa", "ax": "ah", "ax-h": "ah", "axr": "er", "hv": "hh", "ix": "ih", "ux": "uw", "el": "l",
    "em": "m", "en": "n", "nx": "n", "eng": "ng", "zh": "sh",
    **dict.fromkeys(["pcl", "tcl", "kcl", "bcl", "dcl", "gcl", "h#", "pau", "epi"], "sil"),
}  # fmt: skip
"""TIMIT's labels in the 39 classes of Lee & Hon (1989), table 3; the glottal stop is left out."""


def lee_hon_log_mel(reference: Reference, context: Context) -> Found:
    """Phones from the middle log-mel frame of each segment and five on each side, four folds by speaker.

    Sentences that all speakers read are left out; folds are of whole speakers, and no sentence is read twice.
    """
    recipe = RECIPES["timit-sample"]
    folder = local_folder(recipe, context.data_dir)
    if folder is None:
        raise Needs("needs a corpus", "timit-sample by --data-dir or INNEREAR_DATA")
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
        raise Needs("needs a corpus", f"{folder} has no phone labels")
    states, names, who = np.stack(values), np.array(labels), np.array(speakers)
    right = np.zeros(len(names), dtype=bool)
    for fold in range(4):
        test = np.isin(who, np.unique(who)[fold::4])
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, tol=1e-2, max_iter=1000))
        right[test] = probe.fit(states[~test], names[~test]).predict(states[test]) == names[test]
    means = [right[who == each].mean() for each in np.unique(who)]
    error = 2.13 * float(np.std(means, ddof=1)) / len(means) ** 0.5  # t of 15 degrees of freedom
    return Found(float(right.mean()), float(right.mean()) - error, float(right.mean()) + error, len(right))


CHECKS: dict[str, Callable[[Reference, Context], Found]] = {
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
