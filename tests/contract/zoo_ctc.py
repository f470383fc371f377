"""CTC recognisers beyond the first three, and encoders without a text head."""

import json
from functools import partial
from pathlib import Path

import torch
import transformers as hf
from safetensors.torch import save_file
from zoo import ARCHITECTURES, Architecture, bpe, letters
from zoo_basic import bare_ctc, save_wav2vec

_CONFORMER = dict(
    hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
    subsampling_conv_channels=16, initializer_range=0.2,
)  # fmt: skip


def save_parakeet_ctc(folder: Path) -> None:
    torch.manual_seed(0)
    tokens = hf.ParakeetTokenizer(
        tokenizer_object=bpe(200, ["<unk>", "<pad>"]), unk_token="<unk>", pad_token="<pad>"
    )
    config = hf.ParakeetCTCConfig(vocab_size=len(tokens), pad_token_id=1, encoder_config=_CONFORMER)
    hf.ParakeetForCTC(config).save_pretrained(folder)
    hf.ParakeetProcessor(hf.ParakeetFeatureExtractor(), tokens).save_pretrained(folder)


def save_lasr_ctc(folder: Path) -> None:
    torch.manual_seed(0)
    pieces = bpe(200, ["<pad>", "</s>", "<unk>"]).get_vocab()
    words = [(piece, -float(at)) for piece, at in sorted(pieces.items(), key=lambda item: item[1])]
    tokens = hf.LasrTokenizer(vocab=words, extra_ids=0, additional_special_tokens=[])
    config = hf.LasrCTCConfig(vocab_size=len(tokens), pad_token_id=0, encoder_config=_CONFORMER)
    hf.LasrForCTC(config).save_pretrained(folder)
    hf.LasrProcessor(hf.LasrFeatureExtractor(), tokens).save_pretrained(folder)


def save_wav2vec2_bert(folder: Path, bare: bool = False, **more: object) -> None:
    torch.manual_seed(0)
    config = hf.Wav2Vec2BertConfig(
        vocab_size=letters(folder), hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=64, pad_token_id=0, mask_time_prob=0.0, feature_projection_input_dim=160,
        conv_depthwise_kernel_size=7, **more,
    )  # fmt: skip
    network = hf.Wav2Vec2BertForCTC(config)
    (network.wav2vec2_bert if bare else network).save_pretrained(folder)
    hf.Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    hf.SeamlessM4TFeatureExtractor(padding_value=1).save_pretrained(folder)


def save_wav2vec2_conformer_encoder(folder: Path) -> None:
    """As it is published: with the heads of pretraining."""
    save_wav2vec(folder, "Wav2Vec2Conformer")
    config = hf.AutoConfig.from_pretrained(folder)
    hf.Wav2Vec2ConformerForPreTraining(config).save_pretrained(folder)


def save_sew_encoder(folder: Path) -> None:
    save_wav2vec(folder, "SEW", **_SQUEEZED)
    hf.SEWModel.from_pretrained(folder).save_pretrained(folder)


_LETTERS = {"eng": "ETAONIHSRDLUMWCFGYPBVK'XJQZ", "deu": "ENISRATDHULCGMOBWFKZPVÄÖÜßJYXQ"}
"""By language, as MMS names it."""


def save_mms(folder: Path) -> None:
    """A network that was saved with its English adapter, and adapters for both languages beside it."""
    save_wav2vec(
        folder, "Wav2Vec2", do_stable_layer_norm=True, adapter_attn_dim=8, conv_dim=[16] * 7,
        vocab_size=5 + len(_LETTERS["eng"]),
    )  # fmt: skip
    known = {
        language: {letter: at for at, letter in enumerate(("<pad>", "<s>", "</s>", "<unk>", "|", *letters))}
        for language, letters in _LETTERS.items()
    }
    (folder / "vocab.json").write_text(json.dumps(known))
    hf.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"), target_lang="eng").save_pretrained(folder)
    network = hf.Wav2Vec2ForCTC.from_pretrained(folder)
    for language, spelt in known.items():
        adapter = {name: value.clone() for name, value in network._get_adapters().items()}
        if language != "eng":
            torch.manual_seed(1)
            adapter = {name: torch.randn_like(value) for name, value in adapter.items()}
            adapter["lm_head.weight"] = torch.randn(len(spelt), network.config.hidden_size)
            adapter["lm_head.bias"] = torch.randn(len(spelt))
        save_file(adapter, folder / f"adapter.{language}.safetensors")


_SQUEEZED = dict(conv_dim=[16] * 13, squeeze_factor=2)

ARCHITECTURES |= {
    "unispeech": Architecture(partial(save_wav2vec, name="UniSpeech"), bare_ctc, blur=8),
    "unispeech-sat": Architecture(
        partial(save_wav2vec, name="UniSpeechSat", do_stable_layer_norm=True), bare_ctc, blur=8
    ),
    "data2vec-audio": Architecture(
        partial(save_wav2vec, name="Data2VecAudio", conv_pos_kernel_size=5), bare_ctc, blur=10
    ),
    "wav2vec2-conformer": Architecture(
        partial(save_wav2vec, name="Wav2Vec2Conformer", conv_depthwise_kernel_size=7), bare_ctc
    ),
    "wav2vec2-conformer-rotary": Architecture(
        partial(save_wav2vec, name="Wav2Vec2Conformer", position_embeddings_type="rotary"), bare_ctc
    ),
    "wav2vec2-bert": Architecture(save_wav2vec2_bert, bare_ctc),
    "wav2vec2-bert-adapter": Architecture(partial(save_wav2vec2_bert, add_adapter=True), bare_ctc),
    "wav2vec2-adapter": Architecture(
        partial(save_wav2vec, name="Wav2Vec2", add_adapter=True), bare_ctc, blur=8
    ),
    "wav2vec2-bert-encoder": Architecture(partial(save_wav2vec2_bert, bare=True)),
    "wav2vec2-conformer-encoder": Architecture(save_wav2vec2_conformer_encoder),
    "sew-encoder": Architecture(save_sew_encoder, blur=8),
    "sew": Architecture(partial(save_wav2vec, name="SEW", **_SQUEEZED), bare_ctc, blur=8),
    "sew-d": Architecture(
        partial(save_wav2vec, name="SEWD", max_position_embeddings=64, position_buckets=16, **_SQUEEZED),
        bare_ctc,
        blur=8,
    ),
    "mms": Architecture(save_mms, bare_ctc, blur=8),
    "lasr_ctc": Architecture(save_lasr_ctc, bare_ctc),
    "parakeet_ctc": Architecture(save_parakeet_ctc, bare_ctc),
}
