"""Passes each stored day of an export to every format that reads it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

import msgspec

from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.exports.earlier_files import EarlierFiles
from dashboard_scraper.exports.formats import made_with
from dashboard_scraper.model.dates import Window
from dashboard_scraper.output import Output, OutputDay, OutputRun
from dashboard_scraper.publication import MadeFile, Publication
from dashboard_scraper.shown_people import ShownPeople
from dashboard_scraper.store import LedgerDay, Reader

_ANY_WINDOW = Window(date(2000, 1, 1), date(2000, 1, 1))


def reach_of(outputs: Collection[Output]) -> Window:
    """The smallest window with every day that some output reads."""
    reaches = [output.reach for output in outputs]
    return Window(min(each.start for each in reaches), max(each.end for each in reaches))


class Feed:
    """The outputs of a run, and what is passed to them for each day."""

    def __init__(
        self,
        outputs: Sequence[Output],
        reader: Reader,
        publication: Publication,
        export: DailyExport,
        missing: Collection[date],
    ) -> None:
        """Begins the run; see `OutputRun` for `missing`."""
        audience = export.audience
        spellings = reader.spellings(
            export.source, export.window, service_accounts=audience.service_accounts
        )
        self._outputs = outputs
        self._run = OutputRun(
            reader,
            publication,
            export.source,
            audience,
            audience.naming(spellings),
            missing,
            export.window,
            formats=made_with(msgspec.structs.replace(export, window=_ANY_WINDOW)),
            earlier=EarlierFiles(export),
            made={},
        )
        self.people = ShownPeople(reader, export.source, export.window, audience)
        for output in outputs:
            output.begin(self._run)

    def add_day(self, row: LedgerDay, made: Collection[MadeFile] = ()) -> None:
        """Pass a day to every output that reads it; another process may have `made` some of its
        files.
        """
        run = self._run
        run.made.update({file.written.made_from: file for file in made})
        as_stored = row.day in run.window and not run.audience.anonymous
        as_stored = as_stored and self.people.listed(row.day).bit_count() == row.users
        day = OutputDay(run.reader, row, run.audience, as_stored=as_stored)
        for output in self._outputs:
            if row.day in output.reach:
                output.add_day(day)
