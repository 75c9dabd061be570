"""Reading `.env`: a line that is not understood is an error, and none is silently ignored.

python-dotenv's own parser reads the lines, and its values are used. A message names the line but
never quotes it: it may contain a secret.
"""

from __future__ import annotations

import difflib
import io
import re
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec
from dotenv.parser import Binding, parse_stream
from dotenv.variables import Variable, parse_variables

from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.listing import listed
from dashboard_scraper.settings.library_settings import LAKE_CATALOGUES

_MOST_PROBLEMS = 5
_NAME = re.compile(r"[A-Z][A-Z0-9_]*|[a-z][a-z0-9_]*")
_SHELL_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_SECRET_IN_URL = re.compile(r"://[^\s@]*:[^\s@]*@|[?&](ssl)?password=", re.IGNORECASE)


class Assignment(msgspec.Struct, frozen=True):
    """One line; the name is in upper case."""

    name: str
    value: str
    line: int

    def has_password(self) -> bool:
        """Whether the value is a URL that contains a password."""
        return bool(_SECRET_IN_URL.search(self.value))


class _Problem(Exception):
    """What is wrong with a line; the message continues the words `line 7`."""


def read_dotenv(
    path: Path, known: Collection[str], environment: Mapping[str, str]
) -> dict[str, Assignment]:
    """The file's assignments by name; none if there is no file.

    `known` are the names of all settings. `${NAME}` and `${NAME:-DEFAULT}` in a value refer to a
    name further up in the file or in the environment. Raises UsageError that names every line that
    is not understood.
    """
    found: dict[str, Assignment] = {}
    problems = []
    seen: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(_text(path), newline=None)):
        line = _line(binding)
        try:
            assignment = _assignment(binding, line, known, {**environment, **seen})
            if assignment is None:
                continue
            seen[str(binding.key)] = assignment.value
            _refuse_second(assignment, found)
            found[assignment.name] = assignment
        except _Problem as problem:
            problems.append(f"line {line}{problem}")
    if problems:
        raise UsageError(f"{path}: {listed(problems, _MOST_PROBLEMS, '; ')}")
    return found


def _text(path: Path) -> str:
    data = _bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: line {_line_at(data, error.start)} is not UTF-8; save the file as UTF-8"
        ) from None
    if "\0" in text:
        raise UsageError(f"{path}: line {_line_at(data, data.index(0))} has a NUL byte; remove it")
    return text


def _bytes(path: Path) -> bytes:
    """The file's content, empty if there is no file; a dangling link is an error."""
    try:
        path.lstat()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{path} is not a file; write the settings in a file of that name")
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(
            f"{path} is a link to a file that does not exist; create that file, or remove the link"
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


def _line_at(data: bytes, place: int) -> int:
    return 1 + data.count(b"\n", 0, place)


def _line(binding: Binding) -> int:
    """The number of the line; the parser includes the empty lines before it."""
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def _assignment(
    binding: Binding, line: int, known: Collection[str], variables: Mapping[str, str]
) -> Assignment | None:
    """The assignment, or None for a comment or an empty line."""
    if binding.error or (binding.key is not None and binding.value is None):
        raise _Problem(" is not NAME=VALUE; is a quote or the = missing?")
    if binding.key is None or binding.value is None:
        return None
    name = binding.key.upper()
    if name not in known and not name.startswith(LAKE_CATALOGUES):
        raise _Problem(_unknown(binding.key, known))
    _refuse_swallowed(binding.value, known)
    return Assignment(name, _expanded(binding.value, variables), line)


def _unknown(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.6)
    if not close:
        # A secret pasted without a name may end in =, as base64 does, but has no underscore.
        shown = f"{name} " if _NAME.fullmatch(name) and "_" in name else "its name "
        return f": {shown}is not a setting"
    if not _NAME.fullmatch(name):
        return f": its name is not a setting; did you mean {close[0]}?"
    return f": {name} is not a setting; did you mean {close[0]}?"


def _refuse_swallowed(value: str, known: Collection[str]) -> None:
    """An unclosed quote, or two settings on one line, make one setting the other's value."""
    for match in re.finditer(r"(?:^|[\s;,])(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=", value):
        if match[1].upper() in known:
            raise _Problem(
                f": {match[1].upper()} is part of the value of another setting; write it on its"
                " own line, and close every quote"
            )


def _expanded(value: str, variables: Mapping[str, str]) -> str:
    parts = []
    for atom in parse_variables(value):
        if isinstance(atom, Variable) and atom.default is None and atom.name not in variables:
            raise _Problem(": a ${NAME} in it is not set, neither above nor in the environment")
        text = atom.resolve(variables)
        if not isinstance(atom, Variable):
            _refuse_other_references(text, variables)
        parts.append(text)
    return "".join(parts)


def _refuse_other_references(text: str, variables: Mapping[str, str]) -> None:
    """Refuse what a shell would expand and python-dotenv does not; a password may contain a $."""
    if "${" in text:
        raise _Problem(": a ${ in it is neither ${NAME} nor ${NAME:-DEFAULT}")
    if any(name in variables for name in _SHELL_VARIABLE.findall(text)):
        raise _Problem(": a $NAME in it is not expanded; write ${NAME}")


def _refuse_second(assignment: Assignment, found: Mapping[str, Assignment]) -> None:
    first = found.get(assignment.name)
    if first is not None and first.value != assignment.value:
        raise _Problem(f": {first.name} has another value on line {first.line}")
