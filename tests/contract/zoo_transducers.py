"""Transducers, plain and with durations."""

from functools import partial
from pathlib import Path

import numpy as np
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
    _animate(network.eval(), draw)
    network.generation_config.decoder_start_token_id = blank
    if name == "TDT":
        network.generation_config.suppress_tokens = list(range(len(tokens), len(tokens) + 5))
    network.save_pretrained(folder)
    hf.ParakeetProcessor(hf.ParakeetFeatureExtractor(), tokens, decoder_type=name.lower()).save_pretrained(
        folder
    )


def _animate(network: torch.nn.Module, draw: int) -> None:
    """Draw weights with which blanks and tokens alternate, as what is heard and written changes.

    With those of the initialisation, a random transducer writes one token for ever, or none; so it does with
    most draws.
    """
    clips = [clip(seconds, seed) for seed, seconds in enumerate((1.3, 1.3, 4.0, 8.0))]
    with torch.no_grad():
        heard = [network.encoder(**_given(audio)).last_hidden_state[0].mean(0) for audio in clips]
        torch.manual_seed(draw)
        for part in (network.joint, network.decoder, network.encoder_projector):
            for weights in part.parameters():
                weights.normal_(std=0.5)
        projector = network.encoder_projector
        projector.bias.copy_(-projector.weight @ torch.stack(heard).mean(0))
        network.joint.head.bias[network.config.blank_token_id] += 5.0


def _given(audio: np.ndarray) -> dict[str, torch.Tensor]:
    return hf.ParakeetFeatureExtractor()(audio, sampling_rate=SAMPLING_RATE, return_tensors="pt")


ARCHITECTURES |= {
    "parakeet_rnnt": Architecture(
        partial(save_parakeet, name="RNNT", draw=6, max_symbols_per_step=4), alone("parakeet_tdt")
    ),
    "parakeet_tdt": Architecture(partial(save_parakeet, name="TDT", draw=21), alone("parakeet_tdt")),
}
