"""Checks beyond single values: misspelled names, and who can read `.env`."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pydantic import SecretStr
from urllib3.util import parse_url

from dashboard_scraper.errors import UsageError
from dashboard_scraper.hosts import is_loopback
from dashboard_scraper.secret_files import check_private
from dashboard_scraper.settings.dotenv_file import Assignment
from dashboard_scraper.settings.library_settings import is_library_secret
from dashboard_scraper.settings.names import Concern, Fields, concern_of
from dashboard_scraper.sources.registry import ALL_SOURCES

if TYPE_CHECKING:
    from dashboard_scraper.settings.config import Settings


def refuse_misspelt(
    alike: Iterable[tuple[str, str]], environment: Mapping[str, str], fields: Fields
) -> None:
    """UsageError for a name of the `misspelt` that resembles that of a guarded setting.

    If the environment also has the setting itself, the other name belongs to another program.
    """
    present = {name.upper() for name, value in environment.items() if value}
    for name, setting in alike:
        concern = concern_of(fields[setting.lower()])
        if concern is not None and setting not in present:
            raise UsageError(
                f"{name} is in the environment but is not a setting; did you mean {setting}, which"
                f" decides {concern.value}? Rename {name}, or unset it"
            )


def refuse_two_choices(settings: Settings, given: Collection[str], place: Path | str) -> None:
    """UsageError for SOURCES beside a METRICS_SOURCE of one source in the same place: of what both
    name, a run would fetch that one alone, and end with 0.
    """
    one, several = settings.metrics_source, settings.sources
    if {"metrics_source", "sources"} <= set(given) and settings.covered != several:
        raise UsageError(
            f"wrong setting: METRICS_SOURCE={one} beside SOURCES={','.join(several)}: remove one of"
            f" them, or write METRICS_SOURCE={ALL_SOURCES}, since METRICS_SOURCE would leave out"
            f" the others in SOURCES ({place})"
        )


def remarks_on_sources(settings: Settings, overrides: Mapping[str, object]) -> Iterator[str]:
    """That SOURCES of `.env` is overridden by the environment, where some deployments set one."""
    chosen = settings.sources and "metrics_source" not in overrides
    if chosen and settings.covered != settings.sources:
        yield (
            f"METRICS_SOURCE={settings.metrics_source} is in the environment, and leaves"
            f" SOURCES={','.join(settings.sources)} out of account"
        )


def refuse_open(file: Path, found: Iterable[Assignment], settings: Settings) -> None:
    """UsageError if `.env` has a secret and others can read it."""
    fields = type(settings).model_fields
    if any(_is_secret(assignment, fields) for assignment in found):
        with file.open("rb") as opened:
            check_private(file, opened.fileno(), allow_readable=settings.allow_readable_secrets)


def _is_secret(assignment: Assignment, fields: Fields) -> bool:
    name, field = assignment.name, fields.get(assignment.name.lower())
    of_kind = field is not None and SecretStr in get_args(field.annotation)
    named = of_kind or is_library_secret(name)
    return bool(assignment.value) and (named or assignment.has_password())


def remarks_on(
    settings: Settings, found: Mapping[str, Assignment], alike: Iterable[tuple[str, str]]
) -> Iterator[str]:
    """What looks wrong in the environment or `.env`, and is accepted anyway."""
    fields = type(settings).model_fields
    for name, setting in alike:
        yield f"{name} is in the environment but is not a setting; did you mean {setting}?"
    for field, info in fields.items():
        concern, name = concern_of(info), field.upper()
        if concern is Concern.PRIVACY and _is_empty(name, found):
            yield f"{name} is empty, which is as good as not set; it says {concern.value}"
    for field in (name for name in fields if name.endswith("_api_base_url")):
        url = parse_url(getattr(settings, field))
        if url.scheme == "http" and not is_loopback(url.host or ""):
            yield (
                f"{field.upper()} begins with http://: a session, token or key crosses the network"
                " clear; write https://"
            )


def _is_empty(name: str, found: Mapping[str, Assignment]) -> bool:
    """Whether it was written down, and nowhere with a value."""
    values = [value for key, value in os.environ.items() if key.upper() == name]
    values += [found[name].value] if name in found else []
    return bool(values) and not any(values)
