"""Half precision: the same weights rounded, a model of its own, and every way of running it agrees."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import noise, save_tiny

from innerear.activations.capture import Demand, capture
from innerear.activations.readings import Pooled
from innerear.data.schema import Corpus
from innerear.interventions.ablation import ablated
from innerear.interventions.run import encode, encode_from_site, generate, teacher_force
from innerear.interventions.spec import Intervention
from innerear.models import devices
from innerear.models.decoder import DecoderModel, decoder_of
from innerear.models.devices import usable_device, usable_dtype
from innerear.models.loading import load_model
from innerear.models.networks import dtype_name
from innerear.models.site import Site
from innerear.models.sites import Place, hooked
from innerear.runs.plans import Options, plan
from innerear.runs.runner import run
from innerear.util.errors import InputError
from tests.conftest import make_item

HALVES = ("bfloat16", "float16")


@pytest.fixture(scope="module", params=["whisper", "moonshine", "wav2vec2"])
def folder(request, tmp_path_factory):
    return str(save_tiny(request.param, tmp_path_factory.mktemp("models") / request.param))


@pytest.mark.parametrize("dtype", HALVES)
def test_only_the_type_of_numbers_differs_in_the_identity(folder, dtype):
    whole, half = load_model(folder), load_model(folder, dtype=dtype)
    differing = {
        name for name in whole.identity.parts if whole.identity.parts[name] != half.identity.parts[name]
    }
    assert differing == {"dtype"}
    assert half.identity.parts["dtype"] == dtype_name(half.network) == dtype
    twins = [load_model(folder, dtype=each, twin_seed=0).identity.parts for each in ("float32", dtype)]
    assert {name for name in twins[0] if twins[0][name] != twins[1][name]} == {"dtype"}


@pytest.mark.parametrize("dtype", HALVES)
def test_states_are_those_of_float32_to_the_precision_of_the_type(folder, dtype):
    clip, whole, half = noise(1.0), load_model(folder), load_model(folder, dtype=dtype)
    for site in whole.encoder_sites:
        exact, rounded = whole.states([clip], [site])[site], half.states([clip], [site])[site]
        assert rounded.dtype == getattr(torch, dtype)
        assert not torch.equal(exact, rounded.float())
        error = (exact - rounded.float()).norm() / exact.norm()
        assert float(error) < 8 * torch.finfo(rounded.dtype).eps


def test_a_twin_is_rounded_after_it_is_drawn(folder):
    drawn, half = load_model(folder, twin_seed=3), load_model(folder, dtype="bfloat16", twin_seed=3)
    for name, values in drawn.network.state_dict().items():
        assert torch.equal(values.bfloat16(), half.network.state_dict()[name])


@pytest.mark.parametrize("dtype", HALVES)
def test_all_ways_of_decoding_agree_and_interventions_act(folder, dtype):
    model, clip = load_model(folder, dtype=dtype), noise(1.0)
    (written,) = model.transcribe([clip])
    assert generate(model, encode(model, [clip], [()]), [()])[0].tokens == written.tokens
    vector = torch.full((32,), 0.3)  # float32, whatever the model computes in
    world = (Intervention(site=Site("encoder", 1), kind="set", source="vector"),)
    one = encode(model, [clip], [world], {"vector": vector})
    other = encode_from_site(model, [clip], [0], [world], {"vector": vector})
    assert one.dtype == other.dtype == getattr(torch, dtype)
    assert not torch.equal(one, encode(model, [clip], [()]))
    if isinstance(model, DecoderModel):
        worlds = [(), ablated([Site("decoder", 1, "self_attn", 0)]), ablated([Site("decoder", 1, "mlp")])]
        logits = teacher_force(model, encode(model, [clip], [()]), [written.tokens], worlds)
        assert not torch.equal(logits[0], logits[2])
        states = torch.randn(4, 32)
        assert decoder_of(model).unembed(states).dtype == torch.float32


def test_what_is_read_is_kept_in_float32_under_a_key_of_its_own(folder, tmp_path):
    corpus = Corpus("c", "1", (make_item("a", noise(1.0)),), "made", "none")
    heard = (
        capture(load_model(folder, dtype=dtype), [Demand(corpus, Pooled())], cache=tmp_path)[0]
        for dtype in ("float32", "bfloat16")
    )
    whole, half = (np.stack(list(each.stacked("states"))) for each in heard)
    assert whole.dtype == half.dtype == "float32"
    assert (whole != half).any()


def test_a_run_states_the_type_and_is_not_that_of_float32(tmp_path):
    folder = save_tiny("moonshine", tmp_path / "m")
    found = {
        dtype: run(plan([str(folder)], ["abx"], limit=28), Options(tmp_path / "runs", dtype=dtype))[-1]
        for dtype in ("float32", "bfloat16")
    }
    assert {result.environment.precision for result in found.values()} == set(found)
    assert len({result.key for result in found.values()}) == 2
    assert found["bfloat16"].model.parts == found["float32"].model.parts | {"dtype": "bfloat16"}
    with pytest.raises(InputError, match="planted into models in float32"):
        run(plan(suite="planted"), Options(tmp_path / "planted", dtype="bfloat16"))


def test_a_type_or_device_that_cannot_be_is_one_line(monkeypatch):
    with pytest.raises(InputError, match="no type of numbers 'int8'; there are float32, bfloat16, float16"):
        load_model("whisper-tiny.en", dtype="int8")

    def refuse(*_):
        raise RuntimeError("\"conv1d\" not implemented for 'Half'\nand more")

    monkeypatch.setattr(torch.nn.functional, "conv1d", refuse)
    with pytest.raises(InputError, match=r"'cpu' cannot compute in float16 \(.*'Half'\); use float32"):
        usable_dtype("float16", "cpu")


@pytest.mark.parametrize(("gpus", "device"), [(0, "cpu"), (1, "cuda"), (2, "auto")])
def test_auto_is_what_the_machine_has(monkeypatch, gpus, device):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    options = Options(Path("runs"), "auto").here()
    assert options.device == device
    assert options.batch == (1 if device == "cpu" else 16)
    assert Options(Path("runs"), "cuda:1").here().device == "cuda:1"


def test_several_gpus_need_accelerate(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert usable_device("auto") == torch.device("cuda:0")
    monkeypatch.setattr(devices, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="several GPUs by the package accelerate"):
        usable_device("auto")


def test_a_model_is_loaded_on_auto_where_there_is_no_gpu(folder):
    assert load_model(folder, device="auto").device == torch.device("cpu")


def test_what_an_action_writes_goes_to_the_device_and_type_of_the_states():
    # of two devices, a machine may have one: states on the meta device are nowhere
    block = torch.nn.Linear(4, 4, device="meta", dtype=torch.bfloat16)
    table = {
        Site("encoder", 1): Place("0", "output"),
        Site("encoder", 1, "self_attn", 0): Place("0", "input", 0, 2),
    }
    network = torch.nn.Sequential(block)
    for site, width in zip(table, (4, 2), strict=True):
        with hooked(network, table, {site: lambda states, width=width: torch.zeros(1, 3, width)}):
            written = network(torch.zeros(1, 3, 4, device="meta", dtype=torch.bfloat16))
        assert (written.device.type, written.dtype) == ("meta", torch.bfloat16)
