"""Finds files that show a person; the person may have other names in one source than in another."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import msgspec

from dashboard_scraper.across.tables import USAGE_CSV
from dashboard_scraper.cli.wiring import identities_of
from dashboard_scraper.errors import UsageError
from dashboard_scraper.exports import focus
from dashboard_scraper.exports.manifest import MANIFEST, read_manifest
from dashboard_scraper.model.addresses import is_address
from dashboard_scraper.people import traces
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.people import People, folded
from dashboard_scraper.people.pseudonyms import rename_of
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.settings.groups import SQLITE_PREFIX
from dashboard_scraper.sources.registry import SOURCES
from dashboard_scraper.store.schema import PERSON

CATALOG = "catalog.db"
"""The file of a lake in its own folder."""
_COLUMNS = {
    PERSON.c.user_login.name,
    PERSON.c.person.name,
    *(column.name for column in focus.PEOPLE),
}
"""The columns of Parquet files that contain names of people."""

Names = Mapping[str, Collection[str]]
"""Names as each source spells them."""


def source_meant(names: Names, people: People, user: str) -> str:
    """The source that has the name, or "" if it does not matter; UsageError if several sources have
    the name for different accounts.
    """
    if is_address(user):
        return ""
    meant: dict[str, str] = {}
    for source, found in names.items():
        person = people.of(source).key(user)
        if people.of(source).names_in(found, person):
            meant.setdefault(person, source)
    if len(meant) > 1:
        raise UsageError(
            f"{user} is not the same account in {' and in '.join(sorted(meant.values()))}: say in"
            " which of them with --source"
        )
    return next(iter(meant.values()), "")


def source_of(settings: Settings, path: Path) -> str | None:
    """The source in whose folder below EXPORT_DIR a file is, if there are such folders."""
    folder = next(iter(path.relative_to(settings.export_dir).parts), "")
    return folder if folder in SOURCES else None


def files_of_the_user(settings: Settings) -> list[Path]:
    """The files in which the user lists people."""
    return [path for path in (settings.identity_file, settings.roster_file) if path]


class Search:
    """A search of files below EXPORT_DIR for one person, repeated after files were rewritten.

    A name without `@` may belong to somebody else in another source: then only files in the folders
    of the other sources are searched for it. `names` are the names in the store before the removal.
    Files that were `rewritten` from the store since are not searched for such a name: it may be a
    word that the page contains.
    """

    def __init__(self, settings: Settings, names: Names, audience: Audience, user: str) -> None:
        self._settings = settings
        self._excluded = _not_searched(settings)
        self._audience, self._user = audience, user
        person = audience.people.key(user)
        # Read here, not taken from the audience, which has none with pseudonyms: an export from
        # before pseudonyms were switched on may contain the person's login.
        identity = identities_of(settings).get(person)
        self._login = identity.login if identity else None
        theirs = {
            source: audience.people.of(source).names_in(names[source], person) for source in names
        }
        self._pseudonyms = self._pseudonyms_of({user}.union(*theirs.values()))
        # Case-folded, like the text of the files.
        others = {
            source: {folded(name) for name in names[source] if name not in theirs[source]}
            for source in names
        }
        plain = {
            folded(name) for found in theirs.values() for name in found if not is_address(name)
        }
        if not is_address(user) and not plain:
            plain = {folded(user)}
        logins = {folded(self._login)} if self._login else set()
        self._ambiguous = tuple(
            sorted(source for source in names if (plain | logins) & others[source])
        )
        anywhere = set().union(*others.values())
        self._elsewhere = self._pattern(plain, anywhere)
        self._patterns = {source: self._pattern(plain, others[source]) for source in names}
        self.rewritten: set[Path] = set()
        self._without_accounts = self._pattern(set(), anywhere)

    def find(self) -> traces.Found:
        """The files that show the person now."""
        found = traces.find(self._settings.export_dir, self._pattern_of, self._excluded, _COLUMNS)
        return msgspec.structs.replace(found, ambiguous=self._ambiguous)

    def _pattern_of(self, path: Path) -> re.Pattern[str]:
        if path in self.rewritten or _names_nobody(path):
            return self._without_accounts
        source = source_of(self._settings, path)
        return self._patterns.get(source or "", self._elsewhere)

    def _pattern(self, names: set[str], others: set[str]) -> re.Pattern[str]:
        """The pattern for files in which other people have these other names."""
        addresses = {key for key in self._audience.people.keys_of(self._user) if is_address(key)}
        login = self._login if self._login and folded(self._login) not in others else None
        keys = frozenset(addresses | names - others)
        return traces.Traces(keys, self._pseudonyms, login).pattern()

    def _pseudonyms_of(self, names: Iterable[str]) -> frozenset[str]:
        """The person's pseudonym, and those that each spelling once had separately."""
        if not self._audience.anonymous:
            return frozenset()
        readable = self._settings.allow_readable_secrets
        of_spelling = rename_of(self._settings.pseudonym_key_file, str, allow_readable=readable)
        return frozenset([self._audience.rename(self._user), *map(of_spelling, names)])


def _names_nobody(path: Path) -> bool:
    """Whether it is one of this program's files without names; its words, such as a source's name,
    may also be the name of an account.
    """
    return path.name == USAGE_CSV or (path.name == MANIFEST and read_manifest(path) is not None)


def _not_searched(settings: Settings) -> set[Path]:
    """Files not to search: the store (already cleaned), its locks, the catalogues of lakes, which
    contain no names, and the user's own files.
    """
    paths = [f"{path}" for path in files_of_the_user(settings)]
    paths += (f"{path}" for path in settings.export_dir.rglob(CATALOG))
    if settings.store_url.startswith(SQLITE_PREFIX):
        path = settings.store_url.removeprefix(SQLITE_PREFIX)
        paths += [f"{path}{end}" for end in ("", "-wal", "-shm", "-journal", ".lock", ".holder")]
    return {Path(os.path.realpath(path)) for path in paths}
