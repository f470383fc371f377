"""Languages: one code for each, as Whisper spells it, and the ones that are written without spaces."""

import re
from functools import cache

from innerear.util.errors import InputError

ENGLISH = "en"

UNSPACED = frozenset({"zh", "yue", "ja", "th", "lo", "km", "my", "bo"})
"""Languages whose script puts no spaces between words: errors are counted in characters there.

Whisper's authors do so for Chinese, Japanese, Thai, Lao and Burmese (Radford et al. 2022, appendix C).
"""

_UNKNOWN = frozenset({"", "und", "mul", "mis", "zxx", "unknown"})
"""Values that name no language, some of them codes of ISO 639."""

# code of Whisper: three-letter codes and older spellings | English names
_LANGUAGES = """
en: eng | English · zh: zho chi cmn | Chinese, Mandarin, Mandarin Chinese · de: deu ger | German
es: spa | Spanish, Castilian · ru: rus | Russian · ko: kor | Korean · fr: fra fre | French
ja: jpn | Japanese · pt: por | Portuguese · tr: tur | Turkish · pl: pol | Polish
ca: cat | Catalan, Valencian · nl: nld dut | Dutch, Flemish · ar: ara arb | Arabic · sv: swe | Swedish
it: ita | Italian · id: ind in | Indonesian · hi: hin | Hindi · fi: fin | Finnish · vi: vie | Vietnamese
he: heb iw | Hebrew · uk: ukr | Ukrainian · el: ell gre | Greek · ms: msa may zsm | Malay
cs: ces cze | Czech · ro: ron rum mo | Romanian, Moldavian, Moldovan · da: dan | Danish
hu: hun | Hungarian · ta: tam | Tamil · no: nor nb nob | Norwegian, Norwegian Bokmål, Bokmål
th: tha | Thai · ur: urd | Urdu · hr: hrv | Croatian · bg: bul | Bulgarian · lt: lit | Lithuanian
la: lat | Latin · mi: mri mao | Maori · ml: mal | Malayalam · cy: cym wel | Welsh · sk: slk slo | Slovak
te: tel | Telugu · fa: fas per pes | Persian, Farsi · lv: lav lvs | Latvian · bn: ben | Bengali, Bangla
sr: srp | Serbian · az: aze | Azerbaijani · sl: slv | Slovenian · kn: kan | Kannada · et: est ekk | Estonian
mk: mkd mac | Macedonian · br: bre | Breton · eu: eus baq | Basque · is: isl ice | Icelandic
hy: hye arm | Armenian · ne: nep npi | Nepali · mn: mon khk | Mongolian · bs: bos | Bosnian
kk: kaz | Kazakh · sq: sqi alb als | Albanian · sw: swa swh | Swahili · gl: glg | Galician
mr: mar | Marathi · pa: pan | Punjabi, Panjabi · si: sin | Sinhala, Sinhalese · km: khm | Khmer
sn: sna | Shona · yo: yor | Yoruba · so: som | Somali · af: afr | Afrikaans · oc: oci | Occitan
ka: kat geo | Georgian · be: bel | Belarusian · tg: tgk | Tajik · sd: snd | Sindhi · gu: guj | Gujarati
am: amh | Amharic · yi: yid ji | Yiddish · lo: lao | Lao · uz: uzb uzn | Uzbek · fo: fao | Faroese
ht: hat | Haitian Creole, Haitian · ps: pus pbt | Pashto, Pushto · tk: tuk | Turkmen
nn: nno | Nynorsk, Norwegian Nynorsk · mt: mlt | Maltese · sa: san | Sanskrit
lb: ltz | Luxembourgish, Letzeburgesch · my: mya bur | Myanmar, Burmese · bo: bod tib | Tibetan
tl: tgl fil | Tagalog, Filipino · mg: mlg plt | Malagasy · as: asm | Assamese · tt: tat | Tatar
haw: | Hawaiian · ln: lin | Lingala · ha: hau | Hausa · ba: bak | Bashkir · jw: jav jv | Javanese
su: sun | Sundanese · yue: | Cantonese · ga: gle | Irish · eo: epo | Esperanto · ia: ina | Interlingua
ky: kir | Kyrgyz · rw: kin | Kinyarwanda · ug: uig | Uyghur · or: ori ory | Odia, Oriya · zu: zul | Zulu
xh: xho | Xhosa · ig: ibo | Igbo · lg: lug | Luganda, Ganda · wo: wol | Wolof · ku: kur kmr | Kurdish
ckb: | Central Kurdish, Sorani · fy: fry | Western Frisian, Frisian · gd: gla | Scottish Gaelic
rm: roh | Romansh · gn: grn | Guarani
"""


@cache
def _codes() -> dict[str, str]:
    """Code of every spelling, in lower case."""
    known: dict[str, str] = {}
    for entry in re.split(r" · |\n", _LANGUAGES.strip()):
        code, _, others = entry.partition(":")
        codes, _, names = others.partition("|")
        known |= {spelt.strip().lower(): code for spelt in (code, *codes.split(), *names.split(","))}
    return known


def language_code(language: str) -> str:
    """The code of a language given as `de`, `de-DE`, `de_AT`, `deu`, `ger` or `German`; empty if unknown.

    Two-letter codes where there are some, spelt as Whisper does (`jw` for Javanese, `no` for Bokmål). Other
    codes of ISO 639 are kept as they are: a model that has no such language says so.

    Raises
    ------
    InputError
        If it is neither a known name nor a code.
    """
    given = " ".join(language.strip().strip("<|>").lower().split())
    if given in _UNKNOWN:
        return ""
    if (code := _codes().get(given)) is not None:
        return code
    tag = re.fullmatch(r"([a-z]{2,3})((?:[-_][a-z0-9]{2,8})*)", given)
    if tag is None:
        raise InputError(f"language {language!r} is not known; give its code, such as de for German")
    if tag[1] == "zh" and "yue" in re.split("[-_]", tag[2]):
        return "yue"
    return _codes().get(tag[1], tag[1])


def is_unspaced(language: str) -> bool:
    """Whether the script of a language, given by its code, puts no spaces between words."""
    return language in UNSPACED
