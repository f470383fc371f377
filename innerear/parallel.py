"""Run many worlds at once: the encoder, the decoder led over tokens, and greedy decoding.

The encoder output of a clip is computed once and shared by all rows; finished rows leave the batch.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from innerear.errors import InputError
from innerear.intervene import Tensors, World, Worlds
from innerear.models.base import SpeechModel, Transcript
from innerear.models.encoder_decoder import EncoderDecoder

Stop = Callable[[list[int]], bool]
"""Whether the answer is decided by the tokens that a row has written."""


def encode(
    model: SpeechModel, audio: Sequence[np.ndarray], worlds: Sequence[World], tensors: Tensors | None = None
) -> Tensor:
    """Encoder output of worlds, [row, frame, dim].

    Parameters
    ----------
    audio
        The clip of each row, or one clip for all; clips of one input shape.

    Raises
    ------
    InputError
        As `Worlds`, or if there is neither one clip nor one for each row.
    InnerearError
        If an intervention at an encoder site never acted.
    """
    if len(audio) not in (1, len(worlds)):
        raise InputError(f"{len(worlds)} worlds need one clip, or one each; there are {len(audio)}")
    made = Worlds(model, worlds, tensors)
    clips = list(audio) * (len(worlds) if len(audio) == 1 else 1)
    with torch.inference_mode(), made.written("encoder", range(len(worlds))):
        encoded = model.encode(clips)
    made.check("encoder")
    return encoded


def resume(
    model: SpeechModel,
    audio: Sequence[np.ndarray],
    clip: Sequence[int],
    worlds: Sequence[World],
    tensors: Tensors | None = None,
) -> Tensor:
    """As `encode`, but each world begins at the block of its first intervention, from its clip's own states.

    Parameters
    ----------
    audio
        Clips of one input shape.
    clip
        Which of them each world hears.

    Raises
    ------
    InputError, InnerearError
        As `encode`.
    """
    whole, made = decoder_of(model), Worlds(model, worlds, tensors)
    with torch.inference_mode():
        with model.reading(model.encoder_sites) as clean:
            last = model.encode(audio)
        encoded = last[list(clip)].clone()
        starts = [_start(made, number) for number in range(len(worlds))]
        for start in sorted({at for at in starts if at is not None}):
            group = [number for number, at in enumerate(starts) if at == start]
            donors = {each.row for number in group for each in worlds[number] if each.row is not None}
            rows = [*group, *sorted(donors - set(group))]
            states = clean[f"encoder.{start}"][[clip[row] for row in rows]]
            with made.written("encoder", rows), whole.resumed(start, states):
                found = model.encode([audio[clip[row]] for row in rows])
            encoded[group] = found[: len(group)]
    made.check("encoder")
    return encoded


def _start(made: Worlds, number: int) -> int | None:
    """The block that a world must begin with; None where it writes at no encoder site, and no donor does."""
    world = made.worlds[number]
    layers = [max(0, int(each.site.split(".")[1]) - 1) for each in world if each.stack == "encoder"]
    layers += [
        at
        for each in world
        if each.row is not None and each.stack == "encoder" and (at := _start(made, each.row)) is not None
    ]
    return min(layers, default=None)


def follow(
    model: SpeechModel,
    encoded: Tensor,
    tokens: Sequence[Sequence[int]],
    worlds: Sequence[World],
    tensors: Tensors | None = None,
) -> list[Tensor]:
    """Lead the decoder of each world over tokens.

    Parameters
    ----------
    encoded
        Encoder output of one clip for all rows, [1, frame, dim], or of each, [row, frame, dim].
    tokens
        What each row is led over, or one sequence for all.

    Returns
    -------
    list of Tensor
        Logits [token, vocabulary] of each row: what predicts each of its tokens.

    Raises
    ------
    InputError, InnerearError
        As `encode`, for decoder sites.
    """
    decoder, made, given = decoder_of(model), Worlds(model, worlds, tensors), list(tokens)
    given *= len(worlds) if len(given) == 1 else 1
    longest = max(map(len, given))
    prefix = list(decoder.prefix)
    rows = [[*prefix, *each[:-1], *[decoder.end_of_text] * (longest - len(each))] for each in given]
    with decoder.decoding(encoded) as decoding, made.written("decoder", range(len(worlds))):
        logits = decoding.step(torch.tensor(rows, device=model.device))
    made.check("decoder")
    first = len(prefix) - 1
    return [row[first : first + len(each)] for row, each in zip(logits, given, strict=True)]


def generate(
    model: SpeechModel,
    encoded: Tensor,
    worlds: Sequence[World],
    tensors: Tensors | None = None,
    *,
    most: int | None = None,
    stop: Stop | None = None,
) -> list[Transcript]:
    """Decode every world greedily, as `SpeechModel.write` does.

    Parameters
    ----------
    encoded
        As `follow`.
    most
        Tokens at the most.
    stop
        Ends a row when it holds; the transcript then has not ended.

    Raises
    ------
    InputError, InnerearError
        As `follow`.
    """
    decoder, made = decoder_of(model), Worlds(model, worlds, tensors)
    limit = decoder.most_tokens if most is None else min(most, decoder.most_tokens)
    barred = [model.forbidden(first) for first in (False, True)]
    written: list[list[int]] = [[] for _ in worlds]
    log_probs: list[list[float]] = [[] for _ in worlds]
    ends: dict[int, int] = {}
    alive = list(range(len(worlds)))
    with decoder.decoding(encoded) as decoding:
        given = torch.tensor([decoder.prefix] * len(worlds), device=model.device)
        while True:
            with made.written("decoder", alive, decoding.length):
                logits = decoding.step(given)[:, -1]
            scores = logits.index_fill(1, barred[not written[alive[0]]], -torch.inf)
            best = scores.argmax(dim=-1)
            probs = logits.log_softmax(dim=-1).gather(-1, best[:, None])[:, 0]
            for number, token, value in zip(alive, best.tolist(), probs.tolist(), strict=True):
                written[number].append(token)
                log_probs[number].append(value)
                over = token == decoder.end_of_text or len(written[number]) >= limit
                if over or (stop is not None and stop(written[number])):
                    ends.setdefault(number, len(written[number]))  # a source of others goes on after its end
            if len(ends) == len(worlds):
                break
            needed = _needed(made, set(alive) - set(ends))
            stay = [at for at, number in enumerate(alive) if number in needed]
            if len(stay) < len(alive):
                kept = torch.tensor(stay, device=model.device)
                decoding.keep(kept)
                best = best[kept]
                alive = [alive[at] for at in stay]
            given = best[:, None]
    made.check("decoder")
    return [
        decoder.transcript(written[number][: ends[number]], log_probs[number][: ends[number]])
        for number in range(len(worlds))
    ]


def _needed(made: Worlds, open_rows: set[int]) -> set[int]:
    """Rows that are not done, and those that they patch from."""
    return open_rows | {
        each.row
        for number in open_rows
        for each in made.worlds[number]
        if each.row is not None and each.stack == "decoder"
    }


def decoder_of(model: SpeechModel) -> EncoderDecoder:
    """The model as one with a decoder.

    Raises
    ------
    InputError
        If it has none.
    """
    if not isinstance(model, EncoderDecoder):
        raise InputError(f"{model.identity.name} has no decoder")
    return model
