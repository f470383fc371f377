"""An audio language model: Whisper's encoder as it is, a projector, and a small language model.

The encoder is frozen, so what it makes of each clip is computed once. The language model reads text first,
then speech. While it learns, its middle layer also spells what it hears, by CTC over the positions of the
audio: without that, thousands of clips are too few to find out which sound is which letter.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    GenerationConfig,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    WhisperFeatureExtractor,
)

from innerear.data.schema import SAMPLING_RATE
from innerear.models.networks import load_network
from innerear.models.registry import load_spec
from innerear.models.weights import fetch
from innerear.organisms.augment import changed
from innerear.organisms.conformer import save_half
from innerear.organisms.speech import Heard
from innerear.organisms.tokens import AUDIO, BEFORE, BEHIND, END
from innerear.organisms.training import Curve, Schedule, batch_at, one_thread, train
from innerear.render.shared import generator
from innerear.util.progress import bar

EARS = "whisper-tiny.en"
"""The registered model whose encoder it hears with."""
SIZE: Mapping[str, Any] = {
    "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4,
    "intermediate_size": 640,
}  # fmt: skip
"""Of the language model, which is about 3 million parameters."""
_POSITIONS = 1024
"""At most: 30 s of audio are 750."""
_LONGEST = 120
"""Tokens of an answer."""
_BATCH, _TEXTS = 16, 64
_PEAK, _WARM_UP = 1.5e-3, 300
_CTC = 0.5
_VERSIONS = 2
"""Of each clip: as it was rendered, and in another room."""
_DROPPED = 0.1
"""Share of the encoder's outputs that are hidden at a step, and besides that stretches of a clip."""
_STRETCHES, _SHARE = 3, 0.06


class Listener(nn.Module):
    """The audio language model, and the head by which its middle layer spells.

    Parameters
    ----------
    tokenizer
        As `byte_tokenizer` makes it.
    whisper
        A `WhisperForConditionalGeneration`, whose encoder it takes over.
    size
        Of the language model, as `Qwen2Config` names it.
    """

    def __init__(self, tokenizer: Any, whisper: Any, size: Mapping[str, Any] = SIZE) -> None:
        super().__init__()
        at, ears = tokenizer.convert_tokens_to_ids, whisper.config
        self.model = Qwen2AudioForConditionalGeneration(
            Qwen2AudioConfig(
                audio_config={
                    "model_type": "qwen2_audio_encoder", "num_mel_bins": ears.num_mel_bins,
                    "d_model": ears.d_model, "encoder_layers": ears.encoder_layers,
                    "encoder_attention_heads": ears.encoder_attention_heads,
                    "encoder_ffn_dim": ears.encoder_ffn_dim,
                    "max_source_positions": ears.max_source_positions,
                },
                text_config={
                    "model_type": "qwen2", "vocab_size": len(tokenizer), "eos_token_id": at(END),
                    "max_position_embeddings": _POSITIONS, **size,
                },
                audio_token_index=at(AUDIO),
            )
        )  # fmt: skip
        self.tower.load_state_dict(whisper.model.encoder.state_dict())
        self.tower.requires_grad_(False)
        self.spelling = nn.Linear(size["hidden_size"], len(tokenizer) + 1)
        self.before, self.behind = (
            torch.tensor(tokenizer.encode(text, add_special_tokens=False)) for text in (BEFORE, BEHIND)
        )

    @property
    def tower(self) -> Any:
        """The encoder."""
        return self.model.model.audio_tower

    @torch.no_grad()
    def hear(self, features: Tensor, frames: int) -> Tensor:
        """The encoder's output for a clip, [position, dimension]: what the whole network makes of it.

        The positions behind the clip are masked in the network, so here they are not computed.

        Parameters
        ----------
        features
            Log-mel features [channel, frame] of a whole window, and in it the `frames` of the clip.
        """
        tower = self.tower
        length = (frames - 1) // 2 + 1
        near = features[None, :, : 2 * length + 8]  # more than the convolutions reach over its end
        states = nn.functional.gelu(tower.conv2(nn.functional.gelu(tower.conv1(near))))
        states = states[:, :, :length].transpose(1, 2) + tower.embed_positions.weight[:length]
        for layer in tower.layers:
            states = layer(states, None)
        pooled = tower.avg_pooler(states.transpose(1, 2)).transpose(1, 2)
        heard: Tensor = tower.layer_norm(pooled)[0]
        return heard

    def losses(self, heard: Sequence[Tensor] | None, texts: Sequence[Tensor], end: int) -> dict[str, Tensor]:
        """The losses of writing texts (tokens) for what is heard, or for nothing."""
        prompts = self._prompts(heard, len(texts))
        embed = self.model.get_input_embeddings()
        rows = [torch.cat([prompt, embed(text)]) for prompt, text in zip(prompts, texts, strict=True)]
        targets = [
            torch.cat([torch.full((len(prompt) - 1,), -1), text, torch.tensor([end])])
            for prompt, text in zip(prompts, texts, strict=True)
        ]
        made = self._read(rows)
        wanted = _padded(targets, -1)
        scored = wanted >= 0
        logits = self.model.lm_head(made.last_hidden_state[scored])
        losses = {"writing": nn.functional.cross_entropy(logits, wanted[scored])}
        if heard is not None:
            spelt = self._spelt(made, heard).transpose(0, 1)
            counts, lengths = (torch.tensor([len(each) for each in group]) for group in (heard, texts))
            losses["ctc"] = _CTC * nn.functional.ctc_loss(
                spelt, _padded(texts), counts, lengths, blank=spelt.shape[2] - 1, zero_infinity=True
            )
        return losses

    @torch.no_grad()
    def write(self, heard: Sequence[Tensor], end: int) -> tuple[list[list[int]], list[list[int]]]:
        """The tokens that are most likely one after another, and those that the middle layer spells."""
        rows, embed = self._prompts(heard, len(heard)), self.model.get_input_embeddings()
        written: list[list[int]] = [[] for _ in rows]
        for _ in range(_LONGEST):
            made = self._read(rows)
            last = torch.stack([states[len(row) - 1] for states, row in zip(made[0], rows, strict=True)])
            tokens = self.model.lm_head(last).argmax(-1)
            rows = [torch.cat([row, embed(token[None])]) for row, token in zip(rows, tokens, strict=True)]
            for text, token in zip(written, tokens.tolist(), strict=True):
                if text[-1:] != [end]:
                    text.append(token)
            if all(text[-1] == end for text in written):
                break
        best = self._spelt(made, heard).argmax(-1)
        blank = self.spelling.out_features - 1
        spelt = [
            [token for token in each[: len(sound)].unique_consecutive().tolist() if token != blank]
            for each, sound in zip(best, heard, strict=True)
        ]
        return written, spelt

    def _prompts(self, heard: Sequence[Tensor] | None, count: int) -> list[Tensor]:
        """Embeddings [position, dimension] of the prompt of each of `count` texts."""
        inside, embed = self.model.model, self.model.get_input_embeddings()
        before, behind = embed(self.before), embed(self.behind)
        if heard is None:
            return count * [torch.cat([before, behind])]
        return [torch.cat([before, inside.multi_modal_projector(sound.float()), behind]) for sound in heard]

    def _read(self, rows: Sequence[Tensor]) -> Any:
        """What the language model makes of rows; their padding comes last, and nothing attends to it."""
        return self.model.model.language_model(
            inputs_embeds=_padded(rows), output_hidden_states=True, use_cache=False
        )

    def _spelt(self, made: Any, heard: Sequence[Tensor]) -> Tensor:
        """Log-probabilities [clip, position, token] of the middle layer's spelling along the audio."""
        first, longest = len(self.before), max(map(len, heard))
        middle = made.hidden_states[len(made.hidden_states) // 2][:, first : first + longest]
        spelt: Tensor = self.spelling(middle).log_softmax(-1)
        return spelt


def _padded(rows: Sequence[Tensor], value: float = 0) -> Tensor:
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)


def ears() -> Any:
    """Whisper, from where the registry says; errors as `fetch`."""
    return load_network("whisper", fetch(load_spec(EARS)).folder)


def heard_by(network: Listener, clips: Sequence[Heard], seed: int, versions: int) -> list[list[Tensor]]:
    """What the encoder makes of each clip, float16, in versions: the first is the clip as it is."""
    extractor = _extractor(network)
    made = []
    with one_thread(), bar("hearing", len(clips)) as advance:
        for clip in clips:
            draw, audio = generator(seed, clip.id), clip.audio()
            sounds = [audio, *(changed(audio, draw).audio for _ in range(versions - 1))]
            made.append([_heard(network, extractor, sound) for sound in sounds])
            advance()
    return made


def _heard(network: Listener, extractor: Any, audio: np.ndarray) -> Tensor:
    given = extractor(audio, sampling_rate=SAMPLING_RATE, return_attention_mask=True, return_tensors="pt")
    return network.hear(given["input_features"][0], int(given["attention_mask"].sum())).half()


def _muffled(heard: Tensor) -> Tensor:
    """Without some stretches and some features, so that thousands of clips are not learnt by heart."""
    kept = nn.functional.dropout(heard.float(), _DROPPED)
    for _ in range(_STRETCHES):
        width = int(torch.randint(int(_SHARE * len(kept)) + 1, ()))
        at = int(torch.randint(len(kept) - width + 1, ()))
        kept[at : at + width] = 0
    return kept


def _extractor(network: Listener) -> Any:
    audio: Any = network.model.config.audio_config
    return WhisperFeatureExtractor(
        feature_size=audio.num_mel_bins, chunk_length=audio.max_source_positions // 50
    )


def fit(
    clips: Sequence[Heard],
    unseen: Sequence[Heard],
    text: Sequence[str],
    tokenizer: Any,
    seed: int,
    text_steps: int,
    steps: int,
    folder: Path,
    whisper: Any,
    size: Mapping[str, Any] = SIZE,
) -> tuple[Listener, Curve]:
    """Train on text, then on the clips, from the last checkpoint in `folder` on; errors as `train`.

    `unseen` are heard at checkpoints only: the curve has the loss of writing them, the word error rate, and
    that of what the middle layer spells.
    """
    torch.manual_seed(seed)
    network = Listener(tokenizer, whisper, size)
    end = tokenizer.convert_tokens_to_ids(END)

    def tokens_of(sentence: str) -> Tensor:
        return torch.tensor(tokenizer.encode(f" {sentence}", add_special_tokens=False))

    read = [tokens_of(sentence) for sentence in text]
    told, asked = [tokens_of(clip.text) for clip in clips], [tokens_of(clip.text) for clip in unseen]
    known = sha256(tokenizer.backend_tokenizer.to_str().encode())
    for sentence in text:
        known.update(sentence.encode())
    lengths = [len(each) for each in read]
    schedule = Schedule(seed, text_steps, _PEAK, min(_WARM_UP, max(1, text_steps // 5)))
    curve = train(
        network,
        lambda step: network.losses(None, [read[at] for at in batch_at(step, lengths, _TEXTS, seed)[1]], end),
        schedule, folder, "reader", known.hexdigest(),
    )  # fmt: skip

    heard = heard_by(network, clips, seed, _VERSIONS)
    tried = [each[0] for each in heard_by(network, unseen, seed, 1)]
    for clip in clips:
        known.update(clip.encoded)
    known.update(repr(schedule).encode())
    samples = [clip.samples for clip in clips]

    def losses_at(step: int) -> dict[str, Tensor]:
        epoch, chosen = batch_at(step, samples, _BATCH, seed)
        sounds = [_muffled(heard[at][(epoch + at) % _VERSIONS]) for at in chosen]
        return network.losses(sounds, [told[at] for at in chosen], end)

    def measure() -> dict[str, float]:
        if not unseen:
            return {}
        said = [clip.text for clip in unseen]
        written, spelt = (
            jiwer.wer(said, tokenizer.batch_decode(each, skip_special_tokens=True))
            for each in network.write(tried, end)
        )
        return {"unseen": float(network.losses(tried, asked, end)["writing"]), "wer": written, "spelt": spelt}

    schedule = Schedule(seed + 1, steps, _PEAK, min(_WARM_UP, max(1, steps // 5)))
    curve += train(network, losses_at, schedule, folder, "listener", known.hexdigest(), measure)
    return network, curve


def export(network: Listener, tokenizer: Any, folder: Path) -> Path:
    """Save the model as `transformers` does, in float16, in a folder of `folder`, which is returned."""
    made = folder / "organism-audio-lm"
    end = tokenizer.convert_tokens_to_ids(END)
    network.model.generation_config = GenerationConfig(
        eos_token_id=end, pad_token_id=end, max_new_tokens=_LONGEST
    )
    save_half(network.model, made)
    tokenizer.save_pretrained(made)
    _extractor(network).save_pretrained(made)
    return made
