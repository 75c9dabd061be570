"""Connecting to the PostgreSQL server that STORE_URL names, and explaining failures."""

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
from dashboard_scraper.installation import NAME
from dashboard_scraper.store.backend import first_line_of

# Without these, a connection to a server or gateway that has vanished would hang for hours.
_DEFAULTS = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
# URLs copied from a pooler's console have these parameters to stop other drivers from preparing
# statements; here nothing is ever prepared.
_POOLER_WORDS = (
    "pgbouncer",
    "prepare_threshold",
    "prepared_statement_cache_size",
    "statement_cache_size",
)
_POOLER_VALUE = re.compile(r"\d+|none|true|false", re.IGNORECASE)
_LONGEST_NAME = 63  # the server truncates application_name to NAMEDATALEN - 1
_LONGEST_PROGRAM = 20
_SEVERAL = ("host", "port")
_QUOTED = re.compile(r"""["'][^"']*["']""")
_INVALID = "connection is bad: invalid "

# An error while connecting has no SQLSTATE in psycopg, so permanent errors are recognized by text.
_WILL_NOT_PASS = re.compile(
    r"authentication failed|auth failed|no password supplied|no pg_hba\.conf entry"
    r"|(database|role|user) \S+ does not exist|no such (database|user)|not permitted to log in"
    r"|permission denied|SSL was required|certificate|unsupported startup parameter"
    r"|Name or service not known",
    re.IGNORECASE,
)
# SQLSTATEs of transient errors: broken or refused connections (08, 53300); a server that starts,
# stops or fails over (57P0x, 25006: read-only standby); a timeout in a transaction (25P03);
# serialization failures and deadlocks (40001, 40P01).
_PASSES = re.compile(r"08...|53300|57P0[1235]|25P03|25006|40001|40P01")


def parameters_of(url: URL, token: str) -> dict[str, Any]:
    """The driver's parameters; UsageError for an unknown one.

    The application_name of each connection is the URL's, then the token.
    """
    query = {name: _checked(name, value) for name, value in url.query.items()}
    known = {name: value for name, value in query.items() if name not in _POOLER_WORDS}
    _, found = PGDialect_psycopg().create_connect_args(url.set(query=known))  # type: ignore[no-untyped-call]
    program = str(found.get("application_name", NAME))[:_LONGEST_PROGRAM]
    name = f"{program} {token} process {os.getpid()} on {socket.gethostname()}"
    shown = name.encode("ascii", "replace")[:_LONGEST_NAME].decode()
    return {**_DEFAULTS, **found, "application_name": shown}


def _checked(name: str, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    if not isinstance(value, str):
        if name not in _SEVERAL:
            raise UsageError(f"STORE_URL: the parameter {name} appears {len(value)} times")
        return value
    if name in _POOLER_WORDS:
        if not _POOLER_VALUE.fullmatch(value):
            raise UsageError(f"STORE_URL: {name}: write a number, or leave it out")
        return value
    known = [option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()]
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        advice = f"did you mean {close[0]}?" if close else "leave it out"
        raise UsageError(f"STORE_URL: {name} is not a parameter of PostgreSQL URLs; {advice}")
    return value


def connected(parameters: Mapping[str, Any]) -> psycopg.Connection[Any]:
    """A new connection; UsageError if the driver rejects the value of a parameter.

    Without prepared statements: behind a pooler in transaction mode, the next transaction may run
    in another session, which lacks the statement or has a different one of the same name.
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
    """The driver's message without the value, which may be a misplaced password."""
    reason = _QUOTED.sub("...", str(error).strip().removeprefix("connection is bad: "))
    return UsageError(f"STORE_URL: a parameter is wrong: {reason}")


def passing_reason(error: Exception) -> str | None:
    """The server's message for a transient error; None for a permanent one."""
    cause = getattr(error, "orig", None) or error
    message = first_line_of(error)
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return message if _PASSES.fullmatch(state) else None
    if not isinstance(cause, psycopg.OperationalError) or _WILL_NOT_PASS.search(str(cause)):
        return None
    return message
