"""Parquet that was damaged and sealed again: its hash fits, so that what is inside has to be judged."""

import io
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from bad_inputs import ESCAPES
from commands import command
from fuzz import RESULT, bytes_damaged, counts_all
from harness import HELD, TOLD, Outcome, Trial
from sound import CLIPS, Sound

Change = Callable[[pa.Table], pa.Table]

SAME = ("outcomes as integers", "outcomes as a dictionary", "rows reversed")
"""Changes after which a file says the same."""
READERS = (("verify", "results"), ("leaderboard", "--results", "results"))
GROUP = 200
"""Rows of a group, so that a file has several."""


def _written(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", store_schema=False, row_group_size=GROUP)
    return buffer.getvalue()


def _read(data: bytes) -> pa.Table | None:
    try:
        return pq.ParquetFile(io.BytesIO(data)).read()
    except (pa.ArrowException, OSError, ValueError):
        return None


def _with(name: str, values: pa.Array) -> Change:
    return lambda table: table.set_column(
        table.column_names.index(name), name, values[: len(table)] if len(values) > 1 else values
    )


def _each(name: str, value: object) -> Change:
    """Every value of a column replaced by one."""
    return lambda table: _with(name, pa.array([value] * len(table)))(table)


def _cast(name: str, kind: pa.DataType) -> Change:
    return lambda table: _with(name, table[name].cast(kind).combine_chunks())(table)


def _first(name: str, value: object) -> Change:
    """The first value of a column replaced."""
    return lambda table: _with(name, pa.array([value, *table[name].to_pylist()[1:]]))(table)


def _general(table: pa.Table) -> Iterator[tuple[str, Change]]:
    """Changes that every table can have."""
    for name in table.column_names:
        yield f"{name} dropped", lambda table, name=name: table.drop_columns([name])
        yield f"{name} renamed", lambda table, name=name: table.rename_columns({name: f"{name}x"})
        yield (
            f"{name} empty",
            lambda table, name=name: _with(name, pa.nulls(len(table), table[name].type))(table),
        )
        for value in (None, b"\xff", 10**18, float("nan"), ESCAPES, [1], {"a": 1}, True):
            yield f"{name} = {value!r:.20}", _each(name, value)
        yield f"first {name} empty", _first(name, None)
    yield "no rows", lambda table: table.slice(0, 0)
    yield "the first row alone", lambda table: table.slice(0, 1)
    yield "rows twice", lambda table: pa.concat_tables([table, table])
    yield "no columns", lambda table: table.select([])
    yield "a column twice", lambda table: table.append_column(table.column_names[0], table[0])


def _of_outcomes(table: pa.Table) -> Iterator[tuple[str, Change]]:
    yield from _general(table)
    for value in (-1.0, 0.5, 5.0, float("inf"), 1e308):
        yield f"first outcome = {value}", _first("outcome", value)
    yield "outcomes as text", _cast("outcome", pa.string())
    yield (
        "outcomes as integers",
        lambda table: _with("outcome", table["outcome"].cast(pa.int8()).combine_chunks())(table),
    )
    yield (
        "outcomes as a dictionary",
        lambda table: _with("outcome", table["outcome"].combine_chunks().dictionary_encode())(table),
    )
    yield (
        "outcomes turned round",
        lambda table: _with("outcome", pa.array([1 - each for each in table["outcome"].to_pylist()]))(table),
    )
    yield "rows reversed", lambda table: table.take(list(range(len(table)))[::-1])
    yield "the last row left out", lambda table: table.slice(0, len(table) - 1)


def _reseal(sound: Sound, data: bytes, arguments: tuple[str, ...], expect: str, folder: Path) -> Outcome:
    """Put other outcomes beside a result that states their hash, rows and columns, and is sealed again."""
    from hashlib import sha256

    from innerear.results.schema import Result
    from innerear.results.store import result_bytes

    sound.copy("results", folder)
    path = next((folder / RESULT).glob("moonshine-*.json"))
    (beside := path.with_suffix(".items.parquet")).write_bytes(data)
    record = json.loads(path.read_bytes())
    record["items"]["sha256"] = sha256(data).hexdigest()
    if (table := _read(data)) is not None:
        record["items"] |= {"rows": len(table), "columns": table.column_names}
    assert record["items"]["path"] == beside.name
    result = Result.model_validate(record | {"content_sha256": "", "record_sha256": ""})
    path.write_bytes(result_bytes(result))
    return command(folder, arguments, expect)


def _outcomes(sound: Sound) -> Iterator[Trial]:
    path = next((sound.folder / RESULT).glob("moonshine-*.items.parquet"))
    table = pq.read_table(path)
    variants = [(name, _written(change(table))) for name, change in _of_outcomes(table)]
    variants += bytes_damaged(_written(table), 80, "resealed")
    for number, (name, data) in enumerate(variants):
        made = _read(data)
        same = made is not None and made.equals(table)
        arguments = READERS[number % 2]
        expect = HELD if same else "" if name in SAME else TOLD
        act = partial(_reseal, sound, data, arguments, expect)
        yield Trial("resealed outcomes", f"{arguments[0]}: {name}", act)


def _check(data: bytes, clips: int, expect: str, folder: Path) -> Outcome:
    (folder / "m.parquet").write_bytes(data)
    import datasets

    datasets.config.HF_DATASETS_CACHE = folder / "cache"
    check = counts_all(clips) if clips else lambda _: ""
    return command(folder, ["corpora", "check", "m.parquet"], expect, check)


def _corpora(sound: Sound) -> Iterator[Trial]:
    """A corpus of LibriSpeech's columns, its audio inside."""
    listed = [
        {
            "id": f"{at}-{at}", "audio": {"bytes": sound.read(f"corpus/{at}.wav"), "path": f"{at}.wav"},
            "sex": "F", "transcript": "say it", "words": [{"word": "say", "start": 0.1, "end": 0.2}],
            "phonemes": [{"phoneme": "S", "start": 0.1, "end": 0.2}],
        }
        for at in range(CLIPS)
    ]  # fmt: skip
    table = pa.Table.from_pylist(listed)
    yield Trial("resealed corpus", "corpora: sound", partial(_check, _written(table), CLIPS, HELD))
    variants = [(name, _written(change(table))) for name, change in _general(table)]
    for path in ("/dev/zero", "/proc/self/mem", "none.wav", "."):
        elsewhere = pa.array([{"bytes": None, "path": path}] * CLIPS, table["audio"].type)
        variants.append((f"audio at {path}", _written(_with("audio", elsewhere)(table))))
    variants += bytes_damaged(_written(table), 60, "corpus")
    for name, data in variants:
        made = _read(data)
        readable = made is not None and made.schema == table.schema
        expect = "" if readable or "sex" in name else TOLD  # a sex may be missing
        act = partial(_check, data, len(made) if made and readable else 0, expect)
        yield Trial("resealed corpus", f"corpora: {name}", act)


def resealed(sound: Sound) -> Iterator[Trial]:
    """All trials of this module."""
    yield from _outcomes(sound)
    yield from _corpora(sound)
