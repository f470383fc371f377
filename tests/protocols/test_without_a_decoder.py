"""What a causal task says of a model without a decoder: n/a with the reason, or what does not need one."""

import pytest
from conftest import tiny_model

from innerear.data.registry import load_corpus
from innerear.protocols.registry import protocol_of
from innerear.tasks.task import load_suite, load_task


@pytest.mark.parametrize("name", [entry.id for entry in load_suite("causal").tasks])
def test_ctc_models_are_not_applicable_with_the_reason(name):
    protocol = protocol_of(load_task(name), load_corpus)
    for family in ("wav2vec2", "hubert", "wavlm"):
        reason = None if name == "sparse-features" else f"tiny-{family} has no decoder"
        assert protocol.unsupported_reason(tiny_model(family)) == reason
