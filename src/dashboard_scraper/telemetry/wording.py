"""What a span may say: nothing that identifies a person, and of an error what a log has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dashboard_scraper.errors import ScraperError
from dashboard_scraper.model.listing import shortened
from dashboard_scraper.people.pseudonyms import hidden

_SOMEBODY = "REDACTED"
_LONGEST = 1000
_UNEXPECTED = "unexpected error; the log has its traceback"


def without_people(text: str, names: Iterable[str] = ()) -> str:
    """The text without these names, and without anything that looks like an address."""
    return shortened(hidden(text, lambda _address: _SOMEBODY, names), _LONGEST)


def words_of(error: BaseException) -> str:
    """The message of an error. That of a library may have whole URLs, with cursors and signatures:
    it is not repeated.
    """
    if isinstance(error, ScraperError):
        return without_people(str(error), _names_in(error))
    return _UNEXPECTED if isinstance(error, Exception) else "interrupted"


def _names_in(error: BaseException) -> Iterator[str]:
    """What may be a name in its message, or in those of its causes, which it may quote."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ScraperError):
            yield from cause.names
        cause = cause.__cause__


def class_of(error: BaseException) -> str:
    """The name of its class."""
    return type(error).__qualname__
