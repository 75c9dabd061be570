"""Small teams are not shown, and cannot be computed by subtracting the others from the total."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from dashboard_scraper.people.groups import shown_groups

FIVE = 5


def teams(*sizes: int) -> dict[str, set[int]]:
    numbers = itertools.count()
    return {f"team{place}": {*itertools.islice(numbers, n)} for place, n in enumerate(sizes)}


def shown(members: dict[str, set[int]], without_team: int = 0) -> list[str]:
    others = {-1 - number for number in range(without_team)}
    return shown_groups(members, others.union(*members.values()), FIVE)


def test_small_team_is_not_shown() -> None:
    assert shown(teams(8, 4, 4)) == ["team0"]
    assert shown(teams(8, 5)) == ["team0", "team1"]


def test_only_small_team_hides_the_next_smallest() -> None:
    assert shown(teams(8, 4, 6)) == ["team0"]
    assert shown(teams(8, 4, 6), without_team=1) == ["team0", "team2"]
    assert shown(teams(8, 4)) == []


def test_few_people_without_a_team_are_hidden_too() -> None:
    assert shown(teams(8, 6), without_team=2) == ["team0"]


def test_part_of_a_team_does_not_show_the_rest() -> None:
    whole = {*range(9)}
    assert shown({"all": whole, "core": {*range(6)}}) == ["all"]
    assert shown({"all": {*range(12)}, "core": {*range(6)}}) == ["all", "core"]


def test_parts_of_a_team_together_do_not_show_the_rest() -> None:
    whole, first, second = {*range(12)}, {*range(5)}, {*range(5, 11)}
    parts = {"first": first, "second": second, "third": {11}}
    assert shown({"all": whole, **parts}, without_team=9) == ["all", "second"]


def test_one_of_teams_that_overlap_does_not_show_who_is_not_in_it() -> None:
    teams_of_all = {"most": {*range(10)}, "some": {*range(4, 12)}}
    assert shown(teams_of_all) == []
    assert shown(teams_of_all, without_team=5) == ["most", "some"]


@given(st.lists(st.sets(st.integers(0, 25)), max_size=6), st.integers(0, 8))
def test_what_is_left_of_the_total_is_never_few_people(
    sets: list[set[int]], without_team: int
) -> None:
    members = {f"team{place}": found for place, found in enumerate(sets)}
    everybody = {*range(100, 100 + without_team)}.union(*sets)
    names = shown_groups(members, everybody, FIVE)
    assert all(len(members[name]) >= FIVE for name in names)
    for whole in (everybody, *(members[name] for name in names)):
        parts = [members[name] for name in names if members[name] < whole]
        for taken in (*parts, set[int]().union(*parts)):
            assert taken in (set(), whole) or len(whole - taken) >= FIVE
