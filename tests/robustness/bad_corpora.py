"""Manifests, audio and labels that are wrong, hostile or impossible."""

import gzip
import io
import json
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from bad_inputs import ESCAPES, HUGE, Write, line, write_text
from commands import command
from harness import HELD, TOLD, Outcome, Trial
from sound import RATE, TEXTGRID, Sound


def _check(sound: Sound, write: Write, name: str, expect: str, folder: Path) -> Outcome:
    """Check a corpus that `write` writes beside a sound clip `a.wav`."""
    sound.copy("corpus/0.wav", folder).rename(folder / "a.wav")
    write(folder)
    return command(folder, ["corpora", "check", name], expect)


def _manifests(sound: Sound) -> Iterator[Trial]:
    lines = {
        "nothing": "",
        "blanks": " \n\n",
        "no JSON": "x\n",
        "a list": "[]\n",
        "a number": "1\n",
        "null": "null\n",
        "deep list": "[" * 100_000,
        "deep object": '{"a":' * 100_000,
        "deep value": line({})[:-2] + ', "x": ' + "[" * 5000 + "]" * 5000 + "}",
        "half a line": line({})[:20],
        "two on a line": line({})[:-1] * 2,
        "a key twice": '{"audio": "a.wav", "text": "a", "text": "b"}\n',
        "a lone surrogate": line({"text": "\ud800"}),
        "a number of 5,000 digits": line({})[:-2] + ', "x": ' + "9" * 5000 + "}",
        "an id twice": line({"id": "i"}) * 2,
        "a misspelt column": json.dumps({"audio": "a.wav", "text": "say it", "speakr": "x"}),
        "words that overlap the end": line({"words": [{"text": "say", "start": 0.1, "end": 9}]}),
        "a list of one list": "[[]]",
        "two names of the audio": '{"wav": "a.wav", "audio_filepath": "b.wav", "text": "x"}',
    }
    for name, text in lines.items():
        write = write_text("m.jsonl", text)
        yield Trial("bad manifest", name, partial(_check, sound, write, "m.jsonl", TOLD))
    values: dict[str, tuple[Any, ...]] = {
        "audio": (
            "",
            " ",
            None,
            1,
            [],
            {},
            "none.wav",
            ".",
            "..",
            "/",
            "~",
            "~nobody/a.wav",
            "x" * 300,
            "x" * 5000,
            "a\0b",
            f"{ESCAPES}.wav",
            "http://host/a.wav",
            "s3://b/a",
            "file:///none",
            "\\\\host\\a.wav",
            "/dev/zero",
            "/dev/stdin",
            "/proc/self/mem",
            "../../../../etc/passwd",
            "a.wav/b",
            "%00.wav",
            "$(touch x)",
            "|cat",
        ),
        "text": (None, [], {}, "", " ", "\u200b", "...", "<unk>", "uh um"),
        "start": (-1, 9, "x", [], float("nan"), float("inf"), 1e308, HUGE, -HUGE, True, "1e999", "0x10"),
        "end": (-1, 0, 9, "x", {}, float("inf"), 1e-300, HUGE),
        "duration": (-1, 0, 9, "x", float("inf"), HUGE, 1e-9),
        "channel": ("0", "-1", "x", "99", HUGE, "1.5", ESCAPES),
        "speech": ("maybe", 7, [], False),
        "id": (ESCAPES, "x" * 5000, "../../x", "a/b", [], {}),
        "speaker": (ESCAPES, [], {}, "x" * 5000),
        "language": ("klingon", ESCAPES, 5, [], "en-XX-YY-ZZ", "x" * 999),
        "gender": ([], {}, ESCAPES),
        "words": (
            "x",
            1,
            {},
            [1],
            ["say"],
            [[]],
            [{}],
            [{"text": "a"}],
            [{"text": "a", "start": "x", "end": 1}],
            [{"text": "a", "start": 0.2, "end": 0.1}],
            [{"text": "a", "start": -1, "end": 0.1}],
            [{"text": "a", "start": float("nan"), "end": 0.1}],
            [{"text": "a", "start": 0, "end": float("inf")}],
            [{"text": "b", "start": 0.3, "end": 0.4}, {"text": "a", "start": 0.1, "end": 0.2}],
            [{"text": "a", "start": 0, "end": 0.1, "x": 1}],
            "[" * 9999,
        ),
        "phones": (
            "x",
            [1],
            [{"label": "?", "start": 0, "end": 0.1}],
            [{"label": "", "start": 0.3, "end": 0.2}],
            [{"label": ESCAPES, "start": 0, "end": 0.1}],
            [{"label": "AA", "start": 0, "end": HUGE}],
            [{"label": "AA", "start": 0.0, "end": 0.3}, {"label": "B", "start": 0.1, "end": 0.2}],
        ),
        "phone_set": ("x", ESCAPES, 1, []),
        "textgrid": ("none", ".", "a.wav", "/dev/zero", ESCAPES, 1, "m.jsonl"),
        "ctm": ("none", ".", "a.wav", "/dev/zero", ESCAPES, "m.jsonl"),
        "word_ctm": ("none", "/dev/stdin", "."),
        "target_lang": ("de",),
        "start_ms": (5,),
        "offset_samples": (10,),
    }
    for column, bad_values in values.items():
        for value in bad_values:
            write = write_text("m.jsonl", line({column: value}) + line({"id": "sound"}))
            yield Trial(
                "bad manifest", f"{column} = {value!r:.40}", partial(_check, sound, write, "m.jsonl", "")
            )
    both = line({}) + line({"id": "b"})
    for encoding in ("utf-8-sig", "utf-16", "utf-32", "utf-16-le", "cp037"):
        expect = HELD if encoding == "utf-8-sig" else TOLD
        write = write_text("m.jsonl", both, encoding)
        yield Trial("bad manifest", f"in {encoding}", partial(_check, sound, write, "m.jsonl", expect))
    head = "audio,text,speaker\n"
    tables = {
        "nothing": "",
        "a header alone": head,
        "no header": "a.wav,say it,s\n",
        "a quote that never ends": head + '"a.wav',
        "too few cells": head + "a.wav\n",
        "too many cells": head + "a.wav,a,b,c,d\n",
        "NUL": head + "a\0.wav,a,b\n",
        "a column twice": "audio,text,text\na.wav,a,b\n",
        "a cell of 200,000 letters": head + f"a.wav,{'x ' * 100_000},s\n",
        "a header of escapes": f"audio,text,{ESCAPES}\na.wav,a,b\n",
        "100,000 columns": ",".join(["audio", *map(str, range(100_000))]),
        "only commas": ",,,\n,,,\n",
        "a bare CR": "audio,text\ra.wav,say\r",
        "quotes inside": head + 'a.wav,"a"b"c,s\n',
        "html": "<html><body>404</body></html>\n",
        "a formula": head + "=cmd|' /C calc'!A0,x,s\n",
    }
    for suffix, mark in (("csv", ","), ("tsv", "\t"), ("csv", ";")):
        for name, text in tables.items():
            write = write_text(f"m.{suffix}", text.replace(",", mark))
            # a very long sentence, a column of any name and lines of old Macs can be read
            expect = "" if any(word in name for word in ("quote", "200", "escapes", "CR")) else TOLD
            act = partial(_check, sound, write, f"m.{suffix}", expect)
            yield Trial("bad manifest", f"{suffix} {mark!r}: {name}", act)
    packed = gzip.compress(both.encode())
    for name, data in {
        "cut": packed[:-9],
        "no gzip": b"x",
        "empty": b"",
        "flipped": packed[:20] + b"\0" + packed[21:],
    }.items():
        write = partial(lambda data, folder: (folder / "m.jsonl.gz").write_bytes(data), data)
        yield Trial("bad manifest", f"gzip: {name}", partial(_check, sound, write, "m.jsonl.gz", TOLD))
    yield Trial("bad manifest", "gzip: a bomb", partial(_check, sound, _gzip_bomb, "m.jsonl.gz", TOLD), 120)


def _gzip_bomb(folder: Path) -> None:
    """Two GiB of blanks in two MiB."""
    with gzip.open(folder / "m.jsonl.gz", "wb", 1) as file:
        for _ in range(128):
            file.write(b" " * 2**24)


def wav(**lies: int) -> bytes:
    """A WAV of half a second whose header tells lies."""
    told = {
        "riff": 36 + RATE,
        "form": 1,
        "channels": 1,
        "rate": RATE,
        "bytes": 2 * RATE,
        "align": 2,
        "bits": 16,
        "data": RATE,
        "fmt": 16,
    } | lies
    samples = np.random.default_rng(0).normal(0, 3000, RATE // 2).astype("<i2").tobytes()
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        told["riff"],
        b"WAVE",
        b"fmt ",
        told["fmt"],
        told["form"],
        told["channels"],
        told["rate"],
        told["bytes"],
        told["align"],
        told["bits"],
        b"data",
        told["data"],
    )
    return head + samples


def _encoded(samples: np.ndarray, suffix: str, rate: int = RATE, subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=suffix, subtype=subtype)
    return buffer.getvalue()


def _flac(total: int, rate: int = RATE) -> bytes:
    """A FLAC of half a second whose header states another number of samples, or another rate."""
    data = bytearray(_encoded(np.random.default_rng(0).normal(0, 0.1, RATE // 2), "FLAC"))
    packed = int.from_bytes(data[18:26], "big") & ~((1 << 36) - 1 | (((1 << 20) - 1) << 44))
    data[18:26] = (packed | total | rate << 44).to_bytes(8, "big")
    return bytes(data)


def _audio(sound: Sound) -> Iterator[Trial]:
    some = np.random.default_rng(0).normal(0, 0.1, RATE)
    lies = {
        **{
            f"wav: {name} = {value:,}": wav(**{name: value})
            for name in ("riff", "channels", "rate", "align", "bits", "data", "fmt", "form", "bytes")
            for value in (0, 1, 7, 255, 65535, 2**31 - 1, 2**32 - 1)
            if value < 65536 or name in ("riff", "rate", "data", "fmt", "bytes")
        },
        **{
            f"flac: {total:,} samples": _flac(total)
            for total in (0, 1, RATE // 2 - 1, RATE, 2**32, 2**36 - 1)
        },
        **{f"flac: {rate:,} Hz": _flac(RATE // 2, rate) for rate in (0, 1, 2**20 - 1)},
        "empty": b"",
        "a byte": b"R",
        "text": b"not audio",
        "html": b"<html>404</html>",
        "zeros": bytes(9999),
        "a WAV header alone": wav()[:44],
        "half a header": wav()[:20],
        "RIFX": b"RIFX" + wav()[4:],
        "ogg magic": b"OggS" * 50,
        "flac magic": b"fLaC" + bytes(50),
        "mp3 frames of nothing": b"\xff\xfb\x90\x00" * 200,
        "ID3 of 256 MiB": b"ID3\4\0\0\x7f\x7f\x7f\x7f",
        "NaN": _encoded(np.full(RATE, np.nan), "WAV", subtype="FLOAT"),
        "infinity": _encoded(np.full(RATE, np.inf), "WAV", subtype="DOUBLE"),
        "one NaN": _encoded(np.r_[some, np.nan], "WAV", subtype="FLOAT"),
        "1e300": _encoded(some * 1e300, "WAV", subtype="DOUBLE"),
        "16-bit values as floats": _encoded(some * 32768, "WAV", subtype="FLOAT"),
        "one sample": _encoded(some[:1], "WAV"),
        "no samples": _encoded(some[:0], "WAV"),
        "silence": _encoded(some * 0, "WAV"),
        "20 ms": _encoded(some[:320], "FLAC"),
        "at 1 Hz": _encoded(some, "WAV", 1),
        "at 100 Hz": _encoded(some, "WAV", 100),
        "at 2 GHz": _encoded(some, "WAV", 2**31 - 1),
        "opposite channels": _encoded(np.c_[some, -some], "WAV"),
        "a zip": b"PK\3\4" + bytes(99),
        "pickle": b"\x80\4cos\nsystem\n",
        "a FLAC cut": _encoded(some, "FLAC")[:-200],
        "an Ogg cut": _encoded(some, "OGG")[:-99],
        "an MP3 cut": _encoded(some, "MP3")[:700],
    }
    accepted = (
        "riff",
        "align = 65535",
        "bytes",
        "fmt",
        "form",
        "bits",
        "RIFX",
        "2**31",
        "align",
        "rate",
        "Hz",
        "channels",
    )
    for name, data in lies.items():
        write = partial(_one_clip, data)
        expect = "" if any(word in name for word in accepted) or name.startswith("flac: 7,999") else TOLD
        if name in ("wav: data = 0", "wav: data = 2,147,483,647", "wav: data = 4,294,967,295"):
            expect = ""  # a stream, whose size is not stated
        yield Trial("bad audio", name, partial(_check, sound, write, "m.jsonl", expect))
    for channels in (1, 8):
        write = partial(_silence, channels)
        yield Trial(
            "bad audio",
            f"days of silence in {channels} channels",
            partial(_check, sound, write, "m.jsonl", TOLD),
        )


def _one_clip(data: bytes, folder: Path) -> None:
    (folder / "b.audio").write_bytes(data)
    (folder / "m.jsonl").write_text(line({"audio": "b.audio"}))


def _silence(channels: int, folder: Path) -> None:
    """Hours of silence, which FLAC packs to next to nothing."""
    with soundfile.SoundFile(folder / "b.flac", "w", RATE, channels) as file:
        for _ in range(170 // channels):
            file.write(np.zeros((RATE * 60, channels), np.int16))
    (folder / "m.jsonl").write_text(line({"audio": "b.flac"}))


def _grids(sound: Sound) -> Iterator[Trial]:
    whole = TEXTGRID
    grids = {
        "nothing": "",
        "text": "x",
        "JSON": "{}",
        "deep JSON": "[" * 99_999,
        "a header alone": whole[:40],
        "cut": whole[:-60],
        "10^9 tiers": whole.replace("size = 2\nitem", "size = 1000000000\nitem"),
        "10^9 intervals": whole.replace("intervals: size = 2", "intervals: size = 1000000000"),
        "points": whole.replace("IntervalTier", "TextTier"),
        "NaN": whole.replace("xmax = 0.3", "xmax = NaN"),
        "infinity": whole.replace("xmax = 0.5", "xmax = inf"),
        "1e999": whole.replace("xmax = 0.5", "xmax = 1e999"),
        "backwards": whole.replace(
            "xmin = 0.3\n            xmax = 0.5", "xmin = 0.5\n            xmax = 0.3"
        ),
        "longer than the clip": whole.replace("0.5", "50"),
        "negative": whole.replace("xmin = 0\n", "xmin = -5\n"),
        "other tiers": whole.replace('"words"', '"a"').replace('"phones"', '"b"'),
        "escapes": whole.replace('"words"', f'"{ESCAPES}"').replace('"phones"', '"b"'),
        "no numbers": whole.replace("0.3", "x"),
        "unknown phones": whole.replace('"EY1"', f'"{ESCAPES}"'),
        "the same tier twice": whole.replace('"phones"', '"words"'),
        "an open quote": whole.replace('"it"', '"it'),
    }
    row = line({"textgrid": "g"})
    for name, text in grids.items():
        write = partial(
            lambda text, folder: (write_text("g", text)(folder), write_text("m.jsonl", row)(folder)), text
        )
        yield Trial("bad labels", f"TextGrid: {name}", partial(_check, sound, write, "m.jsonl", ""))
    for encoding in ("utf-16", "utf-8-sig"):
        write = partial(
            lambda encoding, folder: (
                write_text("g", whole, encoding)(folder),
                write_text("m.jsonl", row)(folder),
            ),
            encoding,
        )
        yield Trial("bad labels", f"TextGrid in {encoding}", partial(_check, sound, write, "m.jsonl", HELD))
    ctms = {
        "nothing": "",
        "few fields": "a 1 0.1\n",
        "no numbers": "a 1 x y say\n",
        "NaN": "a 1 nan 0.1 say\n",
        "infinite": "a 1 0 inf say\n",
        "negative": "a 1 -5 0.1 say\n",
        "past the end": "a 1 0.4 9 say\n",
        "other clips": "b 1 0 0.1 say\n",
        "backwards": "a 1 0.3 -0.2 say\n",
        "channel x": "a x 0 0.1 say\n",
        "escapes": f"a 1 0 0.1 {ESCAPES[:-2]}\n",
        "1e400": "a 1 1e400 0.1 say\n",
        "NUL": "a 1 0 0.1 \0\n",
    }
    for column in ("ctm", "word_ctm"):
        for name, text in ctms.items():
            write = partial(
                lambda text, column, folder: (
                    write_text("c", text)(folder),
                    write_text("m.jsonl", line({column: "c"}))(folder),
                ),
                text,
                column,
            )
            yield Trial("bad labels", f"{column}: {name}", partial(_check, sound, write, "m.jsonl", ""))


def bad_corpora(sound: Sound) -> Iterator[Trial]:
    """All trials of this module."""
    yield from _manifests(sound)
    yield from _audio(sound)
    yield from _grids(sound)
