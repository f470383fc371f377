"""Addresses without their passwords, legal names, and MLflow's own settings for servers that ask for them."""

import base64
import ssl
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name

from innerear.runs import tracking_server
from innerear.runs.tracking import Tracker
from innerear.runs.tracking_server import connect, legal, reason_of, shown
from innerear.util.errors import InnerearError, InputError


@pytest.mark.parametrize(
    ("uri", "safe"),
    [
        ("http://host:5000/a", "http://host:5000/a"),
        ("https://me:hunter2@host/a", "https://***@host/a"),
        ("https://hunter2@host", "https://***@host"),
        ("postgresql+psycopg2://me:hunter2/@hunter2@host/db", "postgresql+psycopg2://***@host/db"),
        ("postgresql://host/db?a=b&password=hunter2", "postgresql://host/db?a=b&password=***"),
        ("run --tracking-uri=http://a:hunter2@b --limit 3", "run --tracking-uri=http://***@b --limit 3"),
    ],
)  # fmt: skip
def test_an_address_is_shown_without_its_secrets(uri, safe):
    assert shown(uri) == safe


def test_the_reason_of_an_error_holds_no_secret_and_no_second_line(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok-en")
    error = RuntimeError("login with hunt/er2, hunt%2Fer2 or tok-en at http://me:x@h failed\x1b[2J\nmore")
    told = reason_of(error, "postgresql://me:hunt%2Fer2@host/db")
    assert told == "login with ***, *** or *** at http://***@h failed [2J"


@pytest.mark.parametrize("uri", ["http://me:hunter2@127.0.0.1:9", "sqlite:////no/db?password=hunter2",
                                 "postgres+nothing://me:hunter2@x/y"])  # fmt: skip
def test_an_address_that_cannot_be_used_is_told_without_its_password(uri, tmp_path):
    with pytest.raises(InputError) as caught:
        Tracker(uri, tmp_path).check()
    assert "hunter2" not in str(caught.value)
    assert "***" in str(caught.value)


def test_names_that_mlflow_accepts_stay():
    for name in ("accuracy", "probe.accuracy.low", "system/cpu", "noise 10 dB", "Wörter"):
        assert legal(name) == name
    assert legal("a(b)").startswith("a_b_-")
    assert legal("a(b)") != legal("a[b]")


@given(st.text(max_size=300))
def test_every_name_becomes_legal_and_stays_itself(name):
    made = legal(name)
    _validate_metric_name(made)
    assert len(made) <= 250
    assert legal(made) == made


class _Quiet(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.headers.append(self.headers)
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def certificate(tmp_path) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    today = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(today - timedelta(1)).not_valid_after(today + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path / "own.pem"
    path.write_bytes(private + made.public_bytes(pem))
    return path


@pytest.fixture
def server(certificate):
    """A server with that certificate; it answers 404 and keeps the headers of requests."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), _Quiet)
    made.headers = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    made.socket = context.wrap_socket(made.socket, server_side=True)
    Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.mark.filterwarnings("ignore:Unverified HTTPS")
def test_a_certificate_of_your_own_is_trusted_as_mlflow_is_told(server, certificate, monkeypatch, tmp_path):
    uri = f"https://127.0.0.1:{server.server_address[1]}"
    with pytest.raises(InputError, match="MLFLOW_TRACKING_SERVER_CERT_PATH"):
        Tracker(uri, tmp_path).check()
    with monkeypatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
        patched.setenv("MLFLOW_TRACKING_TOKEN", "tok-en")
        connect(uri)
    assert server.headers[-1]["Authorization"] == "Bearer tok-en"
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    connect(uri)
    assert server.headers[-1]["Authorization"] == "Basic " + base64.b64encode(b"me:hunter2").decode()


def test_a_database_that_another_process_never_lets_go_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking_server, "PATIENCE", 0.1)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with (
        tracking_server.alone(uri),
        pytest.raises(InnerearError, match=r"mlflow\.db: another process has held .*lock"),
        tracking_server.alone(uri),
    ):
        pass
