"""Cached files prove themselves: whatever happens to one, it is given back whole or not at all."""

import errno
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innerear.util.cached import CacheUse, _warn_unwritten


def test_what_was_written_is_read(tmp_path):
    use = CacheUse()
    assert use.read(tmp_path / "a") is None
    use.write(tmp_path / "new" / "a", b"states")
    assert use.read(tmp_path / "new" / "a") == b"states"
    assert use == CacheUse()


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("cache") / "a"
    CacheUse().write(path, bytes(range(100)))
    return path


@given(st.integers(0, 8 * 132 - 1))
def test_one_flipped_bit_anywhere_is_damage(kept, bit):
    whole = kept.read_bytes()
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    kept.write_bytes(flipped)
    use = CacheUse()
    assert use.read(kept) is None
    assert use.damaged == 1
    kept.write_bytes(whole)
    assert use.read(kept) == bytes(range(100))


@given(st.integers(0, 131))
def test_a_file_cut_anywhere_is_damage(kept, length):
    whole = kept.read_bytes()
    kept.write_bytes(whole[:length])
    use = CacheUse()
    assert use.read(kept) is None
    assert use.damaged == 1
    kept.write_bytes(whole)


def test_a_folder_in_the_place_of_a_file_is_damage(tmp_path):
    use = CacheUse()
    assert use.read(tmp_path) is None
    assert use.damaged == 1


def test_damage_is_counted_and_a_cache_that_cannot_be_written_is_told_once(tmp_path, caplog, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    _warn_unwritten.cache_clear()
    with caplog.at_level(logging.WARNING):
        for name in "ab":
            use, other = CacheUse(damaged=1), CacheUse(damaged=2)
            other.write(tmp_path / name, b"states")
            use.add(other)
            use.warn(tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: 3 cached files were damaged and computed again; check the disk",
        f"{tmp_path}: going on without caching, so a second run computes it again (No space left on device)",
        f"{tmp_path}: 3 cached files were damaged and computed again; check the disk",
    ]
    assert list(tmp_path.iterdir()) == []
