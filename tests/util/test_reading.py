"""Files that others made are read whole, as UTF-8 and bounded, or refused with one line."""

import gzip
import json
import os

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

from innerear.util import parquet, reading
from innerear.util.errors import InputError
from innerear.util.io import sha256_file
from innerear.util.yaml import load_yaml


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name, reason in {"pipe": "a pipe", ".": "a folder", "device": "device"}.items():
        for read in (reading.read_bytes, reading.read_text, sha256_file):
            with pytest.raises(InputError, match=reason):
                read(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read"):
        reading.read_text(tmp_path / "loop")
    with pytest.raises(InputError, match="cannot be read"):
        reading.read_text(tmp_path / "none")


def test_a_file_beyond_its_bound_is_refused_packed_or_not(tmp_path):
    (tmp_path / "large").write_bytes(b"x" * 2000)
    (tmp_path / "large.gz").write_bytes(gzip.compress(b"x" * 2000))
    for name in ("large", "large.gz"):
        assert len(reading.read_text(tmp_path / name, most=2000)) == 2000
        with pytest.raises(InputError, match=name):
            reading.read_text(tmp_path / name, most=1999)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path, encoding):
    (tmp_path / "a").write_text('{"ä": 1}', encoding=encoding)
    assert reading.read_text(tmp_path / "a") == '{"ä": 1}'
    assert reading.parse_json((tmp_path / "a").read_bytes()) == {"ä": 1}


@pytest.mark.parametrize(("encoding", "reason"), [("utf-16", "UTF-16"), ("latin-1", "not UTF-8")])
def test_other_encodings_are_named(tmp_path, encoding, reason):
    (tmp_path / "a").write_text('{"ä": 1}', encoding=encoding)
    with pytest.raises(InputError, match=reason):
        reading.read_text(tmp_path / "a")
    with pytest.raises(ValueError, match=reason):
        reading.parse_json((tmp_path / "a").read_bytes())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' * 100_000, "nested too deeply"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' is there twice"),
        ('{"a": NaN}', "NaN is no JSON"),
        ('{"a": -Infinity}', "Infinity is no JSON"),
        ('{"a": ' + "9" * 5000 + "}", "4300 digits"),
        ("{", "Expecting"),
        ("", "Expecting"),
    ],
)
def test_json_that_could_be_read_otherwise_elsewhere_is_refused_in_one_line(text, reason):
    with pytest.raises(ValueError, match=reason) as refused:
        reading.parse_json(text)
    assert "\n" not in str(refused.value)


def test_nan_is_read_where_tables_write_it():
    value = reading.parse_json('{"a": NaN, "b": Infinity}', nan=True)
    assert value["a"] != value["a"]
    assert value["b"] == float("inf")


class _Anything(BaseModel):
    a: object = None


BOMB = "b: &b [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 10)}]\n"
    for old, new in zip("bcdefghij", "cdefghijk", strict=True)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "too large"),
        ("a: &a [*a]", "endless"),
        (f"x: &x {'y' * 10_000}\na: [{','.join(['*x'] * 200)}]", "too large"),
        ("a: 1\nb: 2\na: 3", "'a' is there twice"),
        ("a: " + "[" * 3000, "nested too deeply"),
        ("a: 2020-13-45", "month"),
        ("a: 2020-01-01 25:61:61", "hour"),
        ("a: !!timestamp x", "not YAML"),
        ("a: !!float x", "float"),
        ("a: " + "9" * 5000, "digits"),
        ("a: !!python/object/apply:os.system [true]", "not YAML"),
        ("\x00", "not YAML"),
    ],
)
def test_yaml_that_grows_or_has_no_value_is_refused_in_one_line(tmp_path, text, reason):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=reason) as refused:
        load_yaml(tmp_path / "a.yaml", _Anything)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_aliases_and_merged_keys_are_read_as_written_out(tmp_path):
    (tmp_path / "a.yaml").write_text("a:\n  x: &x {c: 1}\n  y: *x\n  z: {<<: *x, d: 2}\n")
    assert load_yaml(tmp_path / "a.yaml", _Anything).a == {
        "x": {"c": 1},
        "y": {"c": 1},
        "z": {"c": 1, "d": 2},
    }


@pytest.fixture
def outcomes():
    return pd.DataFrame({"item": ["a", "b", None], "outcome": [1.0, float("nan"), 0.5], "n": [1, 2, 3]})


@pytest.mark.parametrize("most", [None, 100])
def test_parquet_is_read_as_pandas_reads_it_also_where_it_is_doubtful(tmp_path, outcomes, monkeypatch, most):
    outcomes.to_parquet(tmp_path / "a.parquet")
    if most:
        monkeypatch.setattr(parquet, "MOST_BYTES", most)
    pd.testing.assert_frame_equal(
        parquet.read_parquet(tmp_path / "a.parquet"), pd.read_parquet(tmp_path / "a.parquet")
    )


def test_parquet_that_unfolds_beyond_its_bounds_is_refused_before_it_does(tmp_path, monkeypatch):
    many = pa.table({"item": pa.array(["x" * 100]).dictionary_encode().take(pa.array([0] * 10_000))})
    pq.write_table(many, tmp_path / "a.parquet", store_schema=False)
    assert (tmp_path / "a.parquet").stat().st_size < 10_000
    assert len(parquet.read_parquet(tmp_path / "a.parquet")) == 10_000
    monkeypatch.setattr(parquet, "MOST_BYTES", 999_999)
    with pytest.raises(InputError, match="the strings of 'item' unfold"):
        parquet.read_parquet(tmp_path / "a.parquet")
    monkeypatch.setattr(parquet, "MOST_VALUES", 9_999)
    with pytest.raises(InputError, match="unfolds to 10,000 values"):
        parquet.check_parquet(tmp_path / "a.parquet")


def test_a_value_of_a_settings_file_is_never_nan():
    from innerear.tasks.task import load_task

    task = load_task("transcription").model_dump()
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="tolerance"):
            type(load_task("transcription")).model_validate(task | {"tolerance": value})
    assert json.dumps(task)
