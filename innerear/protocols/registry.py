"""Protocols by the name that a task gives under `measure`."""

from collections.abc import Callable

from innerear.data.schema import Corpus
from innerear.protocols.abx import AbxProtocol
from innerear.protocols.alignment_heads import AlignmentHeadsProtocol
from innerear.protocols.base import Protocol
from innerear.protocols.bias_localisation import BiasLocalisationProtocol
from innerear.protocols.encoder_lens import EncoderLensProtocol
from innerear.protocols.hallucination_detection import HallucinationDetectionProtocol
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
from innerear.protocols.transcription import TranscriptionProtocol
from innerear.protocols.word_probing import WordProbingProtocol
from innerear.tasks.task import Task

PROTOCOLS: dict[str, type[Protocol]] = {
    "abx": AbxProtocol,
    "alignment-heads": AlignmentHeadsProtocol,
    "bias-localisation": BiasLocalisationProtocol,
    "encoder-lens": EncoderLensProtocol,
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
    "transcription": TranscriptionProtocol,
    "word-probing": WordProbingProtocol,
}


def protocol_of(task: Task, load: Callable[[str], Corpus]) -> Protocol:
    """Make the protocol of a task; errors as its corpora's and its split's."""
    return PROTOCOLS[task.measure.protocol](task, load)
