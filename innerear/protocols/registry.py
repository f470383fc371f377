"""Protocols by the name that a task gives under `measure`."""

from collections.abc import Callable, Mapping
from functools import cache
from pkgutil import resolve_name

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.data.schema import Corpus
from innerear.data.splits import TooFewUnits
from innerear.protocols.abx import AbxProtocol
from innerear.protocols.alignment_heads import AlignmentHeadsProtocol
from innerear.protocols.base import Measurement, NotApplicable, Protocol, corpus_names
from innerear.protocols.bias_localisation import BiasLocalisationProtocol
from innerear.protocols.ctc_probing import CtcProbingProtocol
from innerear.protocols.encoder_lens import EncoderLensProtocol
from innerear.protocols.erasure import ErasureProtocol
from innerear.protocols.hallucination_detection import HallucinationDetectionProtocol
from innerear.protocols.listening import ListeningProtocol
from innerear.protocols.logit_lens import LogitLensProtocol
from innerear.protocols.mitigation import MitigationProtocol
from innerear.protocols.phone_interchange import PhoneInterchangeProtocol
from innerear.protocols.phone_probing import PhoneProbingProtocol
from innerear.protocols.planted_causes import PlantedCausesProtocol
from innerear.protocols.pooled_probing import PooledProbingProtocol
from innerear.protocols.repetition import RepetitionProtocol
from innerear.protocols.semantic_bias import SemanticBiasProtocol
from innerear.protocols.sparse_features import SparseFeaturesProtocol
from innerear.protocols.speech_detection import SpeechDetectionProtocol
from innerear.protocols.speed import SpeedProtocol
from innerear.protocols.transcription import TranscriptionProtocol
from innerear.protocols.word_probing import WordProbingProtocol
from innerear.tasks.declarations import TASK_KINDS
from innerear.tasks.task import Task
from innerear.util.errors import InputError

PROTOCOLS: dict[str, type[Protocol]] = {
    "abx": AbxProtocol,
    "alignment-heads": AlignmentHeadsProtocol,
    "bias-localisation": BiasLocalisationProtocol,
    "ctc-probing": CtcProbingProtocol,
    "encoder-lens": EncoderLensProtocol,
    "erasure": ErasureProtocol,
    "listening": ListeningProtocol,
    "logit-lens": LogitLensProtocol,
    "hallucination-detection": HallucinationDetectionProtocol,
    "mitigation": MitigationProtocol,
    "phone-interchange": PhoneInterchangeProtocol,
    "phone-probing": PhoneProbingProtocol,
    "planted-causes": PlantedCausesProtocol,
    "pooled-probing": PooledProbingProtocol,
    "repetition": RepetitionProtocol,
    "sparse-features": SparseFeaturesProtocol,
    "semantic-bias": SemanticBiasProtocol,
    "speech-detection": SpeechDetectionProtocol,
    "speed": SpeedProtocol,
    "transcription": TranscriptionProtocol,
    "word-probing": WordProbingProtocol,
}


class Inapplicable(Protocol):
    """A task that nothing can be measured of on its corpora: every model's result is n/a, for one reason."""

    def __init__(self, task: Task, corpora: dict[str, Corpus], reason: str) -> None:
        self.task, self.corpora, self.reason = task, corpora, reason
        self.left_out = dict.fromkeys(corpora, 0)

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """Nothing."""
        return {}

    def unsupported_reason(self, listener: Listener) -> str | None:
        """The reason."""
        return self.reason

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Raise the reason."""
        raise NotApplicable(self.reason)


def protocol_of(task: Task, load: Callable[[str], Corpus]) -> Protocol:
    """Make the protocol of a task; `Inapplicable` if its corpora have no fitting clip or too few speakers.

    Raises
    ------
    InputError
        If the corpora or the split are wrong for the task, or its `limit` leaves too few clips.
    """
    make, loaded = _protocol(task), cache(load)
    try:
        return make(task, loaded)
    except (InputError, NotApplicable) as error:
        if task.limit is not None and _fits(task.model_copy(update={"limit": None}), loaded):
            raise InputError(f"{error}; --limit {task.limit} leaves too little, raise it") from error
        if not isinstance(error, TooFewUnits | NotApplicable):
            raise
        corpora = {role: loaded(name) for role, name in corpus_names(task).items()}
        return Inapplicable(task, corpora, str(error))


def twins_of(task: Task) -> bool:
    """Whether random twins are measured on a task, too."""
    return _protocol(task).twins


def _protocol(task: Task) -> type[Protocol]:
    """The class of a task's protocol."""
    name = task.measure.protocol
    if name not in TASK_KINDS:
        return PROTOCOLS[name]
    where = TASK_KINDS[name].protocol
    try:
        made: type[Protocol] = resolve_name(where)
    except Exception as error:  # it is the code of others that runs here
        raise InputError(f"{where}: the protocol {name!r} cannot be loaded ({error})") from error
    return made


def _fits(task: Task, load: Callable[[str], Corpus]) -> bool:
    """Whether the corpora of a task are right for it."""
    try:
        _protocol(task)(task, load)
    except (InputError, NotApplicable):
        return False
    return True
