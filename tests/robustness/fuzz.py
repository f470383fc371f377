"""Sound files damaged at random, by a seed: bytes flipped, cut, moved; fields deleted, of other types."""

import copy
import json
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from commands import command
from harness import TOLD, Outcome, Trial
from sound import CLIPS, FAMILIES, TASK, Sound

VALUES: tuple[Any, ...] = (
    None, "", "x", "ä\u202e\x1b[31m\n", -1, 0, 7, 1e9, 10**30, float("nan"), float("inf"), [], {}, True,
    [[1]], {"a": {"b": 1}}, ["x"] * 50, "y" * 70_000,
)  # fmt: skip
"""What a value is replaced by."""
RESULT = "results/phoneme-probing/innerear-speech"

Variant = tuple[str, bytes]


def bytes_damaged(data: bytes, count: int, seed: str) -> Iterator[Variant]:
    """Data with bytes flipped, dropped, doubled, zeroed, inserted, or cut off."""
    drawn = random.Random(seed)
    for number in range(count):
        at = drawn.randrange(len(data))
        if drawn.random() < 0.5:  # headers are short, and most of what can go wrong is in them
            at = drawn.randrange(min(len(data), 128))
        length = drawn.choice((1, 1, 4, 16, 256))
        part, rest = data[at : at + length], data[at + length :]
        how = ("flipped", "cut", "dropped", "doubled", "zeroed", "inserted", "filled")[number % 7]
        made = {
            "flipped": bytes([*part[:-1], part[-1] ^ 1 << drawn.randrange(8)]) + rest,
            "cut": b"",
            "dropped": rest,
            "doubled": part + part + rest,
            "zeroed": bytes(len(part)) + rest,
            "inserted": drawn.randbytes(length) + part + rest,
            "filled": b"\xff" * len(part) + rest,
        }[how]
        yield f"{length} bytes {how} at {at}", data[:at] + made


def _places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all values of a JSON document; of a long list, to its first."""
    inside = (
        value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    )
    for key, part in inside:
        yield (*above, key)
        yield from _places(part, (*above, key))


def fields_damaged(document: Any, count: int, seed: str) -> Iterator[tuple[str, Any]]:
    """A JSON document with a field deleted, or of another value or type."""
    drawn = random.Random(seed)
    places = list(_places(document))
    for _ in range(count):
        *parents, last = drawn.choice(places)
        changed = copy.deepcopy(document)
        holder = changed
        for key in parents:
            holder = holder[key]
        where = ".".join(map(str, (*parents, last)))[:80]
        if drawn.random() < 0.2:
            del holder[last]
            yield f"{where} deleted", changed
        else:
            holder[last] = drawn.choice(VALUES)
            yield f"{where} = {holder[last]!r:.40}", changed


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")


def fuzzed(sound: Sound) -> Iterator[Trial]:
    """All trials of this module."""
    yield from _manifests(sound)
    yield from _clips(sound)
    yield from _labels(sound)
    yield from _tasks(sound)
    yield from _models(sound)
    yield from _results(sound)


def counts_all(rows: int) -> Callable[[str], str]:
    """A check that every row of a corpus is counted as a clip or refused."""

    def check(out: str) -> str:
        last = out.strip().splitlines()[-1] if out.strip() else ""
        if " checked: " not in last:
            return ""
        clips = int(last.split()[0].replace(",", ""))
        refused = sum("refused: " in line for line in out.splitlines())
        return "" if clips + refused == rows else f"{clips} clips and {refused} refused of {rows} rows"

    return check


def _manifest(sound: Sound, name: str, data: bytes, rows: int, folder: Path) -> Outcome:
    for at in range(CLIPS):
        sound.copy(f"corpus/{at}.wav", folder)
    (folder / name).write_bytes(data)
    return command(folder, ["corpora", "check", name], check=counts_all(rows) if rows else lambda _: "")


def _manifests(sound: Sound) -> Iterator[Trial]:
    for suffix in ("jsonl", "csv", "tsv"):
        name = f"m.{suffix}"
        data = sound.read(f"corpus/{name}")
        for what, made in bytes_damaged(data, 60, name):
            # a line of a table may go into a quoted cell; a line of JSON is always a row
            rows = sum(bool(line.strip()) for line in made.split(b"\n")) if suffix == "jsonl" else 0
            yield Trial(f"fuzzed {suffix}", what, partial(_manifest, sound, name, made, rows))
    lines = [json.loads(line) for line in sound.read("corpus/m.jsonl").splitlines()]
    lines[0] |= {
        "words": [{"text": "say", "start": 0.1, "end": 0.2}],
        "start": 0.0,
        "end": 0.4,
        "channel": "1",
    }
    for what, changed in fields_damaged(lines, 60, "rows"):
        made = b"".join(_json(row) + b"\n" for row in changed)
        yield Trial("fuzzed jsonl", what, partial(_manifest, sound, "m.jsonl", made, len(changed)))


def _clip(sound: Sound, name: str, data: bytes, folder: Path) -> Outcome:
    (folder / name).write_bytes(data)
    rows = [
        {"audio": name, "text": "say it", "speaker": "a"},
        {"audio": "0.wav", "text": "x", "speaker": "b"},
    ]
    sound.copy("corpus/0.wav", folder)
    (folder / "m.jsonl").write_bytes(b"".join(_json(row) + b"\n" for row in rows))
    return command(folder, ["corpora", "check", "m.jsonl"], check=counts_all(2))


def _clips(sound: Sound) -> Iterator[Trial]:
    for name in ("0.wav", "clip.flac", "clip.ogg", "clip.mp3", "clip.aiff"):
        suffix = name.rpartition(".")[2]
        data = sound.read(f"corpus/{name}")
        for what, made in bytes_damaged(data, 60 if suffix == "wav" else 30, name):
            yield Trial(f"fuzzed {suffix}", what, partial(_clip, sound, f"damaged.{suffix}", made))


def _label(sound: Sound, column: str, data: bytes, folder: Path) -> Outcome:
    sound.copy("corpus/0.wav", folder).rename(folder / "clip.wav")
    (folder / "labels").write_bytes(data)
    row = {"audio": "clip.wav", "text": "say it", "speaker": "a", column: "labels"}
    (folder / "m.jsonl").write_bytes(_json(row) + b"\n")
    return command(folder, ["corpora", "check", "m.jsonl"], check=counts_all(1))


def _labels(sound: Sound) -> Iterator[Trial]:
    for name, column in (("clip.TextGrid", "textgrid"), ("clip.ctm", "word_ctm")):
        for what, made in bytes_damaged(sound.read(f"corpus/{name}"), 50, name):
            yield Trial(f"fuzzed {name[5:]}", what, partial(_label, sound, column, made))


def run(
    sound: Sound, family: str, damage: Callable[[Path], object], folder: Path, expect: str = ""
) -> Outcome:
    """Run a model on the task of the sound inputs, after damage to either."""
    for name in ("corpus", TASK, f"models/{family}", "runs"):
        sound.copy(name, folder)
    damage(folder)
    return command(folder, ["run", "--models", f"./{family}", "--tasks", f"./{TASK}"], expect)


def _write(name: str, data: bytes, folder: Path) -> None:
    (folder / name).write_bytes(data)


def _tasks(sound: Sound) -> Iterator[Trial]:
    data = sound.read(TASK)
    variants = list(bytes_damaged(data, 40, TASK))
    variants += [
        (what, yaml.safe_dump(changed, allow_unicode=True).encode())
        for what, changed in fields_damaged(yaml.safe_load(data), 60, TASK)
    ]
    for what, made in variants:
        yield Trial("fuzzed yaml", what, partial(run, sound, "wav2vec2", partial(_write, TASK, made)))


def _models(sound: Sound) -> Iterator[Trial]:
    for family in FAMILIES:
        for path in sorted((sound.folder / "models" / family).glob("*.json")):
            data = path.read_bytes()
            variants = list(bytes_damaged(data, 7, family + path.name))
            variants += [
                (what, _json(changed))
                for what, changed in fields_damaged(json.loads(data), 18, family + path.name)
            ]
            for what, made in variants:
                damage = partial(_write, f"{family}/{path.name}", made)
                name = f"{family}/{path.name}: {what}"
                yield Trial("fuzzed model json", name, partial(run, sound, family, damage))
        weights = sound.read(f"models/{family}/model.safetensors")
        for what, made in bytes_damaged(weights, 20, family):
            damage = partial(_write, f"{family}/model.safetensors", made)
            yield Trial("fuzzed safetensors", f"{family}: {what}", partial(run, sound, family, damage))


def _result(
    sound: Sound, name: str, made: bytes, arguments: Sequence[str], folder: Path, expect: str
) -> Outcome:
    sound.copy("results", folder)
    (folder / RESULT / name).write_bytes(made)
    return command(folder, arguments, expect)


def _results(sound: Sound) -> Iterator[Trial]:
    path = next((sound.folder / RESULT).glob("moonshine-*.json"))
    data = path.read_bytes()
    document = json.loads(data)
    variants = [*bytes_damaged(data, 60, "result")]
    variants += [
        (what, json.dumps(changed, indent=1).encode() + b"\n")
        for what, changed in fields_damaged(document, 60, "result")
    ]
    commands = (
        ("verify", "results"), ("show", f"{RESULT}/{path.name}"), ("leaderboard", "--results", "results"),
    )  # fmt: skip
    for number, (what, made) in enumerate(variants):
        arguments = commands[number % 3]
        # all but `verify` pass over white space
        same = made == data or (arguments[0] != "verify" and _means(made) == document)
        act = partial(_result, sound, path.name, made, arguments, expect="" if same else TOLD)
        yield Trial("fuzzed result json", f"{arguments[0]}: {what}", act)
    beside = path.with_suffix(".items.parquet")
    for what, made in bytes_damaged(beside.read_bytes(), 40, "items"):
        act = partial(_result, sound, beside.name, made, ("verify", "results"), expect=TOLD)
        yield Trial("fuzzed parquet", what, act)


def _means(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
