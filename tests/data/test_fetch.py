"""Downloads, against a server that breaks off, ignores ranges, or changes its mind."""

import http.server
import io
import json
import threading
import zipfile

import pytest

from innerear.data.fetch import fetch_archive
from innerear.util.errors import InnerearError, InputError


@pytest.fixture
def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.txt", bytes(range(256)) * 40)
    return buffer.getvalue()


@pytest.fixture
def server(archive):
    """Serves `state["body"]` with ranges; `cut` ends the connection early."""
    state = {"body": archive, "cut": None, "ranges": [], "support_ranges": True}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            state["ranges"].append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state["support_ranges"] else 0
            body = state["body"][start:]
            if start and not body:
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state["cut"]])

        def log_message(self, *args):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    state["url"] = f"http://127.0.0.1:{httpd.server_port}/timit.zip"
    yield state
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def test_the_first_arrival_is_recorded_and_later_ones_need_no_network(server, archive, tmp_path):
    path, digest = fetch_archive(server["url"], tmp_path)
    assert path.read_bytes() == archive
    assert json.loads((tmp_path / "lock.json").read_text())["timit.zip"] == {
        "url": server["url"], "sha256": digest, "bytes": len(archive)
    }  # fmt: skip
    assert fetch_archive(server["url"], tmp_path) == (path, digest)
    assert server["ranges"] == [None]


def test_a_broken_download_resumes_where_it_stopped(server, archive, tmp_path):
    server["cut"] = 5000
    with pytest.raises(InnerearError, match="try again"):
        fetch_archive(server["url"], tmp_path)
    assert not (tmp_path / "timit.zip").exists()
    server["cut"] = None
    assert fetch_archive(server["url"], tmp_path)[0].read_bytes() == archive
    assert server["ranges"] == [None, "bytes=5000-"]


def test_a_server_without_ranges_starts_clean(server, archive, tmp_path):
    (tmp_path / "timit.zip.part").write_bytes(archive[:100])
    server["support_ranges"] = False
    assert fetch_archive(server["url"], tmp_path)[0].read_bytes() == archive


def test_a_part_that_is_too_long_starts_clean(server, archive, tmp_path):
    (tmp_path / "timit.zip.part").write_bytes(archive)
    assert fetch_archive(server["url"], tmp_path)[0].read_bytes() == archive
    assert server["ranges"][1] is None


def test_what_is_no_archive_is_not_kept(server, tmp_path):
    server["body"] = b"<html>come back later</html>"
    with pytest.raises(InnerearError, match="did not send a whole zip archive"):
        fetch_archive(server["url"], tmp_path)
    assert not list(tmp_path.glob("timit*zip*"))


def test_a_changed_archive_is_refused_by_name(server, tmp_path):
    path, _ = fetch_archive(server["url"], tmp_path)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(InnerearError, match=r"timit\.zip: SHA-256 .* delete it to fetch it again"):
        fetch_archive(server["url"], tmp_path)


def test_a_replaced_archive_at_the_source_does_not_pass_for_the_recorded_one(server, tmp_path):
    path, _ = fetch_archive(server["url"], tmp_path)
    path.unlink()
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as file:
        file.writestr("b.txt", "another")
    server["body"] = buffer.getvalue()
    with pytest.raises(InnerearError, match="is not"):
        fetch_archive(server["url"], tmp_path)


def test_a_cache_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*; set INNEREAR_CACHE to another folder"):
        fetch_archive("http://127.0.0.1:9/x.zip", tmp_path / "file" / "corpora")


def test_an_unreachable_server_is_one_clear_line(tmp_path):
    with pytest.raises(
        InnerearError, match=r"^cannot download http://127\.0\.0\.1:9/x\.zip \(.*refused.*\); try"
    ):
        fetch_archive("http://127.0.0.1:9/x.zip", tmp_path)
