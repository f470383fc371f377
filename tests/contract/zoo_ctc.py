"""CTC recognisers beyond the first three, and encoders without a text head."""

from pathlib import Path

import torch
import transformers as hf
from zoo import ARCHITECTURES, Architecture, bpe
from zoo_basic import bare_ctc

_CONFORMER = dict(
    hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
    subsampling_conv_channels=16,
)  # fmt: skip


def save_parakeet_ctc(folder: Path) -> None:
    torch.manual_seed(0)
    tokens = hf.ParakeetTokenizer(
        tokenizer_object=bpe(200, ["<unk>", "<pad>"]), unk_token="<unk>", pad_token="<pad>"
    )
    config = hf.ParakeetCTCConfig(vocab_size=len(tokens), pad_token_id=1, encoder_config=_CONFORMER)
    hf.ParakeetForCTC(config).save_pretrained(folder)
    hf.ParakeetProcessor(hf.ParakeetFeatureExtractor(), tokens).save_pretrained(folder)


ARCHITECTURES |= {
    "parakeet_ctc": Architecture(save_parakeet_ctc, bare_ctc),
}
