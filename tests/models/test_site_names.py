"""A site is its name and knows its parts; what is no site is refused."""

import copy
import json
import pickle

import pytest
from conftest import FAMILIES, tiny_model
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from innerear.models.site import PARTS, Site
from innerear.util.errors import InputError

NUMBERS = st.integers(0, 200)


@st.composite
def sites(draw):
    stack = draw(st.sampled_from(["encoder", "decoder", "predictor", "joint"]))
    part = draw(st.sampled_from([None, *PARTS])) if stack in ("encoder", "decoder") else None
    layer = 0 if stack == "joint" else draw(NUMBERS) + (part is not None)
    head = draw(st.none() | NUMBERS) if part in ("self_attn", "cross_attn") else None
    return Site(stack, layer, part, head)


class Model(BaseModel):
    site: Site


@given(sites())
def test_a_site_is_its_name(site):
    name = "joint" if site.stack == "joint" else f"{site.stack}.{site.layer}"
    name += f".{site.part}" if site.part else ""
    name += f".head.{site.head}" if site.head is not None else ""
    assert site == name
    assert hash(site) == hash(name)
    assert {name: 1}[site] == 1
    assert f"{site}" == str(site) == name
    assert type(str(site)) is str
    again = Site.parse(name)
    assert again == site
    assert (again.stack, again.layer, again.part, again.head) == (
        site.stack, site.layer, site.part, site.head,
    )  # fmt: skip


@given(sites())
def test_a_site_survives_copies_pickle_json_and_pydantic(site):
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(site, protocol))
        assert (type(again), again, again.head) == (Site, site, site.head)
    assert copy.copy(site) == copy.deepcopy(site) == site
    assert json.dumps({site: [site]}) == json.dumps({str(site): [str(site)]})
    model = Model(site=str(site))
    assert type(model.site) is type(Model(site=site).site) is Site
    assert model.model_dump(mode="json") == {"site": site}
    assert model.model_dump_json() == f'{{"site":"{site}"}}'
    assert Model.model_validate_json(model.model_dump_json()) == model


@given(sites())
def test_a_site_belongs_to_a_component_and_a_layer(site):
    assert site.residual.is_residual
    assert site.component.residual == site.residual == Site(site.stack, site.layer)
    assert not site.component.is_head
    assert site.is_head == (site.component != site)
    assert site.startswith(f"{site.component}")


@pytest.mark.parametrize(
    "name",
    [
        "", "log-mel", "pitch", "encoder", "encoder.", "encoder.-1", "encoder.01", "encoder.x", "encoder.²",
        "audio.1", "encoder.1.", "encoder.1.attn", "encoder.0.mlp", "encoder.1.mlp.head.0",
        "joint.0", "joint.mlp", "predictor", "predictor.1.mlp", "predictor.1.self_attn.head.0",
        "encoder.1.head.0", "decoder.1.self_attn.head", "decoder.1.self_attn.head.1.2", "decoder.1\n",
    ],
)  # fmt: skip
def test_a_name_that_is_no_site_is_refused(name):
    assert Site.parse_or_none(name) is None
    with pytest.raises(InputError, match=r"is not a site; sites look like encoder\.0, decoder\.2"):
        Site.parse(name)
    with pytest.raises(ValidationError, match="this is not a site; sites look like"):
        Model(site=name)


def test_sites_that_cannot_be_are_refused():
    with pytest.raises(InputError, match=r"'decoder\.1\.head\.2' is not a site"):
        Site("decoder", 1, head=2)


def test_a_site_is_frozen():
    with pytest.raises(AttributeError):
        Site("decoder", 1).layer = 2


@pytest.mark.parametrize("family", FAMILIES)
def test_models_name_their_places_by_sites(family):
    model = tiny_model(family)
    assert {type(site) for site in model.places} == {Site}
    residual = [site for site in model.places if site.is_residual]
    assert tuple(residual) == (*model.encoder_sites, *model.decoder_sites)
    assert all(site.is_head == (place.head is not None) for site, place in model.places.items())
    assert all(site.residual in model.places and site.component in model.places for site in model.places)
