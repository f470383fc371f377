"""A small Fast Conformer under two heads, trained together: token-and-duration transducer, and CTC.

While it learns, its middle layer also names the phones of its frames, whose times the synthesiser knows: what
is heard is learnt much sooner so. That head is not kept. Three hours are few: from weights as small as
`transformers` draws them, or from features that are masked at once, nothing is learnt in hundreds of steps.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import (
    ParakeetCTCConfig,
    ParakeetFeatureExtractor,
    ParakeetForCTC,
    ParakeetForTDT,
    ParakeetTDTConfig,
)

from innerear.data.phones import ARPABET
from innerear.data.schema import SAMPLING_RATE
from innerear.organisms.augment import changed, masked, phones_at
from innerear.organisms.speech import Heard
from innerear.organisms.tokens import BLANK, PAD, parakeet_tokenizer
from innerear.organisms.training import Curve, Schedule, batch_at, train
from innerear.render.shared import generator

SIZE: Mapping[str, Any] = {
    "hidden_size": 144, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 576,
    "subsampling_conv_channels": 64, "layerdrop": 0.0,
}  # fmt: skip
"""Of the encoder, which is about 3 million parameters."""
_PREDICTOR: Mapping[str, Any] = {"decoder_hidden_size": 160, "num_decoder_layers": 1}
_BATCH = 16
_PEAK, _WARM_UP = 2e-3, 300
_CTC, _PHONES = 0.5, 1.0
"""Weights of the losses beside the transducer's."""
_UNMASKED = 0.25
"""Share of the steps, the first ones, in which nothing is masked."""
_FACTOR = 8
_FRAME = 0.08
"""Seconds of a frame of the encoder: 8 of the front end's, the first of which is at the start of the clip."""
_PLACES = np.array([0.25, 0.75])
"""Where in a frame phones are named: many last less than a frame."""


class Recogniser(nn.Module):
    """The transducer, the head of CTC, and that of phones.

    `size` is of the encoder, as `ParakeetEncoderConfig` names it.
    """

    def __init__(self, tokenizer: Tokenizer, size: Mapping[str, Any] = SIZE) -> None:
        super().__init__()
        count = tokenizer.get_vocab_size()
        pad = tokenizer.get_vocab()[PAD]
        config = ParakeetTDTConfig(
            vocab_size=count + 1,
            pad_token_id=pad,
            blank_token_id=count,
            encoder_config=dict(size),
            **_PREDICTOR,
        )
        self.transducer = ParakeetForTDT(config)
        self.ctc = ParakeetForCTC(
            ParakeetCTCConfig(vocab_size=count, pad_token_id=pad, encoder_config=dict(size))
        )
        self.ctc.encoder = self.transducer.encoder
        self.phones = nn.Linear(size["hidden_size"], len(_PLACES) * (len(ARPABET) + 1))
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
                module.reset_parameters()

    def losses(self, heard: Mapping[str, Tensor], labels: Tensor, phones: Tensor) -> dict[str, Tensor]:
        """The losses of a batch.

        Parameters
        ----------
        heard
            What the front end makes of it.
        labels
            Tokens [clip, token], filled up with the padding.
        phones
            Classes [clip, frame, place], -1 behind the end.
        """
        config = self.transducer.config
        encoded = self.transducer.get_audio_features(**heard, output_hidden_states=True)
        start = torch.full_like(labels[:, :1], config.blank_token_id)
        written = self.transducer(
            encoder_outputs=encoded, decoder_input_ids=torch.cat([start, labels], 1), labels=labels
        )
        spoken = self.ctc.ctc_head(encoded.last_hidden_state).transpose(0, 1)
        pad, frames = config.pad_token_id, encoded.attention_mask.sum(1)
        ctc = nn.functional.ctc_loss(
            spoken.log_softmax(-1), labels, frames, (labels != pad).sum(1), blank=pad, zero_infinity=True
        )
        middle = encoded.hidden_states[len(encoded.hidden_states) // 2]
        named = self.phones(middle).unflatten(-1, (len(_PLACES), -1))
        known = nn.functional.cross_entropy(named.flatten(0, 2), phones.flatten(), ignore_index=-1)
        return {"transducer": written.loss, "ctc": _CTC * ctc, "phones": _PHONES * known}


def fit(
    clips: Sequence[Heard],
    unseen: Sequence[Heard],
    tokenizer: Tokenizer,
    seed: int,
    steps: int,
    folder: Path,
    size: Mapping[str, Any] = SIZE,
) -> tuple[Recogniser, Curve]:
    """Train on the clips, from the last checkpoint in `folder` on; errors as `train`.

    `unseen` are heard at checkpoints only: the curve has the word error rate of the head of CTC on them.
    """
    torch.manual_seed(seed)
    network = Recogniser(tokenizer, size)
    extractor = ParakeetFeatureExtractor()
    lengths = [clip.samples for clip in clips]
    tokens = [torch.tensor(tokenizer.encode(clip.text).ids) for clip in clips]

    def losses_at(step: int) -> dict[str, Tensor]:
        epoch, chosen = batch_at(step, lengths, _BATCH, seed)
        draws = [generator(seed, clips[at].id, epoch) for at in chosen]
        made = [changed(clips[at].audio(), draw) for at, draw in zip(chosen, draws, strict=True)]
        heard = extractor([each.audio for each in made], sampling_rate=SAMPLING_RATE)
        frames = heard["attention_mask"].sum(1).tolist()
        if step >= _UNMASKED * steps:
            heard["input_features"] = masked(heard["input_features"], frames, draws[0])
        count = -(-heard["input_features"].shape[1] // _FACTOR)
        phones = torch.full((len(chosen), count, len(_PLACES)), -1)
        for row, at, each, length in zip(phones, chosen, made, frames, strict=True):
            own = -(-length // _FACTOR)
            times = (np.arange(own)[:, None] + _PLACES - 0.5).ravel() * _FRAME / each.stretch
            row[:own] = phones_at(clips[at].phones, times).view(own, -1)
        labels = nn.utils.rnn.pad_sequence([tokens[at] for at in chosen], True, tokenizer.get_vocab()[PAD])
        return network.losses(dict(heard), labels, phones)

    def measure() -> dict[str, float]:
        spelling = parakeet_tokenizer(tokenizer, transducer=False)
        written = []
        for clip in unseen:
            heard = extractor([clip.audio()], sampling_rate=SAMPLING_RATE)
            written.append(spelling.decode(network.ctc.generate(**heard)[0], skip_special_tokens=True))
        return {"wer": jiwer.wer([clip.text for clip in unseen], written)} if unseen else {}

    known = sha256(tokenizer.to_str().encode())
    for clip in clips:
        known.update(clip.encoded)
    schedule = Schedule(seed, steps, _PEAK, min(_WARM_UP, max(1, steps // 5)))
    curve = train(network, losses_at, schedule, folder, "conformer", known.hexdigest(), measure)
    return network, curve


def export(network: Recogniser, tokenizer: Tokenizer, folder: Path) -> dict[str, Path]:
    """Save both recognisers as `transformers` does, as float16, in folders of `folder`."""
    made = {}
    for name, own, transducer in (("tdt", network.transducer, True), ("ctc", network.ctc, False)):
        made[name] = folder / f"organism-{name}"
        tokens = parakeet_tokenizer(tokenizer, transducer=transducer)
        if transducer:
            blank = tokens.convert_tokens_to_ids(BLANK)
            own.generation_config.decoder_start_token_id = blank
            beyond = range(own.config.vocab_size, own.config.vocab_size + len(own.config.durations))
            own.generation_config.suppress_tokens = list(beyond)
        save_half(own, made[name])
        tokens.save_pretrained(made[name])
        ParakeetFeatureExtractor().save_pretrained(made[name])
    return made


def save_half(network: Any, folder: Path) -> None:
    """Save a network with its weights as float16."""
    weights = {
        key: value.half() if value.is_floating_point() else value
        for key, value in network.state_dict().items()
    }
    network.save_pretrained(folder, state_dict=weights)
