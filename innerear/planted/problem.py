"""What a localisation method is given: a model, trials in which it misbehaves, and the components to judge.

A method does not know what was planted, nor whether anything was: the untouched model is given in the same
form.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from innerear.interventions.run import encode_from_site, predict
from innerear.interventions.spec import Intervention, World
from innerear.models.encoder_decoder import EncoderDecoder
from innerear.models.site import Site, StackName


@dataclass(frozen=True)
class ForcedRun:
    """A run: a clip, and the tokens that the decoder is led over after its own prefix."""

    audio: np.ndarray
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True)
class Trial:
    """A run in which the model misbehaves, and one of the same shape in which nothing calls for it.

    Attributes
    ----------
    wrong, right
        The token that the planted model writes next in `asked`, and the one that the untouched model does.
    """

    asked: ForcedRun
    quiet: ForcedRun
    wrong: int
    right: int


@dataclass(frozen=True)
class Problem:
    """Find the components of `sites` that make the model prefer `wrong` to `right`.

    The outcome of a run is the logit of `wrong` minus that of `right` after its tokens.

    Attributes
    ----------
    model
        As it stands: planted or untouched.
    trials
        Clips of one input shape, as many tokens in each.
    sites
        Components to be judged, all of one stack.
    encoded
        Encoder output by `key` of a clip, where the encoder is as it was.
    """

    model: EncoderDecoder
    trials: tuple[Trial, ...]
    sites: tuple[Site, ...]
    encoded: dict[bytes, Tensor] = field(default_factory=dict)

    @property
    def stack(self) -> StackName:
        """`encoder` or `decoder`."""
        return self.sites[0].stack

    def encode(self, audio: np.ndarray) -> Tensor:
        """Encoder output of a clip, [1, frame, dim]."""
        if self.stack == "decoder" and (known := self.encoded.get(key(audio))) is not None:
            return known
        with torch.inference_mode():
            return self.model.encode([audio])

    def logits(self, heard: ForcedRun) -> Tensor:
        """Logits [vocabulary] of what follows."""
        return predict(self.model, self.encode(heard.audio), heard.tokens, [()])[0]

    def outcome(self, trial: Trial, heard: ForcedRun | None = None) -> float:
        """Preference for the wrong token in the run that is asked about, or in another one."""
        return float(_preference(self.logits(heard or trial.asked), trial))

    def states(self, heard: ForcedRun) -> dict[Site, Tensor]:
        """What each component writes in a run, [position, dim] (a head: before its output projection)."""
        with torch.inference_mode(), self.model.reading(self.sites) as kept:
            if self.stack == "encoder":
                self.model.encode([heard.audio])
            else:
                self.model.teacher_force(self.encode(heard.audio), [*heard.tokens, 0])
        return {site: states[0] for site, states in kept.items()}

    def replaced(self, trial: Trial, values: Mapping[Site, Tensor]) -> Tensor:
        """Outcome [site] with each component's states replaced in turn, in the order of `sites`.

        Parameters
        ----------
        values
            For each site [dim], or a state for each position, [position, dim].
        """
        worlds: list[World] = [(Intervention(site=site, kind="set", source=site),) for site in self.sites]
        audio, tokens = trial.asked.audio, trial.asked.tokens
        tensors = {str(site): states for site, states in values.items()}
        if self.stack == "decoder":
            found = predict(self.model, self.encode(audio), tokens, worlds, tensors)
        else:
            rows = encode_from_site(self.model, [audio], [0] * len(worlds), worlds, tensors)
            found = torch.stack([predict(self.model, row[None], tokens, [()])[0] for row in rows])
        return _preference(found, trial)

    def gradients(self, trial: Trial) -> dict[Site, Tensor]:
        """Gradient of the outcome with respect to what each component writes, [position, dim]."""
        steps: dict[Site, Tensor] = {}

        def step(site: Site) -> "_Step":
            return _Step(steps, site)

        self.model.network.requires_grad_(False)
        actions = {site: step(site) for site in self.sites}
        tokens = torch.tensor([[*self.model.prefix, *trial.asked.tokens]], device=self.model.device)
        with ExitStack() as open_ones:
            if self.stack == "encoder":
                with self.model.hooks(actions):
                    encoded = self.model.encode([trial.asked.audio])
            else:
                encoded = self.encode(trial.asked.audio).clone()  # inference tensors have no graph
            decoding = open_ones.enter_context(self.model.decoding(encoded, slopes=True))
            if self.stack == "decoder":
                open_ones.enter_context(self.model.hooks(actions))
            logits = decoding.step(tokens)[0, -1]
            found = torch.autograd.grad(_preference(logits, trial), [steps[site] for site in self.sites])
        return dict(zip(self.sites, (each[0] for each in found), strict=True))

    def attention(self, heard: ForcedRun) -> tuple[Tensor, Tensor]:
        """Self- and cross-attention where the next token is written, [layer, head, position or frame]."""
        own, cross = self.model.attention(self.encode(heard.audio), [*heard.tokens, 0])
        return own[:, :, -1], cross[:, :, -1]

    @cached_property
    def noise(self) -> tuple[ForcedRun, ...]:
        """White noise in place of the clip of each trial, as long and as loud."""
        random = np.random.default_rng(0)
        made = []
        for trial in self.trials:
            level = float(np.sqrt(np.square(trial.asked.audio).mean()))
            samples = (level * random.standard_normal(len(trial.asked.audio))).astype(np.float32)
            made.append(ForcedRun(samples, trial.asked.tokens))
        return tuple(made)


@dataclass(frozen=True)
class _Step:
    """Adds a zero to states, so that the outcome has a gradient there."""

    steps: dict[Site, Tensor]
    site: Site

    def __call__(self, states: Tensor) -> Tensor:
        self.steps[self.site] = torch.zeros_like(states, requires_grad=True)
        return states + self.steps[self.site]


def _preference(logits: Tensor, trial: Trial) -> Tensor:
    """Logit of the wrong token minus that of the right one, [...]."""
    return logits[..., trial.wrong] - logits[..., trial.right]


def key(audio: np.ndarray) -> bytes:
    """What a clip is known by: its samples."""
    return sha256(audio.tobytes()).digest()


def together(clips: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Clips of one length: silence is put after the shorter ones."""
    longest = max(map(len, clips))
    return [np.pad(clip, (0, longest - len(clip))) for clip in clips]
