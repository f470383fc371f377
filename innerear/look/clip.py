"""What one model makes of one clip, as rows of numbers: lens, attention, saliency, and heads ablated."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from innerear.activations.forward import Clip, ForwardPass, Stopwatch
from innerear.analysis.lens import Unembedding, apply_lens, lens_map
from innerear.data.schema import SAMPLING_RATE
from innerear.data.text import edits, has_words
from innerear.interventions.ablation import ablated, stop_at_loop
from innerear.interventions.run import encode, encode_from_site, generate, teacher_force
from innerear.models.base import SpeechModel, Transcript
from innerear.models.capabilities import Needs
from innerear.models.decoder import decoder_of
from innerear.models.site import Site
from innerear.util.errors import InputError

BATCH = 8
"""Clips, or worlds, that run together."""
STRETCHES = 24
"""Largest number of stretches that are silenced one at a time."""
SHORTEST = 0.1
"""Shortest of these stretches, in seconds."""
BINS = 240
"""Largest number of steps of time of an attention map."""

Rows = list[dict[str, Any]]


def heard(model: SpeechModel, audio: np.ndarray, needs: Needs = "text") -> Clip:
    """A clip in a pass of its own.

    Parameters
    ----------
    audio
        float32 at `SAMPLING_RATE`.

    Raises
    ------
    InputError
        If the model lacks what is needed, cannot process the clip in one piece, or writes nothing.
    """
    if reason := model.lacks(needs) or model.unsupported_reason(len(audio)):
        raise InputError(reason)
    clip = ForwardPass(model, [audio], Stopwatch(model.device)).clip(0)
    if not clip.transcript.tokens:
        raise InputError(f"{model.identity.name} writes nothing for this clip")
    return clip


def lens_rows(model: SpeechModel, audio: np.ndarray, name: str) -> Rows:
    """What each decoder layer would write at each token, by the logit lens: rows of `lens_map`.

    Raises
    ------
    InputError
        As `heard`.
    """
    clip = heard(model, audio, "decoder")
    tokens = clip.transcript.tokens
    first = torch.arange(len(tokens)) == 0
    seen = apply_lens(clip.written.states, Unembedding(model), first.to(model.device))
    return lens_map(model, name, model.pieces(tokens), seen)


def heard_by(model: SpeechModel, heads: Sequence[str] = ()) -> list[Site]:
    """Heads of a decoder that hear the audio: these, or those published for alignment, or else all.

    Raises
    ------
    InputError
        If the model has no decoder, or one of `heads` does not hear the audio.
    """
    decoder = decoder_of(model)
    every = [site for site in model.places if site.is_head and site.stack == "decoder"]
    hearing = [site for site in every if site.part == decoder.listening_part]
    if unknown := [name for name in heads if name not in hearing]:
        form = f"decoder.LAYER.{decoder.listening_part}.head.N"
        raise InputError(f"{unknown[0]} does not hear the audio; heads that do are {form}")
    if heads:
        return [site for site in hearing if site in heads]
    known = decoder.alignment_heads
    return [site for site in hearing if (site.layer - 1, site.head) in known] or hearing


def attention_rows(model: SpeechModel, audio: np.ndarray, heads: Sequence[Site]) -> Rows:
    """Where heads attend in the audio when each token is predicted, their mean weight in each step of time.

    Parameters
    ----------
    heads
        Of `heard_by`.

    Returns
    -------
    list of dict
        `at` (index of the token), `token`, `start` and `end` (seconds), `weight` (share of the attention).

    Raises
    ------
    InputError
        As `heard`.
    """
    clip = heard(model, audio, "decoder")
    decoder = decoder_of(model)
    tokens = clip.transcript.tokens
    with torch.inference_mode():
        _, weights = decoder.attention(clip.encoded, tokens)
    layers, numbers = ([getattr(site, name) for site in heads] for name in ("layer", "head"))
    times = decoder.heard_times(len(audio))
    own = weights[torch.tensor(layers) - 1, torch.tensor(numbers)]
    mean = own[:, decoder.prefix_length - 1 :, : len(times)].mean(0).cpu().numpy()
    bins = np.array_split(np.arange(len(times)), min(BINS, len(times)))
    ends = [*(float(times[each[0]]) for each in bins[1:]), len(audio) / SAMPLING_RATE]
    return [
        {
            "at": at,
            "token": piece,
            "start": float(times[bin_[0]]),
            "end": end,
            "weight": float(row[bin_].sum()),
        }
        for at, (piece, row) in enumerate(zip(model.pieces(tokens), mean, strict=True))
        for bin_, end in zip(bins, ends, strict=True)
    ]


def saliency_rows(model: SpeechModel, audio: np.ndarray) -> Rows:
    """What each written token loses when a stretch of the audio is silenced, and the text before it stays.

    Returns
    -------
    list of dict
        `at` (index of the token), `token`, `start` and `end` (seconds), `lost` (nats of its log-probability).

    Raises
    ------
    InputError
        As `heard`.
    """
    clip = heard(model, audio, "decoder")
    tokens = clip.transcript.tokens
    count = max(1, min(STRETCHES, int(len(audio) / SAMPLING_RATE / SHORTEST)))
    edges = np.linspace(0, len(audio), count + 1).astype(int)
    stretches = list(pairwise(edges))
    with torch.inference_mode():
        whole = _log_probs(model, [audio], tokens)[0]
        lost = [
            whole - without
            for first in range(0, count, BATCH)
            for without in _log_probs(
                model, [_silenced(audio, *each) for each in stretches[first : first + BATCH]], tokens
            )
        ]
    return [
        {
            "at": at, "token": piece, "start": start / SAMPLING_RATE, "end": end / SAMPLING_RATE,
            "lost": float(values[at]),
        }
        for at, piece in enumerate(model.pieces(tokens))
        for (start, end), values in zip(stretches, lost, strict=True)
    ]  # fmt: skip


def _silenced(audio: np.ndarray, start: int, end: int) -> np.ndarray:
    rest = audio.copy()
    rest[start:end] = 0
    return rest


def _log_probs(model: SpeechModel, audio: Sequence[np.ndarray], tokens: Sequence[int]) -> list[np.ndarray]:
    """Log-probability of each token for each clip, [token], when the decoder is led along all of them."""
    worlds: list[tuple[()]] = [()] * len(audio)
    led = teacher_force(model, encode(model, audio, worlds), [tokens], worlds)
    at = torch.tensor(tokens, device=model.device)[:, None]
    return [logits.double().log_softmax(-1).gather(1, at)[:, 0].cpu().numpy() for logits in led]


def sweep_rows(model: SpeechModel, audio: np.ndarray, heads: Sequence[str] = ()) -> Rows:
    """What the model writes without each head, whose output is set to zero.

    Parameters
    ----------
    heads
        By default all of the decoder, or of the encoder where a model has none that reads the audio.

    Returns
    -------
    list of dict
        `site`, `stack`, `part`, `layer`, `head`, `text`, and `changed`: the number of words by which `text`
        differs from what the whole model writes (substituted, inserted or left out). A loop is cut.

    Raises
    ------
    InputError
        As `heard`, or if a head is not one of the model's.
    """
    clip = heard(model, audio)
    every = [site for site in model.places if site.is_head]
    if unknown := [name for name in heads if name not in every]:
        known = ", ".join(every[:3]) or "none"
        raise InputError(f"{unknown[0]} is no head of this model; there are {known}, …")
    asked = [site for site in every if site in heads]
    sites = asked or [site for site in every if site.stack == "decoder"] or every
    (before,) = generate(model, clip.encoded, [()], stop=stop_at_loop)  # cut at a loop as the others are
    return [
        {
            "site": str(site), "stack": site.stack, "part": site.part, "layer": site.layer, "head": site.head,
            "text": made.text, "changed": _changed(before.text, made.text, model.language),
        }
        for site, made in zip(sites, _without(model, clip, audio, sites), strict=True)
    ]  # fmt: skip


def _without(
    model: SpeechModel, clip: Clip, audio: np.ndarray, sites: Sequence[Site]
) -> Iterator[Transcript]:
    for first in range(0, len(sites), BATCH):
        some = sites[first : first + BATCH]
        worlds = [ablated([site]) for site in some]
        encoded = clip.encoded
        if any(site.stack == "encoder" for site in some):
            encoded = encode_from_site(model, [audio], [0] * len(worlds), worlds)
        yield from generate(model, encoded, worlds, stop=stop_at_loop)


def _changed(before: str, after: str, language: str) -> int:
    """Number of words to edit; all of the new ones where there was none before."""
    if has_words(before, language):
        return edits(before, after, language).errors
    return edits(after, before, language).errors if has_words(after, language) else 0
