"""`explain`: print why costs changed from one period to another."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dashboard_scraper.cli.arguments import Parser, days
from dashboard_scraper.cli.options import (
    add_json,
    add_range,
    add_source,
    complete_range_of,
    range_of,
    settings_of,
)
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.cost_changes import KINDS, TEAM
from dashboard_scraper.model.costs import BILLED, COSTS_BY_NAME, CREDITS, ESTIMATED
from dashboard_scraper.model.dates import Window, period_before

if TYPE_CHECKING:
    from dashboard_scraper.cli.explaining import Question
    from dashboard_scraper.settings.config import Settings


def configure(parser: Parser) -> None:
    """The two periods, the metric, and the breakdowns of the difference."""
    add_range(parser)
    parser.add_argument(
        "--before",
        type=days,
        nargs="+",
        metavar="DAY",
        help="the period to compare with: START END, or a month (default: the period of the same"
        " length right before)",
    )
    parser.add_argument(
        "--by", choices=KINDS, help="print only this breakdown, with all of its lines"
    )
    parser.add_argument(
        "--metric",
        choices=[metric.name for metric in (BILLED, ESTIMATED, CREDITS)],
        help="default: billed if anything was billed, else credits; estimated if neither is known",
    )
    parser.add_argument(
        "--forecast",
        action="store_true",
        help="also forecast the month of the last day, as a range; this needs the whole month"
        " before",
    )
    parser.add_argument(
        "--incomplete",
        action="store_true",
        help="leave out days without costs, and compare the others; still exit with 6",
    )
    add_source(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Print the explanation; UsageError if the periods overlap."""
    from dashboard_scraper.cli.explaining import Question

    now = complete_range_of(args)
    metric = COSTS_BY_NAME[args.metric] if args.metric else None
    before = before_of(args.before, now)
    question = Question(now, before, args.by, metric, args.forecast, args.incomplete)
    print_answer(settings_of(args), question, as_json=args.json)


def before_of(given: list[Window] | None, now: Window) -> Window:
    """The period to compare with; UsageError unless it ends before the other one begins."""
    if not given:
        return period_before(now)
    if len(given) > 2:
        raise UsageError("--before takes two days, or a month; write it after START and END")
    before = range_of(*given)
    if before.end >= now.start:
        raise UsageError(f"--before: {before} does not end before {now.start}")
    return before


def print_answer(settings: Settings, question: Question, *, as_json: bool) -> None:
    """Print the explanation; then raise DaysMissing if days were left out."""
    from dashboard_scraper.cli.explaining import answer_of, as_lines, raise_if_left_out, shown_of
    from dashboard_scraper.cli.output import print_json, print_lines
    from dashboard_scraper.cli.wiring import audience_of
    from dashboard_scraper.store import store_of

    audience = audience_of(settings)
    if question.by == TEAM and not audience.has_teams:
        raise UsageError(
            "--by team: no teams are known; write them to the column team of IDENTITY_FILE (with"
            " pseudonyms, teams are not shown)"
        )
    with store_of(settings).reading() as reader:
        found = answer_of(reader, settings.source, audience, question, settings.cost_settle_days)
    if as_json:
        print_json(shown_of(found))
    else:
        print_lines(as_lines(found))
    raise_if_left_out(found)
