"""Run many worlds in one batch: the encoder, the teacher-forced decoder, and greedy decoding.

The encoder output of a clip is computed once and shared by all rows; finished rows leave the batch.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from innerear.interventions.spec import Intervention, Tensors, World, Worlds
from innerear.models.base import SpeechModel, Transcript
from innerear.models.decoder import decoder_of
from innerear.models.emitting import Stop, emitting
from innerear.models.site import Site
from innerear.util.errors import InputError


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
    batch = Worlds(model, worlds, tensors)
    clips = list(audio) * (len(worlds) if len(audio) == 1 else 1)
    with torch.inference_mode(), batch.applied("encoder", range(len(worlds))):
        encoded = model.encode(clips)
    batch.check("encoder")
    return encoded


def encode_from_site(
    model: SpeechModel,
    audio: Sequence[np.ndarray],
    clip: Sequence[int],
    worlds: Sequence[World],
    tensors: Tensors | None = None,
) -> Tensor:
    """As `encode`, but each world starts at the block of its first intervention, from clean states.

    Parameters
    ----------
    audio
        Clips of one input shape.
    clip
        Index of the clip of each world.

    Raises
    ------
    InputError, InnerearError
        As `encode`.
    """
    Worlds(model, worlds, tensors)  # refuses bad worlds before anything runs
    if not model.family.independent or model.adapted:
        return encode(model, [audio[at] for at in clip], worlds, tensors)
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
        settled, clean_states = _without_clean_donors(worlds, clip, clean)
        batch = Worlds(model, settled, {**(tensors or {}), **clean_states})
        encoded = last[list(clip)].clone()
        starts = [_start_layer(settled, number) for number in range(len(worlds))]
        for start in sorted({at for at in starts if at is not None}):
            group = [number for number, at in enumerate(starts) if at == start]
            donors = {each.row for number in group for each in settled[number] if each.row is not None}
            rows = [*group, *sorted(donors - set(group))]
            site = Site("encoder", start)
            states = clean[site][[clip[row] for row in rows]]
            if start:  # the block that ends at this site does not run
                states = batch.write_at(site, states, rows)
            if start == model.encoder_layers:
                output = model.encoder_output(states, len(audio[0]))[: len(group), : encoded.shape[1]]
                encoded[group, : output.shape[1]] = output  # an upsampled odd frame at the end is padding
                continue
            skip = site if start else None
            with batch.applied("encoder", rows, skip=skip), model.encoder_starting_at(start, states):
                output = model.encode(audio[:1])  # the audio only feeds layers that are skipped
            encoded[group] = output[: len(group)]
    batch.check("encoder")
    return encoded


def _without_clean_donors(
    worlds: Sequence[World], clip: Sequence[int], clean: Mapping[Site, Tensor]
) -> tuple[list[World], dict[str, Tensor]]:
    """Worlds with patches from rows without encoder interventions replaced by `set`, and the tensors to set.

    The states of such rows are those of the clean run, so they need not run again.
    """
    clean_rows = {
        row for row, world in enumerate(worlds) if not any(each.site.stack == "encoder" for each in world)
    }
    states: dict[str, Tensor] = {}

    def settle(number: int, count: int, each: Intervention) -> Intervention:
        if each.row not in clean_rows or each.site.stack != "encoder":
            return each
        name = f"row {each.row} for {number}.{count}"
        positions = each.source_positions or each.positions
        donor = clean[each.site][clip[each.row]]
        states[name] = donor if positions is None else donor[list(positions)]
        return Intervention(
            site=each.site, kind="set", source=name, positions=each.positions, alpha=each.alpha
        )

    settled = [
        tuple(settle(number, count, each) for count, each in enumerate(world))
        for number, world in enumerate(worlds)
    ]
    return settled, states


def _start_layer(worlds: Sequence[World], number: int) -> int | None:
    """Layer of the residual stream from which a world can start; None if it has no encoder intervention.

    It starts no later than the rows that it patches from.
    """
    world = worlds[number]
    encoder = [each for each in world if each.site.stack == "encoder"]
    starts = [_starts_at(each.site) for each in encoder]
    donors = [each.row for each in encoder if each.row is not None]
    starts += [at for row in donors if (at := _start_layer(worlds, row)) is not None]
    return min(starts, default=None)


def _starts_at(site: Site) -> int:
    """A write at `encoder.l` can start from that state itself, a write inside block l from `encoder.l-1`."""
    return site.layer if site.is_residual else site.layer - 1


def teacher_force(
    model: SpeechModel,
    encoded: Tensor,
    tokens: Sequence[Sequence[int]],
    worlds: Sequence[World],
    tensors: Tensors | None = None,
    *,
    blind: bool = False,
) -> list[Tensor]:
    """Teacher-force the decoder in each world.

    Parameters
    ----------
    encoded
        Encoder output of one clip for all rows, [1, frame, dim], or of each, [row, frame, dim].
    tokens
        Forced tokens of each row, or one sequence for all rows.
    blind
        Hide the earlier text: each token attends to the prefix and itself alone (attention knockout, Geva et
        al. 2023), so that the next one is predicted from the audio and the token before it.

    Returns
    -------
    list of Tensor
        For each row logits [token, vocabulary]: those at t predict token t.

    Raises
    ------
    InputError, InnerearError
        As `encode`, for decoder sites.
    """
    decoder, batch, forced = decoder_of(model), Worlds(model, worlds, tensors), list(tokens)
    forced *= len(worlds) if len(forced) == 1 else 1
    longest = max(map(len, forced))
    prefix = list(decoder.prefix)
    rows = [[*prefix, *each[:-1], *[decoder.end_of_text] * (longest - len(each))] for each in forced]
    given = torch.tensor(rows, device=model.device)
    with decoder.decoding(encoded) as decoding, batch.applied("decoder", range(len(worlds))):
        logits = decoding.step(given, sees=_without_text(given, len(prefix)) if blind else None)
    batch.check("decoder")
    first = len(prefix) - 1
    return [row[first : first + len(each)] for row, each in zip(logits, forced, strict=True)]


def _without_text(given: Tensor, prefix: int) -> Tensor:
    """Which of the tokens [row, token] each attends to, [token, token]: itself and those of the prefix."""
    at = torch.arange(given.shape[1], device=given.device)
    return (at[:, None] == at) | ((at < prefix) & (at <= at[:, None]))


def predict(
    model: SpeechModel,
    encoded: Tensor,
    tokens: Sequence[int],
    worlds: Sequence[World],
    tensors: Tensors | None = None,
) -> Tensor:
    """Logits [row, vocabulary] of the token after `tokens` in each world; only that position is unembedded.

    Parameters
    ----------
    encoded
        As `teacher_force`.
    tokens
        Forced tokens of all rows; may be empty.

    Raises
    ------
    InputError, InnerearError
        As `teacher_force`.
    """
    decoder, batch = decoder_of(model), Worlds(model, worlds, tensors)
    rows = torch.tensor([[*decoder.prefix, *tokens]] * len(worlds), device=model.device)
    with decoder.decoding(encoded) as decoding, batch.applied("decoder", range(len(worlds))):
        logits = decoding.step(rows, last=True)[:, -1]
    batch.check("decoder")
    return logits


def generate(
    model: SpeechModel,
    encoded: Tensor,
    worlds: Sequence[World],
    tensors: Tensors | None = None,
    *,
    max_tokens: int | None = None,
    stop: Stop | None = None,
) -> list[Transcript]:
    """Decode every world greedily, as `SpeechModel.greedy_decode` does.

    Parameters
    ----------
    encoded
        As `teacher_force`. A model that emits along the audio has no worlds but those of its encoder, which
        are in here, and those of a transducer's predictor and joint.
    max_tokens
        Maximum number of tokens written; None, or a larger number, is the model's own limit.
    stop
        Stops a row early; its transcript then counts as not ended.

    Raises
    ------
    InputError, InnerearError
        As `teacher_force`.
    """
    batch = Worlds(model, worlds, tensors)
    if model.blank is not None:
        rows = encoded if len(encoded) == len(worlds) else encoded.expand(len(worlds), -1, -1)
        transcripts = emitting(model).emit(rows, max_tokens, batch.applied, stop)
        batch.check("predictor")
        batch.check("joint")
        return transcripts
    decoder = decoder_of(model)
    limit = decoder.max_tokens if max_tokens is None else min(max_tokens, decoder.max_tokens)
    suppressed = [decoder.suppressed_tokens(first) for first in (False, True)]
    written: list[list[int]] = [[] for _ in worlds]
    log_probs: list[list[float]] = [[] for _ in worlds]
    ends: dict[int, int] = {}
    alive = list(range(len(worlds)))
    with decoder.decoding(encoded) as decoding:
        given = torch.tensor([decoder.prefix] * len(worlds), device=model.device)
        while True:
            with batch.applied("decoder", alive, decoding.length):
                logits = decoding.step(given, last=True)[:, -1]
            scores = logits.index_fill(1, suppressed[not written[alive[0]]], -torch.inf)
            best = scores.argmax(dim=-1)
            probs = logits.log_softmax(dim=-1).gather(-1, best[:, None])[:, 0]
            for number, token, value in zip(alive, best.tolist(), probs.tolist(), strict=True):
                written[number].append(token)
                log_probs[number].append(value)
                over = token in decoder.generation.ends or len(written[number]) >= limit
                if over or (stop is not None and stop(written[number])):
                    ends.setdefault(number, len(written[number]))  # a donor row runs on after its end
            if len(ends) == len(worlds):
                break
            needed = _with_donors(batch, set(alive) - set(ends))
            stay = [at for at, number in enumerate(alive) if number in needed]
            if len(stay) < len(alive):
                kept = torch.tensor(stay, device=model.device)
                decoding.keep(kept)
                best = best[kept]
                alive = [alive[at] for at in stay]
            given = best[:, None]
    batch.check("decoder")
    return [
        decoder.transcript(written[number][: ends[number]], log_probs[number][: ends[number]])
        for number in range(len(worlds))
    ]


def _with_donors(batch: Worlds, unfinished: set[int]) -> set[int]:
    """Unfinished rows, and the rows that they patch from."""
    return unfinished | {
        each.row
        for number in unfinished
        for each in batch.worlds[number]
        if each.row is not None and each.site.stack == "decoder"
    }
