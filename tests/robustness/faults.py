"""Faults of disks, processes and servers: what was measured survives, and no number is wrong.

Each of `FAULTS` gets an empty folder and returns whether it held. The slow ones run whole commands or
servers; the tests try the others, and `python tests/robustness faults` tries all.
"""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import hostile
import torch
from conftest import make_item, noise, save_tiny, tiny_model
from harness import HELD, Outcome, Trial
from hostile import API, FILES, serving
from synthetic import make_items, make_result

from innerear.activations.capture import Demand, capture
from innerear.activations.readings import Pooled
from innerear.data.schema import Corpus
from innerear.results.store import Store
from innerear.runs import pull as pulling
from innerear.runs.pull import pull
from innerear.runs.tracking import Tracker
from innerear.util.cached import SUFFIX
from innerear.util.errors import InputError
from innerear.util.io import write_bytes

LONGEST = 300.0
"""Seconds that a slow fault may take on a busy machine."""


class Fault(NamedTuple):
    """A fault, and a function that returns whether innerear held; `slow` takes more than two seconds."""

    kind: str
    name: str
    call: Callable[[Path], bool]
    slow: bool = False


def _readings(cache: Path) -> list[torch.Tensor]:
    clips = tuple(make_item(f"c{at}", noise(0.5, at)) for at in range(2))
    corpus = Corpus("test", "1", clips, "made", "none")
    (captured,) = capture(tiny_model("moonshine"), [Demand(corpus, Pooled())], cache=cache)
    return [captured.values[at]["states"] for at in (0, 1)]


def damaged_cache(damage: Callable[[bytes], bytes], folder: Path) -> bool:
    """A damaged cached reading is taken again, and the next time it is whole."""
    first = _readings(folder)
    for path in folder.rglob(f"*{SUFFIX}"):
        path.write_bytes(damage(path.read_bytes()))
    again, third = _readings(folder), _readings(folder)
    return all(map(torch.equal, first, again)) and all(map(torch.equal, first, third))


@contextmanager
def _files_of(size: int) -> Iterator[None]:
    """No file may become longer than `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _flipped(place: float, data: bytes) -> bytes:
    changed = bytearray(data)
    changed[int(place * (len(data) - 1))] ^= 1
    return bytes(changed)


def _cut(place: float, data: bytes) -> bytes:
    return data[: int(place * len(data))]


def cache_without_room(folder: Path) -> bool:
    """A cache on a full disk costs the caching only."""
    expected = _readings(folder / "good")
    with _files_of(100):
        made = _readings(folder / "full")
    return all(map(torch.equal, expected, made)) and not _files(folder / "full")


def store_without_room(folder: Path) -> bool:
    """A result that finds no room leaves the older one."""
    store = Store(folder)
    store.save(make_result(), make_items())
    before = {path: path.read_bytes() for path in _files(folder)}
    try:
        with _files_of(1000):
            store.save(make_result(), make_items().assign(outcome=0.5))
    except InputError as error:
        return "\n" not in str(error) and before == {path: path.read_bytes() for path in _files(folder)}
    return False


def killed_writer(folder: Path) -> bool:
    """What a killed process leaves of a file is gone after the next write."""
    path = folder / "a.json"
    if (writer := os.fork()) == 0:
        Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign,assignment]
        write_bytes(path, b"never")
    os.waitpid(writer, 0)
    left = _files(folder)
    write_bytes(path, b"whole")
    return len(left) == 1 and _files(folder) == [path]


def told_without_password(uri: str, folder: Path) -> bool:
    """An address that cannot be used is told in a line that does not hold its password."""
    try:
        Tracker(uri, folder).check()
    except InputError as error:
        return "hunter2" not in str(error) and "\n" not in str(error)
    return False


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")


# slow: whole commands


def _command(folder: Path, output: Path | str = "runs") -> list[str]:
    """A run of a tiny model; its cache is in `folder`."""
    if not (folder / "model").is_dir():
        save_tiny("moonshine", folder / "model")
    options = f"--models {folder / 'model'} --tasks transcription --limit 6 --output {output}"
    return [sys.executable, "-m", "innerear", "run", *options.split()]


def _ran(command: list[str], folder: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"INNEREAR_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"} | more
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def _sound(done: "subprocess.CompletedProcess[str]", *codes: int) -> bool:
    return done.returncode in codes and "Traceback" not in done.stderr


def full_disk(size: str, what: str, codes: tuple[int, ...], folder: Path) -> bool:
    """A small file system for the output or the cache; the process that mounts it takes it with it."""
    disk = folder / "disk"
    disk.mkdir()
    output, cache = (
        (disk / "runs", folder / "cache") if what == "output" else (folder / "runs", disk / "cache")
    )
    run = " ".join(_command(folder, output))
    script = (
        f"mount -t tmpfs -o size={size} none {disk} || exit 77\n{run}\ncode=$?\n"
        f"find {disk} -name '.*.tmp*' | grep -q . && exit 78\n"
        f"! ls {output}/*/*/*.json >/dev/null 2>&1 || {sys.executable} -m innerear verify {output}"
        " || exit 79\n"
        "exit $code\n"
    )
    done = _ran(["unshare", "-r", "-m", "sh", "-c", script], folder, INNEREAR_CACHE=str(cache))
    last = done.stderr.strip().splitlines()[-1:]
    return _sound(done, *codes) and (0 in codes or last[0].startswith("innerear: "))


def runs_at_once(folder: Path) -> bool:
    """Four runs start in one new folder."""
    command = _command(folder)
    environment = os.environ | {"INNEREAR_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for _ in range(4)
    ]
    told = [each.communicate()[0] for each in running]
    good = [
        each.returncode == 0 and b"Traceback" not in said for each, said in zip(running, told, strict=True)
    ]
    return all(good) and len(Store(folder / "runs").load_all()) == 1


def stopped(number: int, seconds: float, folder: Path) -> bool:
    """A run that is stopped leaves nothing half, and the next one gives what an undisturbed one gives."""
    command = _command(folder)
    environment = os.environ | {"INNEREAR_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "2"}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    time.sleep(seconds)
    os.killpg(process.pid, number)
    _, told = process.communicate()
    if process.returncode not in (0, 1, -number) or "Traceback" in told:
        return False
    again = _ran(command, folder)
    shutil.move(folder / "runs", folder / "first")
    undisturbed = _ran(command, folder, INNEREAR_CACHE=str(folder / "other"))
    made, expected = (Store(folder / name).load_all() for name in ("first", "runs"))
    left = [path for path in _files(folder) if path.name.startswith(".") and ".tmp" in path.name]
    return (
        _sound(again, 0) and _sound(undisturbed, 0) and not left
        and [each.content_sha256 for each in made] == [each.content_sha256 for each in expected]
    )  # fmt: skip


def pulled(acts: dict[str, hostile.Act], places: dict[str, str], folder: Path) -> bool:
    """A server that misbehaves with one of two runs, or as a whole, costs a line and a bounded time."""
    pulling.SECONDS, pulling.SIZE = 5, 2**20
    with serving(folder / "theirs", "good", "bad") as server:
        server.acts, server.places = acts, places
        try:
            made = pull(server.uri, Store(folder / "mine"))
        except InputError as error:
            return "\n" not in str(error) and bool(str(error)) and not places and not _own_failure(acts)
    names = [path.name.partition("-")[0] for path in made.added]
    return names == ["good"] and len(made.refused) == 1 and "\n" not in made.refused[0]


def _own_failure(acts: dict[str, hostile.Act]) -> bool:
    return all("bad" in path for path in acts)


_BAD = f"{FILES}/bad/"
_LIST = f"{FILES}?path=bad"
_WHOLE: dict[str, hostile.Act] = {
    "endless": hostile.endless,
    "a byte at a time": hostile.drip,
    "headers without an end": hostile.headers_drip,
    "no HTTP": hostile.garbage,
    "no JSON": hostile.body("{"),
    "another JSON": hostile.body("[1]"),
    "HTML": hostile.body("<html>\nwelcome\n</html>"),
    "refused": hostile.body("{}", 401),
    "failing": hostile.body("no\nhope", 500),
    "redirected in a circle": hostile.redirect(f"{API}runs/search"),
    "redirected to a file": hostile.redirect("file:///etc/passwd"),
    "nested": hostile.body("[" * 100_000),
}
_ONE: dict[str, dict[str, Any]] = {
    "endless file": {_BAD: hostile.endless},
    "slow file": {_BAD: hostile.drip},
    "no file": {_BAD: hostile.body("", 404)},
    "another file": {_BAD: hostile.body("{}")},
    "nested file": {_BAD: hostile.body("[" * 100_000)},
    "redirected file": {_BAD: hostile.redirect("http://127.0.0.1:9/")},
    "endless list": {_LIST: hostile.endless},
    "upward path": {_LIST: hostile.files("../../up.json")},
    "absolute path": {_LIST: hostile.files("/tmp/up.json")},
    "many results": {_LIST: hostile.files("a.json", "b.json")},
}
_PLACES = ("file:///etc", "/etc", "ftp://127.0.0.1/a", "http://127.0.0.1:9/a", "s4://bucket/a", "")

_ADDRESSES = (
    "http://me:hunter2@127.0.0.1:9",
    "postgresql://me:hunter2@127.0.0.1:9/db",
    "sqlite:////no/folder/db?password=hunter2",
    "nothing://me:hunter2@host",
)


def _quick() -> Iterator[Fault]:
    for name, damage in (("bit flipped", _flipped), ("file cut", _cut)):
        for place in (0.0, 0.1, 0.5, 0.999):
            call = partial(damaged_cache, partial(damage, place))
            yield Fault("faults: cache", f"{name} at {place}", call)
    yield Fault("faults: disk", "no room for cached readings", cache_without_room)
    yield Fault("faults: disk", "no room for a result", store_without_room)
    yield Fault("faults: processes", "killed while it writes a file", killed_writer)
    for uri in _ADDRESSES:
        name = f"password of {uri.partition(':')[0]}"
        yield Fault("faults: tracking", name, partial(told_without_password, uri))


def _slow() -> Iterator[tuple[str, str, Callable[[Path], bool]]]:
    for size, what, codes in (("500k", "output", (2,)), ("980k", "output", (1, 2)), ("64k", "cache", (2,))):
        yield "disk", f"{what} on {size}", partial(full_disk, size, what, codes)
    yield "processes", "four runs into one new folder", runs_at_once
    for number in (signal.SIGINT, signal.SIGKILL, signal.SIGTERM):
        for seconds in sorted(random.Random(2026).uniform(0.3, 12) for _ in range(4)):
            yield "processes", f"{number.name} after {seconds:.1f} s", partial(stopped, number, seconds)
    for name, act in _WHOLE.items():
        for path in ("experiments/search", "runs/search"):
            yield "pull", f"{name}: {path}", partial(pulled, {API + path: act}, {})
    for key in ("experiments", "runs"):
        act = hostile.pages(key)
        yield "pull", f"pages of {key} without an end", partial(pulled, {f"{API}{key}/search": act}, {})
    for name, acts in _ONE.items():
        yield "pull", name, partial(pulled, acts, {})
    for place in _PLACES:
        yield "pull", f"files at {place!r}", partial(pulled, {}, {"bad": place})


FAULTS = [*_quick(), *(Fault(f"faults: {kind}", name, call, True) for kind, name, call in _slow())]


def trials(slow: bool) -> list[Trial]:
    """Faults as trials, with or without the slow ones: one that does not hold is a fall."""

    def act(fault: Fault, folder: Path) -> Outcome:
        return Outcome(HELD if fault.call(folder) else "unclear", fault.name)

    return [
        Trial(each.kind, each.name, partial(act, each), LONGEST) for each in FAULTS if slow or not each.slow
    ]
