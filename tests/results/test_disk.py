"""A full disk costs no result that was there, and leaves no half of one."""

import errno
from pathlib import Path

import pytest
from synthetic import make_items, make_result

from innerear.results.store import Store
from innerear.util.errors import InputError


@pytest.mark.parametrize("room_for", [0, 1], ids=["not the result", "not its items"])
def test_a_full_disk_keeps_the_older_result(tmp_path, monkeypatch, room_for):
    store, (one, other) = Store(tmp_path), (make_items(), make_items().assign(outcome=0.5))
    path = store.save(make_result(), one)
    before = {entry: entry.read_bytes() for entry in path.parent.iterdir()}
    assert len(before) == 2
    write, written = Path.write_bytes, []

    def fill(self, data):
        if len(written) == room_for:
            write(self, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(self)
        write(self, data)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", fill)
        with pytest.raises(InputError, match=r"^cannot write .*: No space left on device; .*make room$"):
            store.save(make_result(), other)
    assert {entry: entry.read_bytes() for entry in path.parent.iterdir()} == before
    store.save(make_result(), other)
    (result,) = store.load_all()
    assert set(store.read_items(result)["outcome"]) == {0.5}
