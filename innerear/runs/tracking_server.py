"""The MLflow server or database that results are logged to and pulled from: connecting, locking, naming.

Its address may hold a password; what is printed, logged or stored is `shown(uri)`.
"""

import errno
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from filelock import FileLock, Timeout

from innerear.util.errors import InnerearError, InputError
from innerear.util.sanitise import clean

if TYPE_CHECKING:
    from mlflow import MlflowClient

CONTENT_TAG = "innerear.content_sha256"
"""The tag of a run that holds its result's content hash."""
MODEL_TAG = "innerear.model_sha256"
"""The tag of a run, and of a logged model, that holds the hash of a model."""
SECONDS = 5
"""How long a server may take to answer the first request."""
PATIENCE = 300
"""Seconds to wait for another process that writes to the same SQLite database."""

_LONGEST_NAME = 250  # MLflow's limit of characters in the name of a metric or parameter
_LONGEST_REASON = 300
_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_QUERY = re.compile(r"(?i)([\w]*(?:passw|pwd|token|secret|odbc_connect)\w*=)[^&\s]*")


def shown(text: str) -> str:
    """An address, or text with addresses in it, without user names, passwords and secrets of queries."""
    return _QUERY.sub(r"\1***", re.sub(r"://\S*@", "://***@", text))


def reason_of(error: BaseException, uri: str) -> str:
    """Why a call of MLflow failed, in one line without secrets: what the system said, if anything."""
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(inner)
    root = next((each for each in reversed(chain) if isinstance(each, OSError)), error)
    text = clean((str(root).strip().splitlines() or [""])[0]) or type(root).__name__
    given = re.search(r"://[^:\s]*:(\S*)@", uri)
    secrets = [given[1], unquote(given[1])] if given else []
    for secret in (*secrets, *(os.environ.get(name, "") for name in _SECRETS)):
        text = text.replace(secret, "***") if secret else text
    text = shown(text)[:_LONGEST_REASON]
    if "CERTIFICATE_VERIFY_FAILED" in text:
        text += "; MLFLOW_TRACKING_SERVER_CERT_PATH names the file of a certificate to trust"
    if re.search(r"\b(401|403)\b", text):
        text += "; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    return text


def legal(name: str) -> str:
    """The name under which MLflow accepts a metric or parameter: mostly the name itself.

    Characters other than letters, digits, `_`, `.`, `-`, space and `/` become `_`, and so do parts between
    slashes that are empty or only dots; a name that was changed, or cut to 250 characters, ends in `-` and
    the first 8 digits of the SHA-256 of the original, so that no two names become one.
    """
    parts = re.sub(r"[^\w.\- /]", "_", name).split("/")
    made = "/".join("_" if not part.strip(".") else part for part in parts)
    if made == name and len(made) <= _LONGEST_NAME:
        return name
    return f"{made[: _LONGEST_NAME - 9]}-{sha256(name.encode(errors='replace')).hexdigest()[:8]}"


def connect(uri: str) -> "MlflowClient":
    """A client of a server that answers; otherwise raises what MLflow or the network raise."""
    made = client(uri)
    _probe(uri)
    return made


def client(uri: str) -> "MlflowClient":
    """A client, whether or not the server answers: quiet, without usage data, and not patient for minutes."""
    # MLflow sends usage data to its developers by default. Which models and corpora a user measures is
    # private, and innerear must work without a network.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # standard output is for results
    # a server that fails after the check costs seconds, not the minutes of MLflow's defaults
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    from mlflow import MlflowClient  # a second of imports, only for those who track

    for chatter in ("mlflow", "alembic"):
        logging.getLogger(chatter).setLevel(logging.WARNING)
    return MlflowClient(uri, registry_uri=uri)


def is_server(uri: str) -> bool:
    """Whether an address is that of an MLflow server, not of a database."""
    return uri.startswith(("http://", "https://"))


@contextmanager
def alone(uri: str) -> Iterator[None]:
    """Let one process at a time make, migrate and write an SQLite database; servers look after themselves.

    Raises
    ------
    InnerearError
        If another process holds the database for `PATIENCE` seconds.
    """
    database = _sqlite_file(uri)
    if database is None:
        yield
        return
    if not database.parent.is_dir():  # which a lock would make
        raise FileNotFoundError(errno.ENOENT, "No such folder", str(database.parent))
    lock = database.with_name(f"{database.name}.lock")
    try:
        held = FileLock(lock).acquire(timeout=PATIENCE)
    except Timeout as error:
        raise InnerearError(
            f"{database}: another process has held {lock} for {PATIENCE} s; end it and run again"
        ) from error
    with held:
        yield


def _sqlite_file(uri: str) -> Path | None:
    if not uri.startswith("sqlite"):
        return None
    import sqlalchemy

    name = sqlalchemy.make_url(uri).database
    return Path(name) if name and name != ":memory:" else None


def _probe(uri: str) -> None:
    """Try the address once, with MLflow's credentials and certificates; MLflow would retry for minutes."""
    if is_server(uri):
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        # any answer will do; the first call will show whether access is allowed
        http_request(
            get_default_host_creds(uri), "/", "GET", max_retries=0, timeout=SECONDS, raise_on_status=False,
            stream=True,
        ).close()  # fmt: skip
        return
    import sqlalchemy

    try:
        engine = sqlalchemy.create_engine(uri)
    except sqlalchemy.exc.ArgumentError as error:
        raise InputError(
            f"--tracking-uri {shown(uri)!r} is neither http(s)://… nor a database URI"
        ) from error
    try:
        sqlalchemy.inspect(engine).get_table_names()
    finally:
        engine.dispose()
