"""Every usual way to name a language gives one code, which is Whisper's."""

import pytest
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from innerear.data.language import is_unspaced, language_code
from innerear.util.errors import InputError


@pytest.mark.parametrize(
    ("given", "code"),
    [
        *((name, "de") for name in ("de", "DE", "de-DE", "de_AT", "deu", "ger", " German ", "<|de|>")),
        ("pt-BR", "pt"), ("zh-CN", "zh"), ("cmn-Hans-CN", "zh"), ("Mandarin", "zh"), ("zh-yue", "yue"),
        ("nb-NO", "no"), ("iw", "he"), ("jv", "jw"), ("fil", "tl"), ("gsw", "gsw"), ("haitian creole", "ht"),
        *((unknown, "") for unknown in ("", " ", "und", "mul", "unknown")),
    ],
)  # fmt: skip
def test_a_language_has_one_code(given, code):
    assert language_code(given) == code


def test_whisper_spells_them_so():
    assert {name: language_code(name) for name in TO_LANGUAGE_CODE} == TO_LANGUAGE_CODE
    assert all(language_code(code) == code for code in TO_LANGUAGE_CODE.values())


@pytest.mark.parametrize("given", ["Elvish", "multilingual", "d", "12", "de;fr"])
def test_no_language_is_one_line(given):
    with pytest.raises(InputError, match="is not known; give its code, such as de"):
        language_code(given)


def test_scripts_without_spaces():
    assert [code for code in ("zh", "ja", "th", "km", "ko", "vi", "en") if is_unspaced(code)] == [
        "zh", "ja", "th", "km"
    ]  # fmt: skip
