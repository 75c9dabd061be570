"""Notifies somebody of how a run ended, and pings a monitor: wraps every command that fetches."""

from __future__ import annotations

import codecs
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import msgspec
from msgspec.structs import replace
from pydantic import SecretStr

from dashboard_scraper.cli.several import Work
from dashboard_scraper.clock import Clock, utc_now
from dashboard_scraper.errors import ScraperError, SourceUnavailable, UsageError, exit_code_of
from dashboard_scraper.model.dates import DAYS, Window, utc_day
from dashboard_scraper.secret_files import read_private
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.store import Notice, Store, store_of

if TYPE_CHECKING:
    from dashboard_scraper.notify.compared import News
    from dashboard_scraper.notify.heartbeat import Heartbeat
    from dashboard_scraper.notify.occasions import RunFacts
    from dashboard_scraper.notify.sending import Channel

logger = logging.getLogger(__name__)

T = TypeVar("T")


class _SourceRun(msgspec.Struct, frozen=True):
    """How the run of one source ended, or, with `no_source`, the work for all sources together. For
    the latter and for an `earlier` run, only the end is reported.
    """

    settings: Settings
    started_at: datetime
    ended_at: datetime
    exit_code: int
    no_source: bool = False
    earlier: bool = False


@dataclass(slots=True)
class Notified(AbstractContextManager["Notified"]):
    """A run of `command` over several sources; somebody is notified when it ends.

    `window` has the days that the run was asked for, if any; `pings` says whether the monitor is
    pinged. If somebody `keeps_session` alive, no message warns of its end. For a source that ended
    with the exit code `passed_over` there is no message, and for such a run no ping. A message or
    ping that fails is logged, and changes nothing else. If NOTIFY_URLS or HEARTBEAT_URL is wrong,
    or a file with them is gone, the run still fetches, since days that are not fetched now may be
    lost; it ends with that UsageError.
    """

    settings: Settings
    command: str
    window: Window | None = None
    stores_days: bool = True
    clock: Clock = utc_now
    pings: bool = True
    keeps_session: bool = False
    passed_over: int | None = None
    _heartbeat: Heartbeat | None = None
    _channels: Sequence[Channel] = ()
    _wrong: UsageError | None = None
    _runs: list[_SourceRun] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._heartbeat = self._usable(heartbeat_of) if self.pings else None
        try:
            if self._heartbeat:
                self._heartbeat.started()
            self._channels = self._usable(channels_of) or ()
        except BaseException as error:  # signals too: after a start, an end must be reported
            self._ping(error)
            raise
        return self

    def _usable(self, make: Callable[[Settings], T]) -> T | None:
        try:
            return make(self.settings)
        except UsageError as error:
            logger.warning("%s; the run goes on, and will end with exit code 2", error)
            self._wrong = self._wrong or error
            return None

    def each(self, work: Work) -> Work:
        """The same work for one source, whose end is recorded. First, somebody is notified of
        earlier runs that could not send a message themselves, since this run may end in the same
        way.
        """

        def noted(settings: Settings) -> None:
            if self._channels and self.stores_days:
                self._notify(self._cut_off(settings))
            started_at, exit_code = self.clock(), 0
            try:
                work(settings)
            except BaseException as error:
                exit_code = exit_code_of(error)
                raise
            finally:
                self._runs.append(_SourceRun(settings, started_at, self.clock(), exit_code))

        return noted

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ending = error or self._wrong
        try:
            # Whoever stopped the run knows about it, and does not want to wait.
            if self._channels and (ending is None or isinstance(ending, Exception)):
                self._notify([*self._runs, *self._of_all(ending)])
        finally:  # a failed message must not prevent the ping, which says that the run has ended
            self._ping(ending)
        if error is None and self._wrong is not None:
            raise self._wrong

    def _ping(self, error: BaseException | None) -> None:
        if self._heartbeat and not (error and exit_code_of(error) == self.passed_over):
            is_stopped = error is not None and not isinstance(error, Exception)
            self._heartbeat.ended(exit_code_of(error) if error else 0, hurry=is_stopped)

    def _of_all(self, error: BaseException | None) -> list[_SourceRun]:
        """How the command ended, unless a source's message reports that."""
        if any(run.exit_code for run in self._runs):
            return []
        now, exit_code = self.clock(), exit_code_of(error) if error else 0
        return [_SourceRun(self.settings, now, now, exit_code, no_source=True)]

    def _cut_off(self, settings: Settings) -> list[_SourceRun]:
        """The last run of this command for the source, if it was cut off. Empty if it is still
        running, or if the store cannot be read, which this run will report itself.
        """
        from dashboard_scraper.notify.facts import runs_of  # noqa: PLC0415 - see channels_of
        from dashboard_scraper.notify.occasions import KILLED, cut_off  # noqa: PLC0415

        store = store_of(self.settings)
        try:
            if not store.exists():
                return []
            with store.reading() as reader:
                runs = [r for r in runs_of(reader, settings.source) if r.command == self.command]
            code = cut_off(runs)
            if code == KILLED:
                with store.locked():  # so nobody is working on it
                    pass
        except ScraperError as error:
            logger.debug("how earlier runs ended is not known: %s", error)
            return []
        now = self.clock()
        return [_SourceRun(settings, now, now, code, earlier=True)] if code else []

    def _notify(self, runs: Sequence[_SourceRun]) -> None:
        from dashboard_scraper.notify.compared import recorded  # noqa: PLC0415 - see channels_of
        from dashboard_scraper.notify.messages import message_of, part_of  # noqa: PLC0415
        from dashboard_scraper.notify.sending import log_failures, send  # noqa: PLC0415

        news: list[News] = []
        notices: list[Notice] = []
        store = store_of(self.settings)
        for run in runs:
            if run.exit_code == self.passed_over:
                continue
            found, silent = self._news_of(store, run)
            news += found
            notices += silent
        if news:
            message = message_of(news)
            sent = log_failures(send(message, self._channels, self.settings.libraries))
            now = self.clock()
            kept = (recorded(each, part_of(each), now, sent=sent) for each in news)
            notices += [notice for notice in kept if notice is not None]
        _remember(store, notices)

    def _news_of(self, store: Store, run: _SourceRun) -> tuple[list[News], list[Notice]]:
        from dashboard_scraper.notify.compared import compare  # noqa: PLC0415 - see channels_of
        from dashboard_scraper.notify.facts import length_of  # noqa: PLC0415
        from dashboard_scraper.notify.occasions import findings_in  # noqa: PLC0415

        facts, open_notices = self._facts(store, run)
        findings = findings_in(facts, self.settings.notify_revision_percent)
        remind_after = length_of(self.settings.notify_reminder_days)
        comparison = compare(findings, open_notices, facts, remind_after)
        return comparison.news, comparison.silent

    def _facts(self, store: Store, run: _SourceRun) -> tuple[RunFacts, list[Notice]]:
        """What the store says about the source; nothing if it cannot be read."""
        from dashboard_scraper.notify import facts  # noqa: PLC0415 - see channels_of
        from dashboard_scraper.notify.occasions import RunFacts  # noqa: PLC0415

        settings = run.settings
        info = info_of(settings.source)
        says_all = not (run.no_source or run.earlier)
        base = RunFacts(
            "" if run.no_source else settings.source,
            self.command,
            run.exit_code,
            run.ended_at,
            stores_days=self.stores_days and says_all,
        )
        if info.history:
            base = replace(base, oldest=utc_day(run.ended_at) - info.history)
        if says_all:
            sign_in = facts.sign_in_of(info, settings, keeps_session=self.keeps_session)
            base = replace(base, sign_in=sign_in)
        try:
            if not store.exists():
                return base, []
            with store.reading() as reader:
                # The days that it fetched: it may have ended on another day than it began.
                newest = info.last_days(settings, DAYS, utc_day(run.started_at))
                asked = self.window
                return facts.read(reader, base, newest, asked, settings.settle_days, run.started_at)
        except ScraperError as error:
            logger.warning("the store cannot be read, so messages lack its findings: %s", error)
            return base, []


def keeping_alive(settings: Settings, clock: Clock) -> Notified:
    """Notify somebody if `keep-alive` finds that a session has ended, before a run fails.

    Not if the source is briefly unavailable, since `keep-alive` runs again in minutes. No monitor
    is pinged.
    """
    from dashboard_scraper.notify.occasions import KEEP_ALIVE  # noqa: PLC0415 - see channels_of

    return Notified(
        settings,
        KEEP_ALIVE,
        stores_days=False,
        clock=clock,
        pings=False,
        keeps_session=True,
        passed_over=SourceUnavailable.exit_code,
    )


def _remember(store: Store, notices: Sequence[Notice]) -> None:
    """Store what somebody was notified of; if that fails, the next run may repeat it."""
    if not notices:
        return
    try:
        if store.exists():
            with store.locked(), store.opened():
                store.put_notices(notices)
    except ScraperError as error:
        logger.warning("the sent message could not be recorded, and may be sent again: %s", error)


def heartbeat_of(settings: Settings) -> Heartbeat | None:
    """The heartbeat of HEARTBEAT_URL, if it is set."""
    url = _secret(settings, "heartbeat_url")
    if url is None:
        return None
    from dashboard_scraper.notify.heartbeat import Heartbeat  # noqa: PLC0415 - see channels_of

    timeout, retries = settings.request_timeout_seconds, settings.max_retries
    return Heartbeat(url, settings.libraries, timeout, retries, settings.retry_backoff_seconds)


def channels_of(settings: Settings) -> list[Channel]:
    """The channels of NOTIFY_URLS; none if it is not set. Only if it is set are Apprise and the
    modules that judge a run imported.
    """
    urls = _secret(settings, "notify_urls")
    if urls is None:
        return []
    from dashboard_scraper.notify import sending  # noqa: PLC0415 - Apprise takes its time

    return sending.channels_of(urls)


def _secret(settings: Settings, name: str) -> str | None:
    """The secret in the setting of this name, or in the file that the other setting names."""
    text: SecretStr | None = getattr(settings, name)
    file: Path | None = getattr(settings, f"{name}_file")
    if text is not None:
        return text.get_secret_value().strip() or None
    if file is None:
        return None
    setting = f"{name}_file".upper()
    try:
        data = read_private(file, allow_readable=settings.allow_readable_secrets)
        return data.removeprefix(codecs.BOM_UTF8).decode().strip() or None
    except FileNotFoundError:
        raise UsageError(f"{setting}: {file} does not exist") from None
    except UnicodeDecodeError:
        raise UsageError(f"{setting}: {file} is not text in UTF-8") from None
