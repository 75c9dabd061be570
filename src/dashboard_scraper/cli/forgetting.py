"""Removes one person from the store, and finds or removes the person in files."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path

from dashboard_scraper.across.tables import PEOPLE_CSV
from dashboard_scraper.cli.forget_search import (
    CATALOG,
    Search,
    files_of_the_user,
    source_meant,
    source_of,
)
from dashboard_scraper.cli.output import print_text
from dashboard_scraper.cli.wiring import audience_of, daily_export, existing_store, rules_of
from dashboard_scraper.clock import utc_now
from dashboard_scraper.errors import OutputFailed, ScraperError, UsageError
from dashboard_scraper.exports.bundle import write_files
from dashboard_scraper.exports.daily_folders import GITHUB_FOLDER
from dashboard_scraper.exports.export_folders import moment_of
from dashboard_scraper.exports.manifest import MANIFEST, read_manifest
from dashboard_scraper.exports.notes import NOTES, is_foreign
from dashboard_scraper.files import STALE_SUFFIX, explained, flush_folder
from dashboard_scraper.model.addresses import cleaned
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.listing import listed, many
from dashboard_scraper.people import traces
from dashboard_scraper.report.options import REPORT
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.sources.registry import products
from dashboard_scraper.store import Store

logger = logging.getLogger(__name__)

_PREFIXES = "|".join(re.escape(product.prefix) for product in products())
_OURS = re.compile(
    rf"(({_PREFIXES})_(metrics|costs)|copilot_metrics|metrics)_[\w-]+\.(csv|json)"
    r"|(user_days|cost_days)\.parquet|focus_[\d-]+\.(csv|parquet)"
    r"|(users|user-teams|enterprise|organization)-[\w-]+\.(json|ndjson)"
    rf"|\.[0-9a-f]{{32}}\.tmp|{re.escape(MANIFEST)}|{re.escape(REPORT)}"
    rf"|{re.escape(PEOPLE_CSV)}"
    rf"|([\w-]+\.)?{re.escape(NOTES)}"
)
"""The names that commands give their files; any other file belongs to the user."""
_MAKER = b"dashboard-scraper"
_DAY = "day="
_FOCUS = re.compile(r"focus_(\d{4}-\d\d-\d\d)\.(?:csv|parquet)", re.ASCII)


def forget(settings: Settings, user: str, *, files: bool, source: str | None = None) -> None:
    """Remove a person from the store, and with `files` also from the files below EXPORT_DIR.

    Without `files`, these are listed. A name that is not an address is meant as the `source` spells
    it. UsageError if the name is empty, if neither the store nor the files have the person, or if
    the name belongs to different people in several sources.
    """
    if not cleaned(user):  # every file contains the empty name somewhere
        raise UsageError("name the person to forget: the address, login or id, as the CSV has it")
    audience = audience_of(settings)
    store = existing_store(settings, audience.people)
    with store.locked(), store.opened():
        with store.reading() as reader:
            names = reader.names_by_source()
        source = source or source_meant(names, audience.people, user)
        search = Search(settings, names, audience.of(source), user)
        rows = store.forget(user, source)
        found = search.find()
        if not rows and not found.showing:
            raise UsageError(f"{store.shown} has no day of {user}; {_advice(store, user)}")
        print_text(f"{many(rows, 'row')} removed\n", flush=False)
        unwritten: dict[Path, ScraperError] = {}
        if files and found.showing:
            unwritten = _remove_from_files(settings, store, search, found.showing)
        else:
            _list(found.showing)
            if found.showing:
                logger.warning(
                    "%d files still show the person; run it again with --files to rewrite them from"
                    " the store, or to remove them",
                    len(found.showing),
                )
        print_text("")
    if files:
        found = search.find()
    _log_what_is_left(settings, found)
    if files:
        _refuse_what_is_left(found.showing, unwritten)


def _refuse_what_is_left(showing: list[Path], unwritten: Mapping[Path, ScraperError]) -> None:
    """OutputFailed if files still show the person; `unwritten` has the error of each lake."""
    for lake, error in unwritten.items():
        logger.error("the lake in %s could not be rewritten: %s", lake, error)
    foreign = [path for path in showing if _lake_of(path) not in unwritten]
    if foreign:
        raise OutputFailed(
            f"{len(foreign)} files still show the person, such as {foreign[0]}, but"
            " were not written by this program: remove them yourself"
        )
    if unwritten:
        raise OutputFailed(
            f"{len(showing)} files of {listed(unwritten)} still show the person: restore the lake"
            " and run it again, or remove its folder and export again"
        )


def _advice(store: Store, user: str) -> str:
    with store.reading() as reader:
        meant = sorted(name for name in reader.names() if name.casefold() == user.casefold())
    if meant:
        return f"service account names are case-sensitive; did you mean {meant[0]}?"
    return "write the address as the CSV does"


def _list(paths: Iterable[Path]) -> None:
    for path in paths:
        _print("still shown in", path)


def _print(what: str, path: Path) -> None:
    # A name that is not valid UTF-8 cannot be printed unchanged.
    print_text(f"{what} {os.fsencode(path).decode(errors='replace')}\n", flush=False)


def _is_ours(path: Path) -> bool:
    """Whether a command wrote the file: judged by its name or, if common, its content."""
    name = path.name.removesuffix(STALE_SUFFIX)
    name = name.removeprefix(".") if name != path.name else name
    if path.is_symlink():
        return False
    if _lake_of(path) is not None:
        return path.suffix == ".parquet"
    if not _OURS.fullmatch(name):
        return False
    if name == MANIFEST:
        return read_manifest(path) is not None
    if name.endswith(NOTES):
        return not is_foreign(path)
    return name != REPORT or _MAKER in path.read_bytes()


def _remove_from_files(
    settings: Settings, store: Store, search: Search, showing: list[Path]
) -> dict[Path, ScraperError]:
    """Rewrite files whose days are in the store, and remove our other files. Returns the errors of
    the lakes that could not be rewritten, by folder: files to which such a lake still refers must
    not be removed.
    """
    ours = [path for path in showing if _is_ours(path)]
    in_lakes = [path for path in ours if _lake_of(path) is not None]
    others = [path for path in ours if path not in in_lakes]
    current = {_export_folder(path) for path in others if path.suffix != STALE_SUFFIX}
    for folder in sorted(current):
        search.rewritten.update(_write_again(settings, store, folder))
    for place, day in sorted(set(_parquet_days(others))):
        search.rewritten.update(_write_parquet_again(settings, store, place, day))
    for place, day in sorted(set(_focus_days(others))):
        _write_focus_again(settings, store, place, day)
    unwritten, has = _write_lakes_again(settings, store, in_lakes)
    search.rewritten.update(has)
    ours = [path for path in ours if _lake_of(path) not in unwritten]
    left = [path for path in search.find().showing if _is_ours(path) and path not in has]
    left = [path for path in left if _lake_of(path) not in unwritten]
    vouching = {*_vouching(path for path in left if _lake_of(path) is None)}
    gone = vouching.union(left)
    # The manifests go first: after a crash in between, one that lists removed files would stay, as
    # nothing beside it shows the person.
    for path in sorted(gone, key=lambda path: (path not in vouching, path)):
        with explained(path):
            path.unlink(missing_ok=True)
            flush_folder(path.parent)
    for path in sorted({*ours, *gone}):
        _print("rewritten" if path.exists() else "removed", path)
    return unwritten


def _vouching(paths: Iterable[Path]) -> Iterator[Path]:
    """The manifests that list files that will be removed."""
    for path in paths:
        folder = _export_folder(path)
        name = f'"{path.relative_to(folder)}"'
        with contextlib.suppress(OSError):
            if name in (folder / MANIFEST).read_text(encoding="utf-8", errors="replace"):
                yield folder / MANIFEST


def _export_folder(path: Path) -> Path:
    return path.parent.parent if path.parent.name == GITHUB_FOLDER else path.parent


def _store_of(folder: Path, store: Store) -> Store:
    """The store, as of the moment of the folder's files if they are from an earlier one."""
    moment = moment_of(folder)
    return store.as_of(moment) if moment else store


def _write_again(settings: Settings, store: Store, folder: Path) -> list[Path]:
    """Rewrite the export that the manifest describes, if the store has any of its days. Returns the
    files that were written.
    """
    manifest = read_manifest(folder / MANIFEST)
    if manifest is None:  # a run was killed while it renamed files here
        manifest = read_manifest(folder / f"{MANIFEST}{STALE_SUFFIX}")
    if manifest is None:
        return []
    window = Window(manifest.start, manifest.end)
    try:
        with _store_of(folder, store).reading() as reader:
            if reader.ledger(manifest.source, window):
                export = daily_export(settings, window, folder).of(manifest.source)
                write_files(reader, export, {}, reader.moment or utc_now())
                manifest = read_manifest(folder / MANIFEST)
                return [folder / file.name for file in manifest.files()] if manifest else []
    except ScraperError as error:
        logger.warning("%s could not be rewritten: %s", folder, error)
    return []


def _parquet_days(showing: Iterable[Path]) -> Iterator[tuple[Path, date]]:
    for path in showing:
        if path.suffix == ".parquet" and path.parent.name.startswith(_DAY):
            with contextlib.suppress(ValueError):
                day = date.fromisoformat(path.parent.name.removeprefix(_DAY))
                yield path.parent.parent, day


def _write_parquet_again(settings: Settings, store: Store, place: Path, day: date) -> list[Path]:
    from dashboard_scraper.exports.parquet_export import (  # noqa: PLC0415 - an extra
        place_of,
        rewrite_day,
    )

    try:
        export = daily_export(settings, Window(day, day), place)
        return rewrite_day(_store_of(place_of(place), store), place, day, export)
    except ScraperError as error:
        logger.warning("%s of %s could not be rewritten: %s", day, place, error)
    return []


def _focus_days(showing: Iterable[Path]) -> Iterator[tuple[Path, date]]:
    for path in showing:
        if match := _FOCUS.fullmatch(path.name):
            with contextlib.suppress(ValueError):
                yield path.parent, date.fromisoformat(match[1])


def _write_focus_again(settings: Settings, store: Store, folder: Path, day: date) -> None:
    from dashboard_scraper.exports.focus_export import export_days  # noqa: PLC0415 - an extra

    export = daily_export(settings, Window(day, day), folder)
    export = export.of(source_of(settings, folder) or settings.source)
    try:
        account, rules = settings.focus_billing_account_id, rules_of(settings)
        export_days(_store_of(folder, store), export, folder, account, rules)
    except ScraperError as error:
        logger.warning("%s of %s could not be rewritten: %s", day, folder, error)


def _lake_of(path: Path) -> Path | None:
    """The folder of the lake that contains the file."""
    return next((folder for folder in path.parents if (folder / CATALOG).exists()), None)


def _write_lakes_again(
    settings: Settings, store: Store, showing: Collection[Path]
) -> tuple[dict[Path, ScraperError], set[Path]]:
    """Replace the days of these files in their lakes, and remove all earlier states of the lakes.
    Returns the errors by lake folder, and the files that the other lakes have afterwards.

    Files to which no state of a lake refers are left.
    """
    if not showing:
        return {}, set()
    from dashboard_scraper.exports.iceberg_export import (  # noqa: PLC0415 - an extra
        days_in,
        rewrite_days,
    )

    days: dict[tuple[Path, str], set[date]] = {}
    for path in showing:
        folder = _lake_of(path)
        if folder is not None:
            for source, day in days_in(path):
                days.setdefault((folder, source), set()).add(day)
    failed: dict[Path, ScraperError] = {}
    has: dict[Path, set[Path]] = {}
    for (folder, source), found in sorted(days.items()):
        export = daily_export(settings, Window(min(found), max(found)), folder).of(source)
        try:
            has[folder] = rewrite_days(store, folder, found, export)
        except ScraperError as error:
            failed[folder] = error
    return failed, set().union(*has.values())


def _log_what_is_left(settings: Settings, found: traces.Found) -> None:
    """Log what the user has to do, without the person's name, since logs are stored too."""
    if found.unchecked:
        logger.warning(
            "%d files could not be searched (other databases and compressed files), such as %s",
            len(found.unchecked),
            found.unchecked[0],
        )
    for source in found.ambiguous:
        logger.warning(
            "a name of the person is also that of somebody else in %s: only files in the folders of"
            " other sources were searched for this name",
            source,
        )
    for path in files_of_the_user(settings):
        logger.warning("%s may still name the person; remove the row", path)
    logger.warning(
        "files outside of %s and copies of the store were not searched: remove them or export them"
        " again. Days that are fetched again bring the person back while the source has the data",
        settings.export_dir,
    )
