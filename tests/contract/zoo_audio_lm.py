"""Audio language models."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
import transformers as hf
from zoo import ARCHITECTURES, Architecture, bpe, sharpened

from innerear.data.schema import SAMPLING_RATE

QWEN_SPECIALS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>",
]  # fmt: skip


def byte_tokens(specials: list[str]) -> hf.PreTrainedTokenizerFast:
    """A tokenizer of bytes, as Qwen's; `specials` are its first tokens."""
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=bpe(400, specials, metaspace=False), additional_special_tokens=specials
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


def bare_qwen2_audio(folder: Path, audio: np.ndarray, chat: bool = True) -> list[int]:
    network = hf.Qwen2AudioForConditionalGeneration.from_pretrained(folder).eval()
    tokens = hf.AutoTokenizer.from_pretrained(folder)
    processor = hf.Qwen2AudioProcessor(hf.WhisperFeatureExtractor.from_pretrained(folder), tokens)
    asked = "Detect the language and recognize the speech: <|en|>"
    text = f"<|audio_bos|><|AUDIO|><|audio_eos|>{asked}"
    if chat:
        said = [{"type": "audio", "audio": audio}, {"type": "text", "text": asked}]
        text = processor.apply_chat_template(
            [{"role": "user", "content": said}], tokenize=False, add_generation_prompt=True
        )
    given = processor(text=[text], audio=[audio], sampling_rate=SAMPLING_RATE, return_tensors="pt")
    written = network.generate(**given, do_sample=False)[0]
    return written[given["input_ids"].shape[1] :].tolist()


ARCHITECTURES |= {
    "qwen2_audio": Architecture(save_qwen2_audio, bare_qwen2_audio),
    "qwen2_audio-base": Architecture(
        partial(save_qwen2_audio, chat=False), partial(bare_qwen2_audio, chat=False)
    ),
}
