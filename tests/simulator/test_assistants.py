"""Users of other assistants: the same people at each request, some of them also Augment's users."""

from __future__ import annotations

from datetime import date, timedelta

from dashboard_scraper.simulator import Organization
from dashboard_scraper.simulator.assistants import ASSISTANTS, Assistants

TODAY = date(2026, 11, 24)


def _assistants() -> Assistants:
    return Assistants(Organization(users=60, today=TODAY))


def test_a_third_of_all_people_use_another_assistant() -> None:
    assistants = _assistants()
    both = [each for each in assistants.colleagues if each.member]
    assert 15 <= len(both) <= 30
    assert all(each.email == each.member.name for each in both if each.member)


def test_every_assistant_has_people_of_its_own() -> None:
    assistants = _assistants()
    for name in ASSISTANTS:
        alone = [each for each in assistants.members(name) if list(each.assistants) == [name]]
        assert any(each.member is None for each in alone)


def test_logins_and_accounts_are_unique() -> None:
    everyone = _assistants().colleagues
    assert len({each.login.lower() for each in everyone}) == len(everyone)
    assert len({each.account for each in everyone}) == len(everyone)


def test_activity_stays_within_membership() -> None:
    assistants = _assistants()
    for name in ASSISTANTS:
        for day in (TODAY - timedelta(days=back) for back in range(40)):
            assert all(each.has(name, day) for each, _ in assistants.active(name, day))


def test_the_same_seed_has_the_same_days() -> None:
    first, second = _assistants(), _assistants()
    day = TODAY - timedelta(days=3)
    for name in ASSISTANTS:
        active = [(each.email, draws) for each, draws in first.active(name, day)]
        assert active == [(each.email, draws) for each, draws in second.active(name, day)]
