"""Audio language models."""

from functools import partial
from pathlib import Path

import torch
import transformers as hf
from zoo import ARCHITECTURES, Architecture, alone, bpe, sharpened

QWEN_SPECIALS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>",
]  # fmt: skip


def byte_tokens(specials: list[str]) -> hf.PreTrainedTokenizerFast:
    """A tokenizer of bytes, as Qwen's; `specials` are its first tokens."""
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=bpe(400, specials, metaspace=False),
        additional_special_tokens=specials,
        pad_token=specials[0],
    )


def save_qwen2_audio(folder: Path, chat: bool = True) -> None:
    torch.manual_seed(0)
    tokens = byte_tokens(QWEN_SPECIALS)
    at = tokens.convert_tokens_to_ids
    network = hf.Qwen2AudioForConditionalGeneration(
        hf.Qwen2AudioConfig(
            audio_config=dict(
                model_type="qwen2_audio_encoder", num_mel_bins=80, encoder_layers=3, d_model=32,
                encoder_attention_heads=4, encoder_ffn_dim=64, max_source_positions=500,
            ),
            text_config=dict(
                model_type="qwen2", vocab_size=len(tokens) + 3, hidden_size=32, intermediate_size=64,
                num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                max_position_embeddings=700, eos_token_id=at("<|endoftext|>"),
            ),
            audio_token_index=at("<|AUDIO|>"),
        )
    )  # fmt: skip
    ends = [at("<|endoftext|>"), at("<|im_end|>")]
    network.generation_config = hf.GenerationConfig(
        eos_token_id=ends if chat else ends[0], pad_token_id=ends[0], max_new_tokens=24
    )
    sharpened(network, "lm_head").save_pretrained(folder)
    tokens.save_pretrained(folder)
    hf.WhisperFeatureExtractor(feature_size=80, chunk_length=10).save_pretrained(folder)


GLM_SPECIALS = [
    "<|endoftext|>", "<|user|>", "<|assistant|>", "<|begin_of_audio|>", "<|end_of_audio|>", "<|pad|>",
]  # fmt: skip
VOXTRAL_SPECIALS = [
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AUDIO]", "[BEGIN_AUDIO]", "[TRANSCRIBE]",
]  # fmt: skip


def save_like_llama(
    folder: Path, name: str, specials: list[str], audio: str, ends: list[str], **encoder: object
) -> None:
    """An encoder of Whisper's shape before a Llama with four times its frames in each embedding."""
    torch.manual_seed(0)
    tokens = byte_tokens(specials)
    at = tokens.convert_tokens_to_ids
    network = getattr(hf, f"{name}ForConditionalGeneration")(
        getattr(hf, f"{name}Config")(
            audio_config=dict(
                num_mel_bins=80, hidden_size=32, intermediate_size=128, num_hidden_layers=3,
                num_attention_heads=4, **encoder,
            ),
            text_config=dict(
                model_type="llama", vocab_size=len(tokens), hidden_size=32, intermediate_size=64,
                num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
                max_position_embeddings=700, eos_token_id=at(ends), bos_token_id=0, pad_token_id=None,
            ),
            audio_token_id=at(audio), tie_word_embeddings=False,
        )
    )  # fmt: skip
    network.generation_config = hf.GenerationConfig(
        eos_token_id=at(ends), pad_token_id=at(ends[0]), max_new_tokens=24
    )
    sharpened(network, "lm_head").save_pretrained(folder)
    tokens.save_pretrained(folder)
    hf.WhisperFeatureExtractor(feature_size=80, chunk_length=10).save_pretrained(folder)


save_voxtral = partial(
    save_like_llama, name="Voxtral", specials=VOXTRAL_SPECIALS, audio="[AUDIO]", ends=["</s>"],
    max_source_positions=500,
)  # fmt: skip
save_glm = partial(
    save_like_llama, name="GlmAsr", specials=GLM_SPECIALS, audio="<|pad|>",
    ends=["<|endoftext|>", "<|user|>"], max_position_embeddings=500,
)  # fmt: skip


QWEN3_SPECIALS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|audio_pad|>", "<|audio_start|>", "<|audio_end|>",
    "<asr_text>",
]  # fmt: skip


def save_qwen3_asr(folder: Path) -> None:
    torch.manual_seed(0)
    tokens = byte_tokens(QWEN3_SPECIALS)
    at = tokens.convert_tokens_to_ids
    network = hf.Qwen3ASRForConditionalGeneration(
        hf.Qwen3ASRConfig(
            audio_config=dict(
                model_type="qwen3_asr_encoder", num_mel_bins=80, encoder_layers=3, d_model=32,
                encoder_attention_heads=4, encoder_ffn_dim=64, downsample_hidden_size=8, output_dim=32,
            ),
            text_config=dict(
                model_type="qwen3", vocab_size=len(tokens), hidden_size=32, intermediate_size=64,
                num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
                max_position_embeddings=900, tie_word_embeddings=False,
            ),
            audio_token_id=at("<|audio_pad|>"), timestamp_token_id=at("<asr_text>"),
            eos_token_id=[at("<|endoftext|>"), at("<|im_end|>")], pad_token_id=at("<|endoftext|>"),
            tie_word_embeddings=False,
        )
    )  # fmt: skip
    network.generation_config = hf.GenerationConfig(
        eos_token_id=[at("<|endoftext|>"), at("<|im_end|>")], pad_token_id=at("<|endoftext|>"),
        max_new_tokens=24,
    )  # fmt: skip
    sharpened(network, "lm_head").save_pretrained(folder)
    tokens.save_pretrained(folder)
    hf.Qwen3ASRFeatureExtractor(feature_size=80).save_pretrained(folder)


ARCHITECTURES |= {
    "qwen2_audio": Architecture(save_qwen2_audio, alone("qwen2_audio")),
    "qwen2_audio-base": Architecture(partial(save_qwen2_audio, chat=False), alone("qwen2_audio")),
    "voxtral": Architecture(save_voxtral, alone("voxtral")),
    "qwen3_asr": Architecture(save_qwen3_asr, alone("qwen3_asr")),
    "glmasr": Architecture(save_glm, alone("glmasr")),
}
