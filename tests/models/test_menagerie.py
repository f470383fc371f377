"""Twenty folders as people save them: sound ones are used whole; of each other, one line says why not."""

import menagerie
import pytest
import torch
from conftest import noise

from innerear.interventions.run import generate
from innerear.models.encoder_decoder import EncoderDecoder
from innerear.models.loading import load_model
from innerear.util.errors import InputError


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return menagerie.make(tmp_path_factory.mktemp("menagerie"))


@pytest.mark.parametrize("name", [name for name, (*_, sound) in menagerie.ANIMALS.items() if sound])
def test_a_sound_folder_is_heard_and_both_ways_of_decoding_agree(name, folders):
    model = load_model(str(folders[name]))
    states = model.states([noise(1.0)], model.encoder_sites)
    assert all(torch.isfinite(each).all() for each in states.values())
    if isinstance(model, EncoderDecoder):
        with torch.inference_mode():
            encoded = model.encode([noise(1.0)])
            assert generate(model, encoded, [()])[0].tokens == model.greedy_decode(encoded)[0].tokens


@pytest.mark.parametrize("name", [name for name, (*_, sound) in menagerie.ANIMALS.items() if not sound])
def test_any_other_is_one_line(name, folders):
    with pytest.raises(InputError, match=name) as refused:
        load_model(str(folders[name]))
    assert "\n" not in str(refused.value)


def test_fine_tunes_keep_what_their_makers_set(folders):
    def settings(name):
        model = load_model(str(folders[name]))
        assert isinstance(model, EncoderDecoder)
        return model.generation

    assert settings("whisper").prefix == (4, 5, 7, 10)
    assert settings("whisper-german").prefix == (4, 6, 7, 10)
    assert settings("whisper-2022").prefix == (4, 6, 7, 10)
    assert settings("whisper-beams").max_tokens == 9
    assert settings("whisper-two-ends").ends == (3, 12)
