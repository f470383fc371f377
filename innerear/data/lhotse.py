"""Lhotse manifests: recordings with supervisions, or cuts, as JSON lines, gzipped or not.

The library itself would read them, too, but it needs torch to be imported, and runs commands that a manifest
names; a manifest is plain JSON.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from innerear.data.kaldi import found_near
from innerear.data.tables import SYNONYMS, Rows, json_rows
from innerear.util.errors import InputError
from innerear.util.reading import read_text

_Unit = tuple[str, dict[str, Any], dict[str, Any], float]
"""Where a supervision is, the supervision, its recording, and the second from which its times count."""


def is_lhotse(row: Mapping[str, Any]) -> bool:
    """Whether the first row of a file is Lhotse's: a cut, a recording or a supervision."""
    kinds = (
        ("recording", dict), ("sources", list), ("tracks", list), ("recording_id", str),
        ("supervisions", list),
    )  # fmt: skip
    ours = {"audio", *SYNONYMS["audio"]}
    return (
        "id" in row and not ours & row.keys() and any(isinstance(row.get(name), kind) for name, kind in kinds)
    )


def read_lhotse(path: Path) -> Rows:
    """Read cuts, or the supervisions of recordings, from one of the files or the folder that holds them.

    Raises
    ------
    InputError
        If the supervisions or the recordings are missing, or a row lacks what its kind has.
    """
    folder = path if path.is_dir() else path.parent
    of_two = any(kind in path.name for kind in ("recordings", "supervisions"))
    files = (path,) if path.is_file() and not of_two else _files(path)
    tables = {file: list(json_rows(read_text(file), file.name)) for file in files}
    rows, refused = [], []
    try:
        units = list(_units(list(tables.values())))
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path.name}: not a Lhotse manifest ({error!r})") from error
    for where, supervision, recording, offset in units:
        try:
            rows.append((where, _row(supervision, recording, offset, folder)))
        except InputError as error:
            refused.append((str(supervision.get("id", where)), f"{where}: {error}"))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            reason = f"{where}: not a supervision of a Lhotse manifest ({error!r})"
            refused.append((str(supervision.get("id", where)), reason))
    name = path.name.removesuffix(".gz").removesuffix(".jsonl") if path.is_file() else folder.resolve().name
    return Rows("Lhotse manifest", name, folder, rows, tuple(files), tuple(refused))


def _files(path: Path) -> tuple[Path, ...]:
    """The cuts of a folder, or its recordings and supervisions; for one of these two files, both."""
    folder = path if path.is_dir() else path.parent
    found = {kind: sorted(folder.glob(f"*{kind}*.jsonl*")) for kind in ("cuts", "recordings", "supervisions")}
    kind = next((kind for kind in ("recordings", "supervisions") if path.is_file() and kind in path.name), "")
    if not kind and found["cuts"]:
        chosen = [found["cuts"]]
    else:
        # Splits of a corpus lie side by side: libri_recordings_dev and libri_supervisions_dev are one.
        wanted = {other: path.name.replace(kind, other) for other in ("recordings", "supervisions")}
        chosen = [
            [file for file in found[other] if not kind or file.name == wanted[other]]
            for other in ("recordings", "supervisions")
        ]
    if any(len(files) > 1 for files in chosen):
        names = ", ".join(file.name for files in chosen for file in files)
        raise InputError(f"{path}: several Lhotse manifests ({names}); give the path of one")
    if not all(chosen):
        raise InputError(
            f"{path}: recordings and supervisions belong together, and one of the two is missing"
        )
    return tuple(files[0] for files in chosen)


def _units(tables: Sequence[list[tuple[str, dict[str, Any]]]]) -> Iterator[_Unit]:
    if len(tables) == 2:
        recordings = {row.get("id"): row for _, row in tables[0]}
        for where, row in tables[1]:
            yield where, row, recordings.get(row.get("recording_id"), {}), 0.0
        return
    for where, cut in tables[0]:
        bare = {"id": cut.get("id"), "start": 0.0, "duration": cut.get("duration")}
        for row in cut.get("supervisions") or [bare]:
            channel, one = cut.get("channel", 0), row.get("channel")
            own = row | {"channel": one if isinstance(channel, list) and one in channel else channel}
            yield where, own, cut.get("recording") or {}, float(cut.get("start", 0))


def _row(
    supervision: Mapping[str, Any], recording: Mapping[str, Any], offset: float, folder: Path
) -> dict[str, Any]:
    if not recording:
        raise InputError(
            "its recording is not there, or it mixes several; write the audio to a file, and cut that"
        )
    if any(change["name"] != "Resample" for change in recording.get("transforms") or ()):
        raise InputError("the recording is changed on loading (transforms); save it as it should be heard")
    channel = supervision.get("channel", 0)
    channels = channel if isinstance(channel, list) else [channel]
    if len(channels) > 1:
        raise InputError(f"it has channels {channels}; only clips of one channel are read")
    sources = [source for source in recording["sources"] if channels[0] in source["channels"]]
    if not sources:
        raise InputError(f"no source of its recording has channel {channels[0]}")
    source = sources[0]
    if source["type"] != "file":
        raise InputError(f"its audio is of type {source['type']!r}; save it as a file")
    start = float(supervision["start"])
    first, last = offset + start, offset + start + float(supervision["duration"])
    row = {
        "id": supervision["id"],
        "audio": str(found_near(folder, source["source"])),
        "text": supervision.get("text") or "",
        "start": first,
        "end": last,
        "words": _labels(supervision, ("word", "words"), start),
        "phones": _labels(supervision, ("phone", "phones", "phoneme"), start),
        **{name: supervision.get(name) for name in ("speaker", "gender", "language")},
    }
    if len(source["channels"]) > 1:
        row["channel"] = str(source["channels"].index(channels[0]) + 1)
    return row


def _labels(supervision: Mapping[str, Any], kinds: Sequence[str], start: float) -> list[dict[str, Any]]:
    """One kind of alignment, whose times count from where the supervision's do, from its `start` on."""
    alignment = supervision.get("alignment") or {}
    found: list[Any] = next((alignment[kind] for kind in kinds if alignment.get(kind)), [])
    items = [item if isinstance(item, list) else list(item.values()) for item in found]
    return [
        {"label": symbol, "start": round(begin - start, 6), "end": round(begin - start + length, 6)}
        for symbol, begin, length, *_ in items
    ]
