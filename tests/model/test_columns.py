"""Figures by metric: computing for all users at once gives the same as from each user's figures."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dashboard_scraper.model.columns import Columns
from dashboard_scraper.model.figures import added, has_activity
from dashboard_scraper.model.metrics import ACTIVE_DAYS, COUNTS, METRICS, Kind

count = st.one_of(st.none(), st.integers(0, 3))
values = st.tuples(*(count if m.kind in (Kind.COUNT, Kind.DAYS) else st.none() for m in METRICS))


@given(rows=st.lists(values, max_size=5))
def test_columns_are_the_rows(rows: list[tuple[int | None, ...]]) -> None:
    columns = Columns(rows)
    assert list(columns.active()) == [has_activity(row) for row in rows]
    assert columns.users() == sum(row[METRICS.index(ACTIVE_DAYS)] != 0 for row in rows)
    for metric, used in zip(COUNTS, columns.used, strict=True):
        of_metric = [row[METRICS.index(metric)] for row in rows]
        assert columns.sums()[metric] == added(of_metric)
        assert list(used) == [bool(each) for each in of_metric]


@given(rows=st.lists(values, min_size=1, max_size=3))
def test_columns_leave_out_what_follows_the_figures(rows: list[tuple[int | None, ...]]) -> None:
    followed = Columns([(*row, "extra", True) for row in rows])
    assert followed.sums() == Columns(rows).sums()
    assert followed.active() == Columns(rows).active()
