"""What a span may contain: nothing that identifies a person; of errors, what a log may have."""

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
    """The message of an error of ours. A library's message is not repeated: it may contain whole
    URLs, with cursors and signatures.
    """
    if isinstance(error, ScraperError):
        return without_people(str(error), _names_in(error))
    return _UNEXPECTED if isinstance(error, Exception) else "interrupted"


def _names_in(error: BaseException) -> Iterator[str]:
    """Possible names in its message, or in those of its causes, which it may quote."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ScraperError):
            yield from cause.names
        cause = cause.__cause__


def class_of(error: BaseException) -> str:
    """The name of the error's class."""
    return type(error).__qualname__
