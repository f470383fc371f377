"""Encoder-decoder models beyond Whisper and Moonshine."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
import transformers as hf
from zoo import ARCHITECTURES, Architecture, alone, bpe, sentences
from zoo_ctc import _CONFORMER

CANARY_SPECIALS = [
    "<unk>", "<|nospeech|>", "<pad>", "<|endoftext|>", "<|startoftranscript|>", "<|pnc|>", "<|nopnc|>",
    "<|startofcontext|>", "<|itn|>", "<|noitn|>", "<|timestamp|>", "<|notimestamp|>", "<|diarize|>",
    "<|nodiarize|>", "<|emo:undefined|>", "<|en|>", "<|de|>",
]  # fmt: skip


def save_moonshine_streaming(folder: Path) -> None:
    torch.manual_seed(0)
    tokens = hf.PreTrainedTokenizerFast(
        tokenizer_object=bpe(300, ["<pad>", "<s>", "</s>", "<unk>"]), unk_token="<unk>", bos_token="<s>",
        eos_token="</s>", pad_token="<pad>",
    )  # fmt: skip
    network = hf.MoonshineStreamingForConditionalGeneration(
        hf.MoonshineStreamingConfig(
            encoder_config=dict(
                model_type="moonshine_streaming_encoder", hidden_size=40, intermediate_size=64,
                num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4, head_dim=8,
                sliding_windows=[[16, 4], [8, 0], [4, 2]],
            ),
            vocab_size=len(tokens), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=500,
            decoder_start_token_id=1,
        )
    )  # fmt: skip
    network.generation_config.max_length = 24
    network.save_pretrained(folder)
    tokens.save_pretrained(folder)
    hf.Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folder)


def save_canary(folder: Path, cohere: bool = False) -> None:
    torch.manual_seed(0)
    tokens = hf.PreTrainedTokenizerFast(
        tokenizer_object=bpe(300, CANARY_SPECIALS), unk_token="<unk>", pad_token="<pad>",
        bos_token="<|startoftranscript|>", eos_token="<|endoftext|>",
        additional_special_tokens=CANARY_SPECIALS[4:],
    )  # fmt: skip
    decoder = dict(
        vocab_size=len(tokens), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4, head_dim=8, max_position_embeddings=40,
    )  # fmt: skip
    encoder = _CONFORMER | {"model_type": "parakeet_encoder", "num_mel_bins": 80}
    extractor: hf.SequenceFeatureExtractor
    if cohere:
        start = tokens.convert_tokens_to_ids("▁")
        config = hf.CohereAsrConfig(encoder_config=encoder, decoder_start_token_id=start, **decoder)
        network = hf.CohereAsrForConditionalGeneration(config)
        extractor = hf.CohereAsrFeatureExtractor(feature_size=80)
    else:
        config = hf.CanaryConfig(encoder_config=encoder, decoder_config=decoder, vocab_size=len(tokens))
        network = hf.CanaryForConditionalGeneration(config)
        extractor = hf.ParakeetFeatureExtractor(feature_size=80)
    network.generation_config.max_new_tokens = 24
    network.save_pretrained(folder)
    tokens.save_pretrained(folder)
    extractor.save_pretrained(folder)


def save_seamless(folder: Path, name: str = "SeamlessM4Tv2", **more: object) -> None:
    torch.manual_seed(0)
    languages = ["__eng__", "__deu__", "__cmn__", "__cmn_Hant__"]
    model = bpe(300, ["<pad>", "<unk>", "<s>", "</s>", *languages])
    tokens = hf.PreTrainedTokenizerFast(
        tokenizer_object=model, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        additional_special_tokens=languages,
    )  # fmt: skip
    network = getattr(hf, f"{name}ForSpeechToText")(
        getattr(hf, f"{name}Config")(
            vocab_size=len(tokens), hidden_size=32, encoder_layers=1, encoder_ffn_dim=32,
            encoder_attention_heads=4, decoder_layers=2, decoder_ffn_dim=64, decoder_attention_heads=4,
            speech_encoder_layers=3, speech_encoder_attention_heads=4, speech_encoder_intermediate_size=64,
            conv_depthwise_kernel_size=7, max_position_embeddings=40, t2u_vocab_size=50, **more,
        )
    )  # fmt: skip
    network.generation_config = hf.GenerationConfig(
        decoder_start_token_id=3,
        eos_token_id=3,
        pad_token_id=0,
        max_new_tokens=24,
        text_decoder_lang_to_code_id={
            spelt.strip("_"): tokens.convert_tokens_to_ids(spelt) for spelt in languages
        },
    )
    network.save_pretrained(folder)
    tokens.save_pretrained(folder)
    hf.SeamlessM4TFeatureExtractor().save_pretrained(folder)


def save_speech_to_text(folder: Path) -> None:
    trainer = pytest.importorskip("sentencepiece").SentencePieceTrainer
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    trainer.train(
        sentence_iterator=iter(sentences()), model_prefix=str(folder / "sentencepiece.bpe"), vocab_size=300,
        bos_id=0, pad_id=1, eos_id=2, unk_id=3, minloglevel=2,
    )  # fmt: skip
    pieces = [line.split("\t")[0] for line in (folder / "sentencepiece.bpe.vocab").read_text().splitlines()]
    (folder / "vocab.json").write_text(json.dumps({piece: at for at, piece in enumerate(pieces)}))
    tokens = hf.Speech2TextTokenizer(str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"))
    network = hf.Speech2TextForConditionalGeneration(
        hf.Speech2TextConfig(
            vocab_size=len(pieces), d_model=32, encoder_layers=3, encoder_ffn_dim=64,
            encoder_attention_heads=4, decoder_layers=2, decoder_ffn_dim=64, decoder_attention_heads=4,
            conv_channels=16, max_target_positions=40, decoder_start_token_id=2,
        )
    )  # fmt: skip
    network.generation_config.max_length = 24
    network.save_pretrained(folder)
    tokens.save_pretrained(folder)
    hf.Speech2TextFeatureExtractor().save_pretrained(folder)


ARCHITECTURES |= {
    "moonshine_streaming": Architecture(save_moonshine_streaming, alone("moonshine_streaming")),
    "canary": Architecture(save_canary, alone("canary")),
    "cohere_asr": Architecture(partial(save_canary, cohere=True), alone("cohere_asr")),
    "speech_to_text": Architecture(save_speech_to_text, alone("speech_to_text")),
    "seamless_m4t": Architecture(
        partial(save_seamless, name="SeamlessM4T", max_source_positions=200), alone("seamless_m4t")
    ),
    "seamless_m4t_v2": Architecture(partial(save_seamless, char_vocab_size=50), alone("seamless_m4t_v2")),
}
