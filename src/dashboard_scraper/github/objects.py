"""GitHub's REST objects for people, teams and organizations.

They have every field that GitHub's description requires, since strict clients reject incomplete
objects. Fields that no source knows have the value that stands for "not configured", or none.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from dashboard_scraper.github.seats import Seat
from dashboard_scraper.model.dates import Window, iso_utc, start_of_day
from dashboard_scraper.model.seats import plans_in
from dashboard_scraper.people.identity import Person, sha256_user_id, team_id

Json = dict[str, Any]
SERVER_LOGIN = "dashboard-scraper"
_UNCONFIGURED = "unconfigured"
_PLANS = ("enterprise", "business")
"""GitHub's words for plans; a person with both plans has the larger one."""


class Organization(msgspec.Struct, frozen=True):
    """An organization's login and id, and since when the store has its figures."""

    login: str
    id: int
    since: datetime
    updated: datetime


class ObjectWriter(msgspec.Struct, frozen=True):
    """Writes objects with the addresses under which a client reaches them.

    `api` is the root of the endpoints, which an enterprise's client expects at `/api/v3`.
    """

    web: str
    api: str

    def user(self, person: Person) -> Json:
        """A `simple-user`."""
        name = quote(person.login, safe="")
        url = f"{self.api}/users/{name}"
        return {
            "login": person.login,
            "id": person.id,
            "node_id": _node_id("User", person.id),
            "avatar_url": self._avatar(person.id),
            "gravatar_id": "",
            "url": url,
            "html_url": f"{self.web}/{name}",
            "followers_url": f"{url}/followers",
            "following_url": f"{url}/following{{/other_user}}",
            "gists_url": f"{url}/gists{{/gist_id}}",
            "starred_url": f"{url}/starred{{/owner}}{{/repo}}",
            "subscriptions_url": f"{url}/subscriptions",
            "organizations_url": f"{url}/orgs",
            "repos_url": f"{url}/repos",
            "events_url": f"{url}/events{{/privacy}}",
            "received_events_url": f"{url}/received_events",
            "type": "User",
            "user_view_type": "public",
            "site_admin": False,
        }

    def public_user(self, person: Person, since: datetime, updated: datetime) -> Json:
        """A `public-user`: only the name of a person's profile is known."""
        unknown = ("name", "company", "location", "email", "hireable", "bio", "twitter_username")
        return {
            **self.user(person),
            **dict.fromkeys(unknown),
            "blog": "",
            **_counts("public_repos", "public_gists", "followers", "following"),
            "created_at": iso_utc(since),
            "updated_at": iso_utc(updated),
        }

    def server_user(self, organization: Organization) -> Json:
        """The owner of the token: not a person, but this server."""
        server = Person(SERVER_LOGIN, sha256_user_id(SERVER_LOGIN))
        return self.public_user(server, organization.since, organization.updated)

    def organization(self, one: Organization) -> Json:
        """An `organization-simple`."""
        url = f"{self.api}/orgs/{quote(one.login, safe='')}"
        return {
            "login": one.login,
            "id": one.id,
            "node_id": _node_id("Organization", one.id),
            "url": url,
            "repos_url": f"{url}/repos",
            "events_url": f"{url}/events",
            "hooks_url": f"{url}/hooks",
            "issues_url": f"{url}/issues",
            "members_url": f"{url}/members{{/member}}",
            "public_members_url": f"{url}/public_members{{/member}}",
            "avatar_url": self._avatar(one.id),
            "description": None,
        }

    def whole_organization(self, one: Organization) -> Json:
        """An `organization-full`."""
        return {
            **self.organization(one),
            "html_url": f"{self.web}/{quote(one.login, safe='')}",
            "type": "Organization",
            "has_organization_projects": False,
            "has_repository_projects": False,
            **_counts("public_repos", "public_gists", "followers", "following"),
            "created_at": iso_utc(one.since),
            "updated_at": iso_utc(one.updated),
            "archived_at": None,
        }

    def seat(self, seat: Seat) -> Json:
        """A `copilot-seat-details`."""
        last = seat.last_activity
        return {
            "created_at": iso_utc(seat.since),
            "updated_at": iso_utc(last or seat.since),
            "last_activity_at": iso_utc(last) if last else None,
            "last_activity_editor": None,
            "last_authenticated_at": None,
            "pending_cancellation_date": f"{seat.ends}" if seat.ends else None,
            "plan_type": next((plan for plan in _PLANS if plan in plans_in(seat.plan)), "unknown"),
            "assigning_team": None,
            "assignee": self.user(seat.person),
        }

    def enterprise_team(self, enterprise: Organization, slug: str) -> Json:
        """An `enterprise-team`."""
        login, name = quote(enterprise.login, safe=""), quote(slug, safe="")
        url = f"{self.api}/enterprises/{login}/teams/{name}"
        return {
            "id": team_id(slug),
            "name": slug,
            "slug": slug,
            "url": url,
            "html_url": f"{self.web}/enterprises/{login}/teams/{name}",
            "members_url": f"{url}/memberships",
            "group_id": None,
            "created_at": iso_utc(enterprise.since),
            "updated_at": iso_utc(enterprise.since),
        }

    def team(self, organization: Organization, slug: str) -> Json:
        """A `team` of an organization."""
        login, name = quote(organization.login, safe=""), quote(slug, safe="")
        url = f"{self.api}/orgs/{login}/teams/{name}"
        return {
            "id": team_id(slug),
            "node_id": _node_id("Team", team_id(slug)),
            "name": slug,
            "slug": slug,
            "description": None,
            "privacy": "closed",
            "permission": "pull",
            "url": url,
            "html_url": f"{self.web}/orgs/{login}/teams/{name}",
            "members_url": f"{url}/members{{/member}}",
            "repositories_url": f"{url}/repos",
            "type": "organization",
            "organization_id": organization.id,
            "parent": None,
        }

    def whole_team(self, organization: Organization, slug: str, members: int) -> Json:
        """A `team-full` of an organization."""
        return {
            **self.team(organization, slug),
            "created_at": iso_utc(organization.since),
            "updated_at": iso_utc(organization.since),
            "members_count": members,
            "repos_count": 0,
            "organization": self.whole_organization(organization),
        }

    def _avatar(self, number: int) -> str:
        return f"{self.web}/avatars/u/{number}"


def billing_of(seats: Sequence[Seat], cycle: Window) -> Json:
    """A `copilot-organization-details`. The tenant's billing cycle is unknown: `cycle` is the
    window of the 28-day reports. So the active seats are the monthly active users of these reports,
    and people who were active since, according to newer days or to the source's seats.
    """
    start = start_of_day(cycle.start)
    active = sum(seat.last_activity is not None and seat.last_activity >= start for seat in seats)
    breakdown = {
        "total": len(seats),
        "added_this_cycle": sum(seat.since >= start for seat in seats),
        "active_this_cycle": active,
        "inactive_this_cycle": len(seats) - active,
        "pending_cancellation": sum(seat.ends is not None for seat in seats),
        **_counts("pending_invitation"),
    }
    return {
        "seat_breakdown": breakdown,
        "public_code_suggestions": _UNCONFIGURED,
        "ide_chat": _UNCONFIGURED,
        "platform_chat": _UNCONFIGURED,
        "cli": _UNCONFIGURED,
        "seat_management_setting": _UNCONFIGURED,
    }


def _counts(*names: str) -> dict[str, int]:
    return dict.fromkeys(names, 0)


def _node_id(kind: str, number: int) -> str:
    """GitHub's older form, `04:User1` in Base64."""
    return base64.b64encode(f"{len(kind):02}:{kind}{number}".encode()).decode()
