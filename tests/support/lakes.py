"""An Iceberg REST catalogue on this machine that can be told to fail; with fixtures."""

from __future__ import annotations

import contextlib
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import pyarrow_to_schema, write_file
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import CommitTableRequest, Table, WriteTask

from conftest import Home
from filled_store import LAST, SOURCE, put, some_days
from object_stores import BUCKET, sign_in_at

REST = "iceberg://customers/figures"
WAREHOUSE = f"s3://{BUCKET}/lake"
TOKEN = "made-up-catalogue-token"
_CONFLICT, _MISSING, _UNAUTHORIZED = 409, 404, 401


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, code: int, kind: str) -> None:
        super().__init__(code)
        self.code, self.kind = code, kind


class RestCatalogue:
    """The tables are those of a SQL catalogue. `before` and `after` are called around each commit
    to a table, and may raise Refused.
    """

    def __init__(self, folder: Path, warehouse: str, **properties: str) -> None:
        uri = f"sqlite:///{folder / 'rest.db'}"
        self.tables = SqlCatalog("rest", uri=uri, warehouse=warehouse, **properties)
        self.before: Callable[[str], None] = lambda _table: None
        self.after: Callable[[str], None] = lambda _table: None
        self.commits: list[str] = []
        self.folder = Path(warehouse.removeprefix("file://"))
        """Where the tables are, unless that is an object store."""
        self.url = ""
        self._turn = threading.Lock()

    def _check(self, authorization: str | None) -> None:
        if authorization != f"Bearer {TOKEN}":
            raise Refused(_UNAUTHORIZED, "NotAuthorizedException")

    def answer(self, method: str, path: str, body: Any) -> Any:
        """The answer to a request, as JSON."""
        parts = path.partition("?")[0].strip("/").split("/")[1:]
        match method, *parts:
            case "GET", "config":
                return {"defaults": {}, "overrides": {}}
            case "POST", "namespaces":
                self.tables.create_namespace(tuple(body["namespace"]))
                return {"namespace": body["namespace"], "properties": {}}
            case "POST", "namespaces", namespace, "tables":
                return self._create(namespace, body)
            case "GET", "namespaces", namespace, "tables", table:
                return self._loaded(namespace, table)
            case "POST", "namespaces", namespace, "tables", table:
                return self._commit(namespace, table, body)
        raise Refused(_MISSING, "NoSuchEndpoint")

    def _create(self, namespace: str, body: Any) -> Any:
        self.tables.create_table(
            (namespace, body["name"]),
            Schema.model_validate(body["schema"]),
            partition_spec=PartitionSpec.model_validate(body["partition-spec"]),
            properties=body.get("properties") or {},
        )
        return self._loaded(namespace, body["name"])

    def _loaded(self, namespace: str, name: str) -> Any:
        table = self.tables.load_table((namespace, name))
        return {
            "metadata-location": table.metadata_location,
            "metadata": msgspec.json.decode(table.metadata.model_dump_json()),
            "config": {},
        }

    def _commit(self, namespace: str, name: str, body: Any) -> Any:
        body["identifier"] = {"namespace": [namespace], "name": name}
        request = CommitTableRequest.model_validate(body)
        self.before(name)
        table = self.tables.load_table((namespace, name))
        done = self.tables.commit_table(table, request.requirements, request.updates)
        self.commits.append(name)
        self.after(name)
        return {
            "metadata-location": done.metadata_location,
            "metadata": msgspec.json.decode(done.metadata.model_dump_json()),
        }

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer a request."""
        size = int(handler.headers.get("Content-Length") or 0)
        body = msgspec.json.decode(handler.rfile.read(size)) if size else None
        code, answer = 200, None
        try:
            with self._turn:
                self._check(handler.headers.get("Authorization"))
                answer = self.answer(handler.command, handler.path, body)
        except (
            CommitFailedException,
            NamespaceAlreadyExistsError,
            TableAlreadyExistsError,
        ) as error:
            code, answer = _CONFLICT, _error(_CONFLICT, type(error).__name__)
        except NoSuchTableError:
            code, answer = _MISSING, _error(_MISSING, "NoSuchTableException")
        except Refused as error:
            code, answer = error.code, _error(error.code, error.kind)
        data = msgspec.json.encode(answer)
        handler.send_response(code)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", f"{len(data)}")
        handler.end_headers()
        handler.wfile.write(data)


def _error(code: int, kind: str) -> dict[str, Any]:
    return {"error": {"message": f"made up: {kind}", "type": kind, "code": code}}


@contextlib.contextmanager
def serving(catalogue: RestCatalogue) -> Iterator[RestCatalogue]:
    """Serve the catalogue; its `url` is set."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing."""

        def do_GET(self) -> None:
            catalogue.respond(self)

        do_POST = do_GET  # noqa: N815

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        catalogue.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield catalogue
        finally:
            server.shutdown()
            thread.join()
            catalogue.tables.close()


def merge_files(table: Table) -> None:
    """Put the rows of a table's only partition into one file, as compaction does."""
    rows, (task, *_) = table.scan().to_arrow(), table.scan().plan_files()
    values = [
        PartitionFieldValue(field, task.file.partition[place])
        for place, field in enumerate(table.spec().fields)
    ]
    key = PartitionKey(values, table.spec(), table.schema())
    schema = pyarrow_to_schema(rows.schema, name_mapping=table.schema().name_mapping)
    work = WriteTask(uuid.uuid4(), 0, schema, rows.to_batches(), partition_key=key)
    with table.transaction() as change:
        change.delete(AlwaysTrue())
        with change.update_snapshot().fast_append() as added:
            for file in write_file(table.io, table.metadata, iter([work])):
                added.append_data_file(file)


@pytest.fixture
def lake(home: Home) -> Path:
    """The lake to which runs write by default; the store has three days."""
    return _filled(home)


def _filled(home: Home) -> Path:
    home.settings |= {
        "STORE_URL": f"sqlite:///{home.data / 'usage.db'}",
        "METRICS_SOURCE": SOURCE,
        "RECONCILE": "warn",
    }
    put(home.settings["STORE_URL"], some_days(3, users=4))
    return home.data / "iceberg"


@pytest.fixture(scope="session")
def first_export(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Path]:
    """A home whose three days were exported to its lake once, and a copy of all its files."""
    home = Home(tmp_path_factory.mktemp("lake") / "home")
    home.path.mkdir()
    _filled(home)
    first = LAST - timedelta(2)
    assert home.run("export", f"{first}", f"{LAST}", "--format", "iceberg").code == 0
    return home, shutil.copytree(home.path, home.path.with_name("copy"))


@pytest.fixture
def exported_lake(first_export: tuple[Home, Path]) -> tuple[Home, Path]:
    """A home, and its lake, to which the store's three days were exported.

    The home is in the same place for each test, because a lake names its files by absolute paths.
    """
    home, copy = first_export
    shutil.rmtree(home.path)
    shutil.copytree(copy, home.path)
    return Home(home.path, {**home.settings}), home.data / "iceberg"


@pytest.fixture
def catalogue(home: Home, lake: Path) -> Iterator[RestCatalogue]:
    """A REST catalogue with its tables in a folder; runs are configured for it."""
    assert lake
    with _configured(home, RestCatalogue(home.path, f"file://{home.path / 'warehouse'}")) as found:
        yield found


@pytest.fixture
def remote_catalogue(home: Home, lake: Path, object_store: str) -> Iterator[RestCatalogue]:
    """The same, but with the tables in an object store."""
    assert lake
    sign_in_at(home, object_store)
    tables = RestCatalogue(
        home.path,
        f"{WAREHOUSE}/{home.path.name}",
        **{
            "s3.endpoint": object_store,
            "s3.access-key-id": home.settings["AWS_ACCESS_KEY_ID"],
            "s3.secret-access-key": home.settings["AWS_SECRET_ACCESS_KEY"],
            "s3.region": home.settings["AWS_DEFAULT_REGION"],
        },
    )
    with _configured(home, tables) as found:
        yield found


@contextlib.contextmanager
def _configured(home: Home, tables: RestCatalogue) -> Iterator[RestCatalogue]:
    with serving(tables):
        home.settings |= {
            "PYICEBERG_CATALOG__CUSTOMERS__TYPE": "rest",
            "PYICEBERG_CATALOG__CUSTOMERS__URI": tables.url,
            "PYICEBERG_CATALOG__CUSTOMERS__TOKEN": TOKEN,
        }
        yield tables


def epoch_us(figure: object) -> object:
    """Moments as microseconds since 1970: DuckDB has no Python type for them without pytz."""
    since = figure - datetime(1970, 1, 1, tzinfo=UTC) if isinstance(figure, datetime) else None
    return figure if since is None else since // timedelta(microseconds=1)
