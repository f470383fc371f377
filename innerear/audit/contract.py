"""What every model keeps, tried on one: without a hook it is `transformers`' own, and hooks do what they say.

`innerear models check` runs the checks on real weights, and the tests on a tiny model of each architecture.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from innerear.activations.forward import ForwardPass, Stopwatch
from innerear.data.schema import SAMPLING_RATE
from innerear.interventions.ablation import ablated
from innerear.interventions.run import encode, encode_from_site, generate, teacher_force
from innerear.interventions.spec import Intervention
from innerear.models.bare import Bare
from innerear.models.base import SpeechModel
from innerear.models.decoder import decoder_of
from innerear.models.emitting import emitting
from innerear.models.site import Site
from innerear.runs.failures import FAILURES

TOLERANCE = 1e-4
"""Largest difference, as a share of the largest value: sums in float32 may be taken in another order."""
LONG = 8.0
"""Length in seconds of the clip in which frames are looked for."""
IMPULSES = (0.5, 3.0, 7.5)
"""Seconds at which it has an impulse: at both ends, so that frame times neither drift nor shift."""
SHORTER = 320
"""Samples that are left out where the last frame is to be masked, or one of a pair: whole hops are left."""
SAMPLES = 1280
"""The length of a clip is a multiple of it, and `SHORTER`."""
_TEXT = [7, 9, 11]
"""Tokens that a decoder is led through."""


@dataclass(frozen=True)
class Subject:
    """A model, and what it is tried on.

    Attributes
    ----------
    clips
        Three clips of one length of 1 to 10 s, float32 at `SAMPLING_RATE`; see `SAMPLES`.
    bare
        Loads what `transformers` alone writes; gives None where that is not known.
    blur
        Frames by which the strongest effect of an impulse on `encoder.0` may miss its time.
    """

    model: SpeechModel
    clips: Sequence[np.ndarray]
    bare: Callable[[], Bare | None]
    blur: int = 1


@dataclass(frozen=True)
class Outcome:
    """What a check found.

    Attributes
    ----------
    held
        None where the check does not apply, for a reason.
    difference
        The largest difference that was seen, in what the check counts.
    """

    held: bool | None
    difference: float | None = None
    reason: str = ""

    @classmethod
    def within(cls, differences: Sequence[float], most: float, what: str) -> "Outcome":
        """Whether the largest of some differences is at most `most`."""
        largest = float(np.max(differences))
        held = largest <= most  # NaN is not
        return cls(held, largest, "" if held else f"{what} differ by more than {most:g}")


def same_text(subject: Subject) -> Outcome:
    """With no hook, it writes what `transformers` alone writes, token for token; counts differing tokens."""
    model = subject.model
    if not model.writes:
        return Outcome(None, reason=f"{model.identity.name} has no text head")
    try:
        bare = subject.bare()
    except (OSError, ValueError, AttributeError, ImportError) as error:  # of `transformers`
        why = " ".join(str(error).split())[:200]
        return Outcome(None, reason=f"transformers alone does not load the folder: {why}")
    if bare is None:
        return Outcome(None, reason=f"how transformers alone uses {model.identity.family} is not known here")
    ends = decoder_of(model).generation.ends if model.decoder_layers else ()
    differing = 0
    for audio in subject.clips[:2]:
        (written,) = model.transcribe([audio])
        own, expected = list(written.tokens), list(bare(audio))
        if model.decoder_layers:
            if written.ended and own[-1] not in ends:
                return Outcome(False, reason="an output that ended has no end-of-text")
            own, expected = _unended(own, ends), _unended(expected, ends)
            if not written.ended:  # the limits on length may differ
                own, expected = (each[: min(len(own), len(expected))] for each in (own, expected))
        else:  # frames that the front end masks are not written
            expected = expected[: len(own)]
        if not own:
            return Outcome(False, reason="nothing was written, so there is nothing to compare")
        differing += sum(a != b for a, b in zip(own, expected, strict=False)) + abs(len(own) - len(expected))
    return Outcome.within([differing], 0, "tokens")


def sites_in_order(subject: Subject) -> Outcome:
    """Residual sites are complete and fire in order, blocks have equal components, all states are finite."""
    model, order = subject.model, list[Site]()
    clip = subject.clips[0]

    def note(site: Site) -> Callable[[Tensor], None]:
        return lambda _: order.append(site)

    with torch.inference_mode(), model.hooks({site: note(site) for site in model.encoder_sites}):
        model.encode([clip])
    if order != list(model.encoder_sites):
        return Outcome(False, reason=f"sites of the encoder fired in the order {', '.join(order)}")
    for stack, layers in (("encoder", model.encoder_layers), ("decoder", model.decoder_layers)):
        own = {site for site in model.places if site.stack == stack}
        residual = {site.layer for site in own if site.is_residual}
        if residual != set(range(layers + 1 if layers else 0)):
            return Outcome(False, reason=f"the {stack} has {layers} layers and sites at {sorted(residual)}")
        parts = [{(site.part, site.head) for site in own if site.layer == at} for at in range(1, layers + 1)]
        if any(each != parts[0] or not {"self_attn", "mlp"} <= {part for part, _ in each} for each in parts):
            return Outcome(False, reason=f"the blocks of the {stack} do not all have the same components")
    states = model.states([clip], [site for site in model.places if site.stack == "encoder"])
    for site, values in states.items():
        if len(values) != 1 or values.shape[1] < model.clock.count(len(clip)):
            return Outcome(False, reason=f"{site} has states of shape {list(values.shape)}")
        if not torch.isfinite(values).all():
            return Outcome(False, reason=f"{site} has states that are not finite")
    return Outcome(True)


def impulses_move_their_frames(subject: Subject) -> Outcome:
    """An impulse in the audio moves the frame at its time; counts frames."""
    model, misses = subject.model, []
    noise = _noise(LONG)
    count = model.clock.count(len(noise))
    for at in IMPULSES:
        # normalising the clip would change all of it: the impulse is in both, upwards and downwards
        clips = [noise.copy(), noise.copy()]
        clips[0][int(at * SAMPLING_RATE)] -= 5.0
        clips[1][int(at * SAMPLING_RATE)] += 5.0
        if "samples" not in model.family.front_end:  # a spectrum does not see which way it goes
            clips = [0.01 * noise, 0.01 * noise]
            clips[1][int(at * SAMPLING_RATE)] += 5.0
        down, up = (model.states([clip], ["encoder.0"])["encoder.0"][0, :count] for clip in clips)
        nearest = int(model.clock.nearest(np.array([at]), len(noise))[0])
        misses.append(abs(int((up - down).norm(dim=-1).argmax()) - nearest))
    times = model.clock.times(len(noise))
    if not (-0.08 < times[0] < 0.1 and LONG - 0.2 < times[-1] <= LONG):
        return Outcome(False, reason=f"the frames of {LONG:g} s are at {times[0]:.3f} to {times[-1]:.3f} s")
    return Outcome.within(misses, subject.blur, "frames and times")


def neighbours_change_nothing(subject: Subject) -> Outcome:
    """States and encoder output of a clip are the same alone and in a batch."""
    model, differences = subject.model, []
    together = model.states(subject.clips, model.encoder_sites)
    with torch.inference_mode():
        encoded = model.encode(subject.clips)
        for row, audio in enumerate(subject.clips):
            alone = model.states([audio], model.encoder_sites)
            differences += [difference(together[at][row], alone[at][0]) for at in model.encoder_sites]
            differences.append(difference(encoded[row], model.encode([audio])[0]))
    return Outcome.within(differences, TOLERANCE, "states alone and in a batch")


def starting_at_a_site_changes_nothing(subject: Subject) -> Outcome:
    """An encoder that starts at a patched site gives what the whole encoder gives, at each depth."""
    model, audio = subject.model, subject.clips[0][:-SHORTER]
    like = model.states([audio], ["encoder.0"])["encoder.0"][0]
    drawn = torch.randn(like.shape, generator=torch.Generator().manual_seed(0)).to(like.device)
    layers = (0, 1, model.encoder_layers)
    worlds = [(Intervention(site=Site("encoder", at), kind="set", source="other"),) for at in layers]
    fast = encode_from_site(model, [audio], [0] * len(worlds), worlds, {"other": drawn})
    whole = encode(model, [audio], worlds, {"other": drawn})
    return Outcome.within([difference(fast, whole)], TOLERANCE, "outputs of a part and of the whole")


def last_layer_is_the_output(subject: Subject) -> Outcome:
    """What a lens hands on for the last encoder layer is the encoder's output."""
    model, differences = subject.model, []
    if reason := model.lacks("lens"):
        return Outcome(None, reason=reason)
    for audio in (subject.clips[0], subject.clips[0][:-SHORTER]):
        heard = ForwardPass(model, [audio], Stopwatch(model.device)).clip(0)
        with torch.inference_mode():
            output = model.encoder_output(heard.padded_states[-1:], heard.samples)
        if heard.encoded.shape[1] - output.shape[1] > 1:  # of an upsampled pair
            return Outcome(False, reason="frames are missing")
        differences.append(difference(output, heard.encoded[:, : output.shape[1]]))
    return Outcome.within(differences, TOLERANCE, "the last layer and the output")


def lens_at_the_last_layer_is_the_output(subject: Subject) -> Outcome:
    """The lens at the last layer gives the logits; where tokens are emitted, what is written."""
    model, audio = subject.model, subject.clips[0]
    if reason := model.lacks("predictions"):
        return Outcome(None, reason=reason)
    if model.decoder_layers:
        decoder, last = decoder_of(model), model.decoder_sites[-1]
        with torch.inference_mode():
            encoded = model.encode([audio])
            with model.reading([last]) as kept:
                logits = decoder.teacher_force(encoded, _TEXT)
            return Outcome.within(
                [difference(decoder.unembed(kept[last][0]), logits)], TOLERANCE, "lens and logits"
            )
    last = model.encoder_sites[-1]
    with torch.inference_mode(), model.reading([last]) as kept:
        (written,) = model.transcribe([audio])
    emitted = emitting(model).emissions(kept[last][:, : model.clock.count(len(audio))])
    best = model.spoken(emitted.log_probs[-1].argmax(-1).tolist())
    own = model.spoken(written.tokens)
    if not own:
        return Outcome(False, reason="nothing was written, so there is nothing to compare")
    if best != own or emitted.texts != [written.text]:
        return Outcome(False, reason="the lens writes something else than the model")
    return Outcome(True, 0.0)


def silenced_heads_leave_the_bias(subject: Subject) -> Outcome:
    """With all heads ablated, each attention adds the bias of its output projection and nothing else."""
    model = subject.model
    heads = [site for site in model.places if site.is_head]
    if not heads:
        return Outcome(None, reason="no module of this architecture sees its heads")
    components = list(dict.fromkeys(site.component for site in heads))
    silenced = model.hooks(dict.fromkeys(heads, torch.zeros_like))
    with torch.inference_mode(), silenced, model.reading(components) as kept:
        encoded = model.encode([subject.clips[0]])
        if any(site.stack == "decoder" for site in components):
            decoder_of(model).teacher_force(encoded, _TEXT)
    projections = {site.component: model.places[site].module for site in heads}
    differences = []
    for component, module in projections.items():
        bias = model.network.get_submodule(module).bias
        left = kept[component]
        expected = torch.zeros_like(left) if bias is None else bias.expand_as(left)
        differences.append(difference(left, expected))
    return Outcome.within(differences, TOLERANCE, "silenced components and their biases")


def cached_interventions_are_uncached_ones(subject: Subject) -> Outcome:
    """Decoding with cached keys, a head ablated or none, gives what whole passes give; in nats of a token."""
    if not subject.model.decoder_layers:
        return Outcome(None, reason=f"{subject.model.identity.name} has no decoder")
    model = decoder_of(subject.model)
    heads = (site for site in model.places if site.is_head and site.stack == "decoder")
    site = next(heads, Site("decoder", 1, "mlp"))
    differences = []
    with torch.inference_mode():
        encoded = model.encode([subject.clips[0]])
        plain, without = generate(model, encoded, [(), ablated([site])], max_tokens=8)
        if plain.tokens != model.greedy_decode(encoded, 8)[0].tokens:
            return Outcome(False, reason="an intervention on nothing changes what is written")
        for made, actions in ((plain, {}), (without, {site: torch.zeros_like})):
            with model.hooks(actions):
                logits = model.teacher_force(encoded, made.tokens)[model.prefix_length - 1 :]
            for at, (row, token) in enumerate(zip(logits, made.tokens, strict=True)):
                allowed = row.index_fill(0, model.suppressed_tokens(first=not at), -torch.inf)
                differences.append(float(allowed.max() - row[token]))  # another token is as probable at most
            log_probs = logits.log_softmax(-1).gather(
                -1, torch.tensor(made.tokens, device=logits.device)[:, None]
            )
            own = torch.tensor(made.log_probs, device=logits.device)
            differences.append(float((log_probs[:, 0] - own).abs().max()))
    return Outcome.within(differences, 10 * TOLERANCE, "log-probabilities")


def hidden_text_changes_nothing(subject: Subject) -> Outcome:
    """Where the earlier text is hidden, another one changes no prediction, but after the token it is at."""
    if not subject.model.decoder_layers:
        return Outcome(None, reason=f"{subject.model.identity.name} has no decoder")
    other = [_TEXT[1], *_TEXT[1:], _TEXT[0]]
    with torch.inference_mode():
        encoded = subject.model.encode([subject.clips[0]])
    text, another = teacher_force(subject.model, encoded, [[*_TEXT, _TEXT[0]], other], [(), ()], blind=True)
    seen = teacher_force(subject.model, encoded, [[*_TEXT, _TEXT[0]]], [()])[0]
    if difference(text[0], seen[0]) > TOLERANCE:
        return Outcome(
            False, reason="the prediction of the first token changes, before which there is no text"
        )
    return Outcome.within([difference(another[2:], text[2:])], TOLERANCE, "predictions after two texts")


CHECKS: Mapping[str, Callable[[Subject], Outcome]] = {
    "text of transformers alone": same_text,
    "sites complete and in order": sites_in_order,
    "frames at their times": impulses_move_their_frames,
    "neighbours in a batch": neighbours_change_nothing,
    "start at a site": starting_at_a_site_changes_nothing,
    "last encoder layer is the output": last_layer_is_the_output,
    "lens at the last layer is the output": lens_at_the_last_layer_is_the_output,
    "silenced heads leave the bias": silenced_heads_leave_the_bias,
    "cached equals uncached": cached_interventions_are_uncached_ones,
    "hidden text changes nothing": hidden_text_changes_nothing,
}
"""By name."""


def contract(subject: Subject) -> Iterator[tuple[str, Outcome]]:
    """Each check and its outcome; one that cannot be run has fallen."""
    for name, check in CHECKS.items():
        try:
            outcome = check(subject)
        except FAILURES as error:
            outcome = Outcome(False, reason=" ".join(str(error).split()))
        yield name, outcome


def difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference, as a share of the largest expected value, or of 1 where all are 0."""
    if found.shape != expected.shape:
        return float("inf")
    found, expected = found.detach(), expected.detach()
    return float((found - expected).abs().max() / (expected.abs().max() or 1.0))


def _unended(tokens: list[int], ends: Sequence[int]) -> list[int]:
    """Tokens before the first one that ends an output."""
    return tokens[: next((at for at, token in enumerate(tokens) if token in ends), len(tokens))]


def _noise(seconds: float) -> np.ndarray:
    """Quiet noise, float32."""
    samples = np.random.default_rng(0).standard_normal(int(seconds * SAMPLING_RATE))
    return (0.1 * samples).astype(np.float32)
