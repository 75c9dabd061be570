"""Connecting to the PostgreSQL server that STORE_URL names, and why that failed."""

from __future__ import annotations

import difflib
import os
import re
import socket
from collections.abc import Mapping
from typing import Any

import psycopg
from sqlalchemy import URL
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from dashboard_scraper.errors import UsageError

# So that nothing waits for ever for a server, or a gateway before it, that has vanished.
_DEFAULTS = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
# How the URLs of poolers tell other drivers that nothing may be prepared; here nothing ever is.
_POOLER_WORDS = (
    "pgbouncer",
    "prepare_threshold",
    "prepared_statement_cache_size",
    "statement_cache_size",
)
_POOLER_VALUE = re.compile(r"\d+|none|true|false", re.IGNORECASE)
_LONGEST_NAME = 63  # the server cuts what is longer
_LONGEST_PROGRAM = 20
_SEVERAL = ("host", "port")
_QUOTED = re.compile(r"""["'][^"']*["']""")
_INVALID = "connection is bad: invalid "

# What a server answers before there is a session has no SQLSTATE for the driver, only words.
_WILL_NOT_PASS = re.compile(
    r"authentication failed|auth failed|no password supplied|no pg_hba\.conf entry"
    r"|(database|role|user) \S+ does not exist|no such (database|user)|not permitted to log in"
    r"|permission denied|SSL was required|certificate|unsupported startup parameter"
    r"|Name or service not known",
    re.IGNORECASE,
)
# Connections that broke, or were refused for now; a server that starts, stops, or is a standby for
# the moment; transactions that met each other.
_PASSES = re.compile(r"08...|53300|57P0[1235]|25P03|25006|40001|40P01")


def parameters_of(url: URL, token: str) -> dict[str, Any]:
    """What the driver connects with; UsageError for a parameter that nobody understands.

    The server shows the token in the name of each connection, after that which the URL gives.
    """
    query = {name: _checked(name, value) for name, value in url.query.items()}
    known = {name: value for name, value in query.items() if name not in _POOLER_WORDS}
    _, found = PGDialect_psycopg().create_connect_args(url.set(query=known))  # type: ignore[no-untyped-call]
    program = str(found.get("application_name", "dashboard-scraper"))[:_LONGEST_PROGRAM]
    name = f"{program} {token} process {os.getpid()} on {socket.gethostname()}"
    shown = name.encode("ascii", "replace")[:_LONGEST_NAME].decode()
    return {**_DEFAULTS, **found, "application_name": shown}


def _checked(name: str, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    if not isinstance(value, str):
        if name not in _SEVERAL:
            raise UsageError(f"STORE_URL: the parameter {name} is there {len(value)} times")
        return value
    if name in _POOLER_WORDS:
        if not _POOLER_VALUE.fullmatch(value):
            raise UsageError(f"STORE_URL: {name}: write a number, or leave it out")
        return value
    known = [option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()]
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        advice = f"did you mean {close[0]}?" if close else "leave it out"
        raise UsageError(f"STORE_URL: {name} is not a parameter of PostgreSQL's URLs; {advice}")
    return value


def connected(parameters: Mapping[str, Any]) -> psycopg.Connection[Any]:
    """A new connection; UsageError where a parameter has a value that the driver refuses.

    Nothing is ever prepared: behind a pooler, the next transaction may meet another session, which
    does not know the statement, or already has one of that name.
    """
    try:
        return psycopg.connect(**parameters, prepare_threshold=None)
    except psycopg.ProgrammingError as error:
        raise _refused(error) from error
    except psycopg.OperationalError as error:
        if str(error).startswith(_INVALID):
            raise _refused(error) from error
        raise


def _refused(error: psycopg.Error) -> UsageError:
    """In the driver's words, without the value, which may be a password in the wrong place."""
    reason = _QUOTED.sub("...", str(error).strip().removeprefix("connection is bad: "))
    return UsageError(f"STORE_URL: a parameter is wrong: {reason}")


def passing_reason(error: Exception) -> str | None:
    """Why an error may pass by itself, in the server's words; None where it will not."""
    cause = getattr(error, "orig", None) or error
    words = str(cause).strip().splitlines() or [type(cause).__name__]
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return words[0] if _PASSES.fullmatch(state) else None
    if not isinstance(cause, psycopg.OperationalError) or _WILL_NOT_PASS.search(str(cause)):
        return None
    return words[0]
