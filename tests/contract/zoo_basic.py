"""Whisper, Moonshine, and the first three CTC families."""

from functools import partial
from pathlib import Path

import torch
import transformers as hf
from zoo import ARCHITECTURES, Architecture, alone, bpe, letters

WHISPER_SPECIALS = [
    "<unk>", "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>",
    "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
]  # fmt: skip


def save_whisper(folder: Path, mel: int = 80, encoder: int = 3, decoder: int = 2) -> None:
    torch.manual_seed(0)
    tokens = hf.PreTrainedTokenizerFast(tokenizer_object=bpe(300, WHISPER_SPECIALS), unk_token="<unk>")
    at = tokens.convert_tokens_to_ids
    network = hf.WhisperForConditionalGeneration(
        hf.WhisperConfig(
            d_model=32, encoder_layers=encoder, decoder_layers=decoder, encoder_attention_heads=4,
            decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, num_mel_bins=mel,
            vocab_size=len(tokens), max_target_positions=40, max_source_positions=500,
            pad_token_id=at("<|endoftext|>"),
            bos_token_id=at("<|endoftext|>"), eos_token_id=at("<|endoftext|>"),
            decoder_start_token_id=at("<|startoftranscript|>"), suppress_tokens=None,
            begin_suppress_tokens=None,
        )
    )  # fmt: skip
    network.generation_config = hf.GenerationConfig(
        decoder_start_token_id=at("<|startoftranscript|>"), eos_token_id=at("<|endoftext|>"),
        pad_token_id=at("<|endoftext|>"), max_length=24, is_multilingual=True,
        lang_to_id={"<|en|>": at("<|en|>"), "<|de|>": at("<|de|>")},
        task_to_id={"transcribe": at("<|transcribe|>"), "translate": at("<|translate|>")},
        no_timestamps_token_id=at("<|notimestamps|>"),
    )  # fmt: skip
    network.save_pretrained(folder)
    tokens.save_pretrained(folder)
    hf.WhisperFeatureExtractor(feature_size=mel, chunk_length=10).save_pretrained(folder)


def save_moonshine(folder: Path) -> None:
    torch.manual_seed(0)
    tokens = hf.PreTrainedTokenizerFast(
        tokenizer_object=bpe(300, ["<unk>", "<s>", "</s>"]), unk_token="<unk>", bos_token="<s>",
        eos_token="</s>", pad_token="</s>",
    )  # fmt: skip
    network = hf.MoonshineForConditionalGeneration(
        hf.MoonshineConfig(
            hidden_size=32, intermediate_size=64, encoder_num_hidden_layers=3, decoder_num_hidden_layers=2,
            encoder_num_attention_heads=4, decoder_num_attention_heads=4, vocab_size=len(tokens),
            bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, pad_token_id=2,
            max_position_embeddings=40,
        )
    )  # fmt: skip
    network.generation_config.max_length = 24
    network.save_pretrained(folder)
    tokens.save_pretrained(folder)
    hf.Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folder)


_WAV2VEC = dict(
    hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64, conv_dim=[16] * 7,
    num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, pad_token_id=0, mask_time_prob=0.0,
    feat_extract_norm="layer",
)  # fmt: skip
"""Layer norm in the convolutions: group norm over time would spread an impulse over all frames."""


def save_wav2vec(folder: Path, name: str, **more: object) -> None:
    torch.manual_seed(0)
    size = letters(folder)
    settings = {**_WAV2VEC, "vocab_size": size, **more}
    network = getattr(hf, f"{name}ForCTC")(getattr(hf, f"{name}Config")(**settings))
    network.save_pretrained(folder)
    hf.Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    hf.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False).save_pretrained(folder)


bare_ctc = alone("wav2vec2")
"""Of any CTC recogniser."""

ARCHITECTURES |= {
    "whisper": Architecture(save_whisper, alone("whisper")),
    "whisper-large-v3": Architecture(partial(save_whisper, mel=128, encoder=4, decoder=4), alone("whisper")),
    "whisper-turbo": Architecture(partial(save_whisper, mel=128, encoder=8, decoder=4), alone("whisper")),
    "whisper-distil": Architecture(partial(save_whisper, mel=128, encoder=8, decoder=1), alone("whisper")),
    "moonshine": Architecture(save_moonshine, alone("moonshine")),
    # their positional convolution spans half of its 16 frames to each side
    "wav2vec2": Architecture(partial(save_wav2vec, name="Wav2Vec2"), bare_ctc, blur=8),
    "hubert": Architecture(partial(save_wav2vec, name="Hubert"), bare_ctc, blur=8),
    "wavlm": Architecture(partial(save_wav2vec, name="WavLM", num_buckets=8), bare_ctc, blur=8),
}
