"""Where memory does not suffice: half the batch, the numbers of that half, and a line that says so."""

import logging

import numpy as np
import pytest
import torch
from conftest import make_item, noise, tiny_model

from innerear.activations.capture import Demand, capture
from innerear.activations.readings import Pooled
from innerear.data.schema import Corpus
from innerear.util.errors import InputError

CORPUS = Corpus("c", "1", tuple(make_item(f"c{at}", noise(1.0, at)) for at in range(7)), "made", "none")
GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
LINUX = RuntimeError(
    "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
)
WINDOWS = RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes")


def small(most, error=GPU):
    """A model whose memory suffices for `most` clips, and the sizes of the batches that it was given."""
    model = tiny_model("whisper")
    encode, given = model.encode, []

    def limited(audio):
        given.append(len(audio))
        if len(audio) > most:
            raise error
        return encode(audio)

    model.encode = limited
    return model, given


def pooled(model, **options):
    (found,) = capture(model, [Demand(CORPUS, Pooled())], **options)
    return found


@pytest.mark.parametrize("error", [GPU, LINUX, WINDOWS, MemoryError()])
def test_the_batch_is_halved_until_it_fits_and_the_numbers_are_those_of_that_size(error, tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger="innerear")
    model, given = small(2, error)
    halved = pooled(model, batch_size=8, cache=tmp_path)
    assert 7 in given or 8 in given
    assert max(given[2:]) <= 4
    assert halved.log.batch_size == 2
    assert "memory does not suffice for 4 clips per pass; going on with 2" in caplog.text
    asked = pooled(tiny_model("whisper"), batch_size=2)
    np.testing.assert_array_equal(halved.stacked("states"), asked.stacked("states"))
    again, given = small(2)
    assert pooled(again, batch_size=2, cache=tmp_path).log.cached == len(CORPUS)  # kept as of batches of 2
    assert not given


def test_a_batch_that_fits_stays(tmp_path):
    assert pooled(small(8)[0], batch_size=4).log.batch_size == 4


@pytest.mark.parametrize("batch_size", [1, 4])
def test_one_clip_too_many_is_one_line(batch_size):
    with pytest.raises(InputError, match="memory does not suffice for a single clip on cpu; use --dtype"):
        pooled(small(0)[0], batch_size=batch_size)


def test_other_errors_are_not_taken_for_it():
    with pytest.raises(RuntimeError, match="shapes"):
        pooled(small(2, RuntimeError("shapes cannot be multiplied"))[0], batch_size=8)
