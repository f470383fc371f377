"""Transducers, plain and with durations."""

from functools import partial
from pathlib import Path

import torch
import transformers as hf
from zoo import ARCHITECTURES, Architecture, alone, bpe, clip
from zoo_ctc import _CONFORMER

from innerear.data.schema import SAMPLING_RATE


def save_parakeet(folder: Path, name: str, draw: int, **more: object) -> None:
    torch.manual_seed(0)
    raw = bpe(200, ["<unk>", "<pad>"])
    raw.add_special_tokens(["<blank>"])
    tokens = hf.ParakeetTokenizer(tokenizer_object=raw, unk_token="<unk>", pad_token="<pad>")
    blank = len(tokens) - 1
    config = getattr(hf, f"Parakeet{name}Config")(
        vocab_size=len(tokens), pad_token_id=1, blank_token_id=blank, decoder_hidden_size=24,
        num_decoder_layers=2, encoder_config=_CONFORMER, **more,
    )  # fmt: skip
    network = getattr(hf, f"ParakeetFor{name}")(config)
    _animate(network.eval(), draw, hf.ParakeetFeatureExtractor())
    network.generation_config.decoder_start_token_id = blank
    if name == "TDT":
        network.generation_config.suppress_tokens = list(range(len(tokens), len(tokens) + 5))
    network.save_pretrained(folder)
    hf.ParakeetProcessor(hf.ParakeetFeatureExtractor(), tokens, decoder_type=name.lower()).save_pretrained(
        folder
    )


def save_nemotron(folder: Path, name: str, draw: int, blank_bias: float = 5.0, **more: object) -> None:
    torch.manual_seed(0)
    raw = bpe(200, ["<unk>", "<pad>"])
    raw.add_special_tokens(["<blank>"])
    tokens = hf.ParakeetTokenizer(tokenizer_object=raw, unk_token="<unk>", pad_token="<pad>")
    blank = len(tokens) - 1
    encoder = _CONFORMER | {
        "model_type": "nemotron_asr_streaming_encoder", "sliding_window": 9,
        "default_num_lookahead_tokens": 3,
    }  # fmt: skip
    config = getattr(hf, f"{name}Config")(
        vocab_size=len(tokens), pad_token_id=1, blank_token_id=blank, decoder_hidden_size=24,
        num_decoder_layers=2, encoder_config=encoder, max_symbols_per_step=4, **more,
    )  # fmt: skip
    network, extractor = getattr(hf, f"{name}ForRNNT")(config), hf.NemotronAsrStreamingFeatureExtractor()
    _animate(network.eval(), draw, extractor, blank_bias)
    network.generation_config.decoder_start_token_id = blank
    network.save_pretrained(folder)
    tokens.save_pretrained(folder)
    extractor.save_pretrained(folder)


def _animate(
    network: torch.nn.Module, draw: int, extractor: hf.SequenceFeatureExtractor, blank_bias: float = 5.0
) -> None:
    """Draw weights with which blanks and tokens alternate, as what is heard and written changes.

    With those of the initialisation, a random transducer writes one token for ever, or none; so it does with
    most draws.
    """
    clips = [clip(seconds, seed) for seed, seconds in enumerate((1.3, 1.3, 4.0, 8.0))]
    projector, heard = network.encoder_projector, []
    torch.manual_seed(draw)
    with torch.no_grad():
        for weights in getattr(network, "prompt_projector", torch.nn.Identity()).parameters():
            weights.normal_(std=0.5)
        handle = projector.register_forward_pre_hook(lambda _, given: heard.append(given[0][0].mean(0)))
        for audio in clips:
            network.get_audio_features(**extractor(audio, sampling_rate=SAMPLING_RATE, return_tensors="pt"))
        handle.remove()
        torch.manual_seed(draw)
        for part in (network.joint, network.decoder, projector):
            for weights in part.parameters():
                weights.normal_(std=0.5)
        projector.bias.copy_(-projector.weight @ torch.stack(heard).mean(0))
        network.joint.head.bias[network.config.blank_token_id] += blank_bias


ARCHITECTURES |= {
    "parakeet_rnnt": Architecture(
        partial(save_parakeet, name="RNNT", draw=6, max_symbols_per_step=4), alone("parakeet_tdt")
    ),
    "parakeet_tdt": Architecture(partial(save_parakeet, name="TDT", draw=21), alone("parakeet_tdt")),
    "nemotron_asr_streaming": Architecture(
        partial(save_nemotron, name="NemotronAsrStreaming", draw=6, blank_bias=7.0), alone("parakeet_rnnt")
    ),
    "nemotron3_5_asr": Architecture(
        partial(
            save_nemotron,
            name="Nemotron3_5Asr",
            draw=4,
            blank_bias=11.0,
            num_prompts=8,
            default_prompt_id=5,
            prompt_intermediate_size=32,
        ),
        alone("parakeet_rnnt"),
    ),
}
