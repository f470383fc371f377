"""The input of a localisation method: a model, trials in which it misbehaves, and the components to score.

It does not reveal what was planted, or whether anything was: the unmodified model comes in the same form.
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
from innerear.models.decoder import DecoderModel
from innerear.models.site import Site, StackName


@dataclass(frozen=True)
class RunInput:
    """Input of a run: a clip, and the tokens that follow the prefix when the decoder is teacher-forced."""

    audio: np.ndarray
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True)
class Trial:
    """A target run, in which the model misbehaves, and a baseline run of the same shape for comparison.

    Attributes
    ----------
    wrong, right
        The token that the planted model writes next in the target run, and the one that the untouched model
        writes there.
    """

    target: RunInput
    baseline: RunInput
    wrong: int
    right: int


@dataclass(frozen=True)
class Problem:
    """Find the components of `sites` that make the model prefer `wrong` to `right`.

    The outcome of a run is the logit of `wrong` minus that of `right` after its tokens.

    Attributes
    ----------
    model
        The model with its present weights, planted or untouched.
    trials
        All clips have one length, and all runs the same number of tokens.
    sites
        Components to score, all in the encoder or all in the decoder.
    encoded
        Encoder output by `clip_key`; it is used only where nothing in the encoder can have been edited.
    """

    model: DecoderModel
    trials: tuple[Trial, ...]
    sites: tuple[Site, ...]
    encoded: dict[bytes, Tensor] = field(default_factory=dict)

    @property
    def stack(self) -> StackName:
        """`encoder` or `decoder`."""
        return self.sites[0].stack

    def encode(self, audio: np.ndarray) -> Tensor:
        """Encoder output of a clip, [1, frame, dim]."""
        if self.stack == "decoder" and (encoded := self.encoded.get(clip_key(audio))) is not None:
            return encoded
        with torch.inference_mode():
            return self.model.encode([audio])

    def logits(self, run: RunInput) -> Tensor:
        """Logits [vocabulary] of the next token."""
        return predict(self.model, self.encode(run.audio), run.tokens, [()])[0]

    def outcome(self, trial: Trial, run: RunInput | None = None) -> float:
        """Preference for the wrong token in the target run, or in another one."""
        return float(_preference(self.logits(run or trial.target), trial))

    def states(self, run: RunInput) -> dict[Site, Tensor]:
        """Output of each component in a run, [position, dim]; that of a head before its output projection."""
        with torch.inference_mode(), self.model.reading(self.sites) as kept:
            if self.stack == "encoder":
                self.model.encode([run.audio])
            else:
                self.model.teacher_force(self.encode(run.audio), [*run.tokens, 0])
        return {site: states[0] for site, states in kept.items()}

    def outcomes_with(self, trial: Trial, values: Mapping[Site, Tensor]) -> Tensor:
        """Outcomes [site] of the target run with the output of one component replaced, for each of `sites`.

        Parameters
        ----------
        values
            New output by site: [dim], or [position, dim] with one state for each position.
        """
        worlds: list[World] = [(Intervention(site=site, kind="set", source=site),) for site in self.sites]
        audio, tokens = trial.target.audio, trial.target.tokens
        tensors = {str(site): states for site, states in values.items()}
        if self.stack == "decoder":
            logits = predict(self.model, self.encode(audio), tokens, worlds, tensors)
        else:
            rows = encode_from_site(self.model, [audio], [0] * len(worlds), worlds, tensors)
            logits = torch.stack([predict(self.model, row[None], tokens, [()])[0] for row in rows])
        return _preference(logits, trial)

    def gradients(self, trial: Trial) -> dict[Site, Tensor]:
        """Gradient of the outcome with respect to the output of each component, [position, dim]."""
        offsets: dict[Site, Tensor] = {}
        self.model.network.requires_grad_(False)
        actions = {site: _ZeroOffset(offsets, site) for site in self.sites}
        tokens = torch.tensor([[*self.model.prefix, *trial.target.tokens]], device=self.model.device)
        with ExitStack() as contexts:
            if self.stack == "encoder":
                with self.model.hooks(actions):
                    encoded = self.model.encode([trial.target.audio])
            else:
                encoded = self.encode(trial.target.audio).clone()  # inference tensors have no graph
            decoding = contexts.enter_context(self.model.decoding(encoded, gradients=True))
            if self.stack == "decoder":
                contexts.enter_context(self.model.hooks(actions))
            logits = decoding.step(tokens)[0, -1]
            gradients = torch.autograd.grad(
                _preference(logits, trial), [offsets[site] for site in self.sites]
            )
        return dict(zip(self.sites, (gradient[0] for gradient in gradients), strict=True))

    def attention(self, run: RunInput) -> tuple[Tensor, Tensor]:
        """Self- and cross-attention weights of the last position, [layer, head, position or frame]."""
        self_attn, cross_attn = self.model.attention(self.encode(run.audio), [*run.tokens, 0])
        return self_attn[:, :, -1], cross_attn[:, :, -1]

    @cached_property
    def noise_runs(self) -> tuple[RunInput, ...]:
        """The target run of each trial on white noise of the same length and level."""
        random = np.random.default_rng(0)
        runs = []
        for trial in self.trials:
            level = float(np.sqrt(np.square(trial.target.audio).mean()))
            samples = (level * random.standard_normal(len(trial.target.audio))).astype(np.float32)
            runs.append(RunInput(samples, trial.target.tokens))
        return tuple(runs)


@dataclass(frozen=True)
class _ZeroOffset:
    """Adds zeros that require a gradient to the states of a site: their gradient is that of the states."""

    offsets: dict[Site, Tensor]
    site: Site

    def __call__(self, states: Tensor) -> Tensor:
        self.offsets[self.site] = torch.zeros_like(states, requires_grad=True)
        return states + self.offsets[self.site]


def _preference(logits: Tensor, trial: Trial) -> Tensor:
    """Logit of the wrong token minus that of the right one, [...]."""
    return logits[..., trial.wrong] - logits[..., trial.right]


def clip_key(audio: np.ndarray) -> bytes:
    """Hash of the samples of a clip."""
    return sha256(audio.tobytes()).digest()


def pad_to_one_length(clips: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Append silence to clips so that all are as long as the longest."""
    longest = max(map(len, clips))
    return [np.pad(clip, (0, longest - len(clip))) for clip in clips]
