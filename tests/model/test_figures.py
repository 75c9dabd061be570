"""Sums of figures by name."""

from __future__ import annotations

import pytest

from dashboard_scraper.model.figures import Sums
from dashboard_scraper.model.metrics import COUNTS, Count


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ([2], 2),
        ([None], None),
        ([2, 3, 4], 9),
        ([2, None], None),
        ([None, 2], None),
        ([2, None, 4], None),
    ],
)
def test_sum_is_unknown_where_one_count_is(added: list[Count], expected: Count) -> None:
    sums = Sums()
    for count in added:
        sums.add("ada", (count, *(1 for _ in COUNTS[1:])))
    figures = sums["ada"]
    assert (figures[COUNTS[0]], figures[COUNTS[1]]) == (expected, len(added))
