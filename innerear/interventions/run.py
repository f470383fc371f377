"""Run many worlds at once: the encoder, the decoder led over tokens, and greedy decoding.

The encoder output of a clip is computed once and shared by all rows; finished rows leave the batch.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from innerear.interventions.spec import Intervention, Tensors, World, Worlds
from innerear.models.base import SpeechModel, Transcript
from innerear.models.encoder_decoder import EncoderDecoder
from innerear.models.site import Site
from innerear.util.errors import InputError

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


def encode_from_site(
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
    whole = decoder_of(model)
    Worlds(model, worlds, tensors)  # refused before anything runs
    patched = {
        each.site
        for world in worlds
        for each in world
        if each.row is not None and each.site.stack == "encoder"
    }
    with torch.inference_mode():
        sites = dict.fromkeys((*model.encoder_sites, *sorted(patched)))
        with model.reading(list(sites)) as clean:
            last = model.encode(audio)
        settled, states_of = _settled(worlds, clip, clean)
        made = Worlds(model, settled, {**(tensors or {}), **states_of})
        encoded = last[list(clip)].clone()
        starts = [_start(settled, number) for number in range(len(worlds))]
        for start in sorted({at for at in starts if at is not None}):
            group = [number for number, at in enumerate(starts) if at == start]
            donors = {each.row for number in group for each in settled[number] if each.row is not None}
            rows = [*group, *sorted(donors - set(group))]
            site = Site("encoder", start)
            states = clean[site][[clip[row] for row in rows]]
            if start:  # the block before, at whose end this site is, does not run
                states = made.write_at(site, states, rows)
            if start == model.encoder_layers:
                encoded[group] = model.encoder_norm(states)[: len(group)]
                continue
            done = site if start else None
            with made.written("encoder", rows, done=done), whole.resumed(start, states):
                found = model.encode(audio[:1])  # what is before the blocks is not used
            encoded[group] = found[: len(group)]
    made.check("encoder")
    return encoded


def _settled(
    worlds: Sequence[World], clip: Sequence[int], clean: Mapping[Site, Tensor]
) -> tuple[list[World], dict[str, Tensor]]:
    """Worlds whose patches from rows that the encoder leaves alone name the states: such rows run once."""
    still = {
        row for row, world in enumerate(worlds) if not any(each.site.stack == "encoder" for each in world)
    }
    states: dict[str, Tensor] = {}

    def settle(number: int, count: int, each: Intervention) -> Intervention:
        if each.row not in still or each.site.stack != "encoder":
            return each
        name = f"row {each.row} for {number}.{count}"
        taken = each.source_positions or each.positions
        own = clean[each.site][clip[each.row]]
        states[name] = own if taken is None else own[list(taken)]
        return Intervention(
            site=each.site, kind="set", source=name, positions=each.positions, alpha=each.alpha
        )

    settled = [
        tuple(settle(number, count, each) for count, each in enumerate(world))
        for number, world in enumerate(worlds)
    ]
    return settled, states


def _start(worlds: Sequence[World], number: int) -> int | None:
    """The residual site that a world can begin from; None where it writes at no encoder site.

    A row that others patch from must begin where they do at the latest.
    """
    world = worlds[number]
    encoder = [each for each in world if each.site.stack == "encoder"]
    starts = [_begins(each.site) for each in encoder]
    donors = [each.row for each in encoder if each.row is not None]
    starts += [at for row in donors if (at := _start(worlds, row)) is not None]
    return min(starts, default=None)


def _begins(site: Site) -> int:
    """`encoder.l` can be written on the states themselves; a part of block l needs those before it."""
    return site.layer if site.is_residual else site.layer - 1


def teacher_force(
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


def predict(
    model: SpeechModel,
    encoded: Tensor,
    tokens: Sequence[int],
    worlds: Sequence[World],
    tensors: Tensors | None = None,
) -> Tensor:
    """Logits [row, vocabulary] of what follows tokens in each world; the vocabulary is read out there alone.

    Parameters
    ----------
    encoded
        As `teacher_force`.
    tokens
        What all rows are led over; there may be none.

    Raises
    ------
    InputError, InnerearError
        As `teacher_force`.
    """
    decoder, made = decoder_of(model), Worlds(model, worlds, tensors)
    rows = torch.tensor([[*decoder.prefix, *tokens]] * len(worlds), device=model.device)
    with decoder.decoding(encoded) as decoding, made.written("decoder", range(len(worlds))):
        logits = decoding.step(rows, last=True)[:, -1]
    made.check("decoder")
    return logits


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
        As `teacher_force`.
    most
        Tokens at the most.
    stop
        Ends a row when it holds; the transcript then has not ended.

    Raises
    ------
    InputError, InnerearError
        As `teacher_force`.
    """
    decoder, made = decoder_of(model), Worlds(model, worlds, tensors)
    limit = decoder.max_tokens if most is None else min(most, decoder.max_tokens)
    barred = [model.suppressed_tokens(first) for first in (False, True)]
    written: list[list[int]] = [[] for _ in worlds]
    log_probs: list[list[float]] = [[] for _ in worlds]
    ends: dict[int, int] = {}
    alive = list(range(len(worlds)))
    with decoder.decoding(encoded) as decoding:
        given = torch.tensor([decoder.prefix] * len(worlds), device=model.device)
        while True:
            with made.written("decoder", alive, decoding.length):
                logits = decoding.step(given, last=True)[:, -1]
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
        if each.row is not None and each.site.stack == "decoder"
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
