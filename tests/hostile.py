"""A small MLflow server over HTTP that keeps results, and can be told to misbehave."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from synthetic import make_sound

from innerear.results.store import Store

API = "/api/2.0/mlflow/"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
Act = Callable[["Handler"], None]


def sealed(folder: Path, name: str) -> Path:
    """A result that passes `verify`, in a store."""
    return Store(folder).save(*make_sound(model={"name": name}))


class Server(ThreadingHTTPServer):
    """Serves the result files in `runs`; `acts` replaces the answer to paths that start with a key."""

    daemon_threads = True
    runs: dict[str, Path]
    places: dict[str, str]
    acts: dict[str, Act]

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        try:
            for start, act in self.server.acts.items():
                if self.path.startswith(start):
                    act(self)
                    return
            self._answer(path)
        except OSError:
            pass  # the client has had enough

    do_POST = do_GET

    def _answer(self, path: str) -> None:
        if path == f"{API}experiments/search":
            self.json({"experiments": [self.experiment("1")]})
        elif path == f"{API}runs/search":
            self.json({"runs": [self.run(name) for name in self.server.runs]})
        elif path == FILES:
            where = parse_qs(urlsplit(self.path).query)["path"][0]
            listed = self.server.runs[where].parent.iterdir()
            self.json({"files": [{"path": each.name, "is_dir": False} for each in listed if each.is_file()]})
        elif path.startswith(f"{FILES}/"):
            run, name = path.removeprefix(f"{FILES}/").split("/")
            self.send(200, (self.server.runs[run].parent / name).read_bytes())
        else:
            self.send(404 if path != "/" else 200, b"")

    @staticmethod
    def experiment(number: str) -> dict[str, Any]:
        return {"experiment_id": number, "name": f"innerear{number}", "lifecycle_stage": "active"}

    def run(self, name: str) -> dict[str, Any]:
        info = {
            "run_id": name, "run_uuid": name, "experiment_id": "1", "status": "FINISHED",
            "artifact_uri": self.server.places.get(name, f"mlflow-artifacts:/{name}"), "start_time": 1,
            "lifecycle_stage": "active", "end_time": 2,
        }  # fmt: skip
        return {"info": info, "data": {"tags": [{"key": "innerear.content_sha256", "value": name}]}}

    def json(self, value: object) -> None:
        self.send(200, json.dumps(value).encode())

    def send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, piece: bytes, pause: float) -> None:
        """Send the same piece again and again, without an end."""
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(piece)
            time.sleep(pause)


@contextmanager
def serving(folder: Path, *runs: str) -> Iterator[Server]:
    """A server with these runs, each with a sound result of its own."""
    server = Server(("127.0.0.1", 0), Handler)
    server.runs = {name: sealed(folder / name, name) for name in runs}
    server.places, server.acts = {}, {}
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def endless(handler: Handler) -> None:
    handler.stream(b" " * 2**20, 0)


def drip(handler: Handler) -> None:
    handler.stream(b" ", 0.2)


def headers_drip(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X: y\r\n")
        time.sleep(0.2)


def pages(key: str) -> Act:
    """Always one more page of a list."""

    def act(handler: Handler) -> None:
        one = handler.experiment("1") if key == "experiments" else handler.run("good")
        handler.json({key: [one], "next_page_token": "more"})

    return act


def body(text: str, status: int = 200) -> Act:
    return lambda handler: handler.send(status, text.encode())


def redirect(target: str) -> Act:
    return lambda handler: handler.send(302, b"", Location=target)


def files(*names: str) -> Act:
    return lambda handler: handler.json({"files": [{"path": name, "is_dir": False} for name in names]})


def garbage(handler: Handler) -> None:
    handler.wfile.write(b"\x00\xff" * 1000)
