"""The section of the page on costs: its numbers, charts and tables, and how they are phrased."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from decimal import Decimal

from dashboard_scraper.model.cost_changes import KINDS, PERSON, Change, share_text
from dashboard_scraper.model.cost_forecast import METHOD, NoForecast
from dashboard_scraper.model.costs import (
    CREDITS,
    ESTIMATED,
    Account,
    CostMetric,
)
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.model.listing import many
from dashboard_scraper.model.money import CENTS, ZERO, difference, exact_sum, per, rounded
from dashboard_scraper.people.shown_costs import SERVICE_ACCOUNTS
from dashboard_scraper.report.charts import (
    BEFORE,
    GAP,
    MAY_CHANGE,
    MISSING,
    MONTH,
    PEOPLE,
    UNSETTLED,
    AmountSeries,
    DayChart,
    chart_days,
)
from dashboard_scraper.report.cost_figures import Budgets, CostDayFigures, PageCosts
from dashboard_scraper.report.cost_texts import cause_text, exact_text
from dashboard_scraper.report.figures import Period
from dashboard_scraper.report.parts import Amount, Figure, Key, Number, Section, Table
from dashboard_scraper.report.spending import UNATTRIBUTED, Comparison
from dashboard_scraper.report.texts import (
    NONE,
    PERIOD_BEFORE,
    UNKNOWN,
    Term,
    days_text,
    number,
    weekday_text,
)

_MOST_PEOPLE, _MOST_PARTS, _MOST_BUDGETS = 10, 3, 25
_UNRECONCILED = DoubtKind.UNRECONCILED.sign
_MARKS = {
    MISSING: "missing: no costs in the store",
    _UNRECONCILED: "not what the source's own or earlier figures say",
    UNSETTLED: MAY_CHANGE,
    GAP: UNKNOWN,
}
_STYLES = (PEOPLE, MONTH, PEOPLE)

COSTS_TITLE = "What it costs"
PER_PERSON = Term(
    "cost-per-person",
    "Per active person",
    "Everything that was billed, or else all credits, or else all that was estimated, divided by"
    " the active people of the period; service accounts are not people",
)
FORECAST = Term("cost-forecast", "Forecast of the month", f"A forecast and not a bill: {METHOD}")
BUDGET = Term(
    "budget", "Budget", "A limit for one person and calendar month, where the source has one"
)


def cost_term(metric: CostMetric) -> Term:
    """A cost metric's title and definition."""
    return Term(f"cost-{metric.name}", metric.title, metric.definition)


def cost_section(costs: PageCosts, now: Period, *, with_users: bool) -> Section:
    """What was spent, by whom and why, and what remains of budgets."""
    tables = [("By model", _model_table(costs))]
    if with_users:
        tables.append(("The ten largest", _people_table(costs)))
    if costs.comparison:
        tables.append(
            ("Why it changed", _change_table(costs, costs.comparison, with_users=with_users))
        )
    if costs.budgets and with_users:
        tables.append(("Budgets", _budget_table(costs, costs.budgets)))
    metrics = metrics_of(costs)
    figures = [
        _day_figure(costs, metric, style, full=not place and len(metrics) != 2)
        for place, (metric, style) in enumerate(zip(metrics, _STYLES, strict=False))
    ]
    notes = list(_notes(costs, with_users=with_users))
    return Section("costs", COSTS_TITLE, _numbers(costs, now), figures, tables, notes)


def metrics_of(costs: PageCosts) -> list[CostMetric]:
    """The metrics that have numbers and charts, each separately."""
    return [costs.metric, *_others(costs)]


def _others(costs: PageCosts) -> list[CostMetric]:
    """Further metrics with their own charts, since amounts of two metrics are never added up."""
    return [
        metric
        for metric in (ESTIMATED, CREDITS)
        if metric is not costs.metric and any(day.amount(metric) for day in costs.days)
    ]


def money(amount: Decimal, *, sign: bool = False) -> Amount:
    """An amount rounded to cents, with the exact one beside it; only 0 is shown as 0."""
    cents = rounded(amount, CENTS)
    if amount and not cents:
        text = "<0.01" if amount > 0 else ">-0.01"
    else:
        text = f"{cents:+,f}" if sign and cents else f"{cents:,f}"
    return Amount(text.replace("-", "\u2212"), exact_text(amount))


def with_unit(amount: Decimal, unit: str) -> Amount:
    """Like `money`, with the unit, which may be empty."""
    shown = money(amount)
    return Amount(f"{shown.text} {unit}".rstrip(), shown.exact)


def _numbers(costs: PageCosts, now: Period) -> list[Number]:
    found = [_sum(costs, metric) for metric in metrics_of(costs)]
    return [*found, _per_person(costs, now), _forecast(costs)]


def _sum(costs: PageCosts, metric: CostMetric) -> Number:
    total, earlier, missing = costs.total(metric), costs.earlier(metric), costs.missing(metric)
    value = UNKNOWN if total is None else with_unit(total, costs.unit(metric))
    change = ""
    if total is not None and earlier is not None and not missing:
        added = money(difference(total, earlier), sign=True)
        change = f"{added} against {money(earlier)} before"
    detail = "an estimate, not a bill" if metric is ESTIMATED else ""
    return Number(cost_term(metric), value, detail, change, _lacking(costs, metric))


def _lacking(costs: PageCosts, metric: CostMetric) -> str:
    missing, days = costs.missing(metric), len(costs.days)
    return f"{days - missing} of {many(days, 'day')} only" if missing else ""


def _per_person(costs: PageCosts, now: Period) -> Number:
    total = costs.total(costs.metric)
    people = sum(not person.service for person in now.people)
    detail = f"{costs.metric.title.lower()}, of {many(people, 'person', 'people')}"
    if total is None or costs.missing(costs.metric) or now.missing:
        why = "days of costs or of use are missing"
        return Number(PER_PERSON, UNKNOWN, warning=why)
    if not people:
        return Number(PER_PERSON, NONE, "nobody was active")
    share = per(total, people)
    return Number(PER_PERSON, f"{money(share)} {costs.unit(costs.metric)}", detail)


def _forecast(costs: PageCosts) -> Number:
    forecast = costs.forecast
    month = f"{forecast.month.start:%B %Y}"
    if isinstance(forecast, NoForecast):
        return Number(FORECAST, NONE, f"of {month}: {forecast.why}")
    low, high = (money(each) for each in (forecast.low, forecast.high))
    unit = costs.unit(costs.metric)
    return Number(
        FORECAST,
        Amount(f"{low} to {high} {unit}", f"{low.exact} to {high.exact}"),
        f"{costs.metric.title.lower()} in {month}, of which {money(forecast.spent)} up to"
        f" {forecast.until}; not a bill",
    )


def _marks_of(day: CostDayFigures) -> list[str]:
    """The marks of a day, the most important first."""
    if day.sums is None:
        return [MISSING]
    found = [_UNRECONCILED] if day.doubt else []
    return found if day.settled else [*found, UNSETTLED]


def _day_figure(costs: PageCosts, metric: CostMetric, style: str, *, full: bool) -> Figure:
    """One metric's bars over the days, with the period before as a muted line."""
    marks = [_marks_of(day) for day in costs.days]
    chart = _day_chart(costs, metric, style, marks)
    used = {mark for each in marks for mark in each}
    if any(day.sums is not None and day.amount(metric) is None for day in costs.days):
        used.add(GAP)
    term = cost_term(metric)
    keys = [Key(style, term, f"{metric.title.lower()} on the day, in {costs.unit(metric)}")]
    if chart.before:
        keys.append(Key(BEFORE, None, PERIOD_BEFORE))
    title = f"{metric.title} per day"
    if metric is ESTIMATED:
        title += ", not a bill"
    rows = [
        [f"{day.day}", _cell(day.amount(metric)), "; ".join(_MARKS[mark] for mark in mark_list)]
        for day, mark_list in zip(costs.days, marks, strict=True)
    ]
    meanings = [(mark, meaning) for mark, meaning in _MARKS.items() if mark in used]
    return Figure(
        f"cost-{metric.name}",
        title,
        chart,
        Table(["Day", term, "Remark"], rows),
        keys,
        meanings,
        full=full,
    )


def _day_chart(
    costs: PageCosts, metric: CostMetric, style: str, marks: Sequence[Sequence[str]]
) -> DayChart:
    """The chart of one metric; `marks` has the marks of each day."""
    amounts = [day.amount(metric) for day in costs.days]
    earlier = [day.amount(metric) for day in costs.before]
    has_before = any(amount is not None for amount in earlier)
    places = [
        (day.day, next(iter(mark), ""), day.amount(metric) is None)
        for day, mark in zip(costs.days, marks, strict=True)
    ]
    unit = costs.unit(metric)
    tips = [
        _tip(day, metric, unit, before if has_before else None)
        for day, before in itertools.zip_longest(costs.days, costs.before)
    ]
    return DayChart(
        chart_days(places),
        tips,
        bars=[AmountSeries(metric.title, amounts, style)],
        lines=(),
        before=[AmountSeries(PERIOD_BEFORE, earlier, BEFORE)] if has_before else (),
        unit="",
        top=0,
        texts=["" if amount is None else money(amount).text for amount in amounts],
    )


def _cell(amount: Decimal | None) -> str | Amount:
    return UNKNOWN if amount is None else money(amount)


def _tip(day: CostDayFigures, metric: CostMetric, unit: str, before: CostDayFigures | None) -> str:
    remarks = [_MARKS[mark] for mark in _marks_of(day)]
    if day.doubt:
        remarks.append(day.doubt)
    head = f"{weekday_text(day.day)}: {'; '.join(remarks)}" if remarks else weekday_text(day.day)
    lines = [head]
    if day.sums is not None:
        lines.append(f"{metric.title}: {_cell(day.amount(metric))} {unit}")
    if before:
        lines.append(f"{PERIOD_BEFORE}: {_cell(before.amount(metric))}")
    return "\n".join(lines)


def _model_table(costs: PageCosts) -> Table:
    parts = sorted(costs.models, key=lambda part: part.now, reverse=True)
    rows = [_part_row(costs, part.name or "-", part) for part in parts]
    return _parts_table(costs, "Model", rows, [part.now for part in parts])


def _people_table(costs: PageCosts) -> Table:
    """The people with the largest amounts, and lines for all others, so that the rows add up to the
    whole.
    """
    people = [part for part in costs.people if part.account is Account.PERSON]
    people.sort(key=lambda part: part.now, reverse=True)
    first, others = people[:_MOST_PEOPLE], people[_MOST_PEOPLE:]
    bots = [part for part in costs.people if part.account is Account.SERVICE_ACCOUNT]
    nobody = [part for part in costs.people if part.account is Account.UNATTRIBUTED]
    parts = [
        *first,
        *_together(f"({many(len(others), 'other')})", others),
        *_together(SERVICE_ACCOUNTS, bots),
        *_together(UNATTRIBUTED, nobody),
    ]
    rows = [_part_row(costs, part.name, part) for part in parts]
    return _parts_table(costs, "Person", rows, [part.now for part in parts])


def _together(name: str, parts: Sequence[Change]) -> list[Change]:
    if not parts:
        return []
    now, before = (exact_sum(getattr(p, each) for p in parts) for each in ("now", "before"))
    return [Change(name, before, now)]


def _part_row(costs: PageCosts, name: str, part: Change) -> list[str | Amount]:
    whole = costs.total(costs.metric) or ZERO
    return [name, money(part.now), share_text(part.now, whole) or "-"]


def _parts_table(
    costs: PageCosts, head: str, rows: Sequence[Sequence[str | Amount]], amounts: Sequence[Decimal]
) -> Table:
    return Table([head, cost_term(costs.metric), "Share"], rows, _bars(amounts))


def _bars(amounts: Sequence[Decimal]) -> list[Decimal]:
    """The amounts as shares of the largest, only for drawing; 0 for amounts below zero."""
    most = max(amounts, default=ZERO)
    if most <= 0:
        return [ZERO] * len(amounts)
    return [rounded(max(amount, ZERO) / most, 3) for amount in amounts]


def _change_table(costs: PageCosts, comparison: Comparison, *, with_users: bool) -> Table:
    """The largest cause, and the first lines of each breakdown that `explain` prints."""
    explained = comparison.explained
    rows = [_change_row("Everything", "", explained.whole, explained.whole)]
    for kind in KINDS:
        if kind == PERSON and not with_users:
            continue
        changed = [part for part in explained.parts.get(kind, ()) if part.difference]
        rows += [
            _change_row(part.name or "-", kind, part, explained.whole)
            for part in changed[:_MOST_PARTS]
        ]
    lead = ""
    if with_users:
        unit = costs.unit(costs.metric)
        cause = cause_text(explained.cause, explained.whole.difference, unit, _shown)
        lead = f"{cause}."
    headers = ["Part", "By", "Before", "Now", "Difference", "Share"]
    return Table(headers, rows, lead=lead, full=True)


def _shown(amount: Decimal, sign: bool) -> str:
    return money(amount, sign=sign).text


def _change_row(name: str, kind: str, part: Change, whole: Change) -> list[str | Amount]:
    share = share_text(part.difference, whole.difference) or "-"
    change = money(part.difference, sign=True)
    return [name, kind, money(part.before), money(part.now), change, share]


def _budget_table(costs: PageCosts, budgets: Budgets) -> Table:
    month = f"{budgets.month.start:%B %Y}"
    rows: list[list[str | Amount]] = [
        [
            use.person,
            with_unit(use.limit, costs.unit(use.metric)),
            with_unit(use.consumed, costs.unit(use.metric)),
            share_text(use.consumed, use.limit) or ("-" if use.consumed else "0%"),
        ]
        for use in budgets.uses[:_MOST_BUDGETS]
    ]
    return Table(["Person", BUDGET, f"Consumed in {month}", "Share"], rows, full=True)


def _notes(costs: PageCosts, *, with_users: bool) -> Iterator[str]:
    """What a reader has to know about the section's numbers."""
    missing = [day.day for day in costs.days if day.sums is None]
    if missing:
        yield f"No costs in the store, and shown as gaps: {days_text(missing)}."
    if costs.comparison is None:
        yield f"Nothing is compared with the period before: {_uncompared(costs)}."
    yield from _remarks(costs.days)
    if costs.comparison is not None:
        yield from (f"Of the period before: {remark}" for remark in _remarks(costs.before))
    if ESTIMATED in _others(costs):
        yield "Estimated amounts are the source's own estimate, and never added to what is billed."
    if costs.budgets:
        yield from _budget_notes(costs.budgets, with_users=with_users)


def _remarks(days: Sequence[CostDayFigures]) -> Iterator[str]:
    """Reasons why the amounts of days may differ from what was spent on them."""
    for title, found in (
        ("Not what the source's own or earlier figures say", [d.day for d in days if d.doubt]),
        ("Not settled, and may still change", [d.day for d in days if not d.settled]),
        ("A user was removed since, and is not counted", [d.day for d in days if d.forgotten]),
    ):
        if found:
            yield f"{title}: {days_text(found)}."


def _uncompared(costs: PageCosts) -> str:
    if costs.mixed:
        return f"their costs are in {' and '.join(costs.mixed)}"
    lacking = [
        f"{title} lacks {many(count, 'day')}"
        for title, days in (("the period", costs.days), (PERIOD_BEFORE, costs.before))
        if (count := sum(day.amount(costs.metric) is None for day in days))
    ]
    return " and ".join(lacking)


def _budget_notes(budgets: Budgets, *, with_users: bool) -> Iterator[str]:
    so_far = Window(budgets.month.start, budgets.until)
    for metric, known in budgets.known.items():
        text = f"Consumption is what was {'consumed in credits' if metric is CREDITS else 'billed'}"
        if len(known) < len(so_far):
            yield f"{text}, of {len(known)} of {many(len(so_far), 'day')} up to {budgets.until}."
        else:
            yield f"{text} up to {budgets.until}."
    if budgets.apart:
        yield f"Days with costs in {' and '.join(budgets.apart)} are not part of it."
    above = sum(use.consumed > use.limit for use in budgets.uses)
    count = len(budgets.uses)
    verb = "is" if 1 in (above, count) else "are"
    yield f"{number(above)} of {many(count, 'budget')} {verb} exceeded."
    if with_users and len(budgets.uses) > _MOST_BUDGETS:
        yield f"The {_MOST_BUDGETS} that are used up most are shown."
    yield "People without a budget of their own may have one of the organization."
