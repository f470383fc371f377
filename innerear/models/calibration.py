"""How fast this device is, from a network of Whisper base's size with random weights, timed for seconds."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time
from typing import Any

import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from innerear.models.devices import placed, usable_device, usable_dtype

WINDOW = 30.0
"""Seconds of audio that the network hears at once, as every Whisper does, however short a clip is."""
_STEPS, _TIMES = 8, 3


@dataclass(frozen=True)
class Calibration:
    """Seconds of a network of `parameters`: for a window of audio, and for a token that is written."""

    parameters: int
    window_s: float
    token_s: float


def calibrate(device: str, dtype: str, batch: int) -> Calibration:
    """Time the encoder on `batch` windows at once, and steps of the decoder.

    Raises
    ------
    InputError
        If this machine has no such device, or it cannot compute in this type.
    """
    numbers, place = usable_dtype(dtype, device), usable_device(device)
    config = WhisperConfig(
        d_model=512,
        encoder_layers=6,
        decoder_layers=6,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_ffn_dim=2048,
    )
    made: Any = WhisperForConditionalGeneration(config)
    network = placed(made.to(numbers).eval(), device)
    heard = torch.zeros(batch, config.num_mel_bins, 2 * config.max_source_positions, device=place).to(numbers)
    token = torch.zeros(batch, 1, dtype=torch.long, device=place)

    def write(states: BaseModelOutput) -> None:
        kept = None
        for _ in range(_STEPS):
            step = network(
                encoder_outputs=states, decoder_input_ids=token, past_key_values=kept, use_cache=True
            )
            kept = step.past_key_values

    with torch.inference_mode():
        encoder = network.get_encoder()
        window = _seconds(lambda: encoder(heard), place)
        states = encoder(heard)
        written = _seconds(lambda: write(states), place)
    parameters = sum(each.numel() for each in network.parameters())
    return Calibration(parameters, window / batch, written / _STEPS / batch)


def _seconds(do: Callable[[], object], place: torch.device) -> float:
    """Seconds of a call, the median of a few after one that warms up.

    On a CPU those of the processor, shared out to the threads: other processes do not count.
    """
    alone = place.type == "cpu"
    clock, share = (process_time, torch.get_num_threads()) if alone else (perf_counter, 1)
    taken = []
    for _ in range(_TIMES + 1):
        started = clock()
        do()
        if place.type == "cuda":
            torch.cuda.synchronize(place)
        taken.append((clock() - started) / share)
    return median(taken[1:])
