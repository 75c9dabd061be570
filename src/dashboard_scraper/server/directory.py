"""The endpoints on people, seats, teams and organizations: tools ask these before any figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dashboard_scraper.github.caveats import Caveats
from dashboard_scraper.github.kinds import Scope
from dashboard_scraper.github.objects import ObjectWriter, Organization, billing_of
from dashboard_scraper.github.seats import Seat
from dashboard_scraper.github.views import GithubViews
from dashboard_scraper.people.identity import Person, team_id
from dashboard_scraper.server.answers import json_answer, with_caveats
from dashboard_scraper.server.noted import noted_of
from dashboard_scraper.server.paging import Page
from dashboard_scraper.server.places import Places
from dashboard_scraper.server.rates import unlimited

RATE_LIMIT = "/rate_limit"
Endpoint = Callable[[Request], Response]
T = TypeVar("T")
_SEATS_PER_PAGE, _PER_PAGE = 50, 30
_AVATAR = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16"'
    b' fill="#d0d7de"/><circle cx="8" cy="6" r="3" fill="#656d76"/><path d="M2 16a6 6 0 0 1 12 0z"'
    b' fill="#656d76"/></svg>'
)


class Directory:
    """Answers from the list of known people, and for teams from IDENTITY_FILE."""

    def __init__(
        self, views: GithubViews, places: Places, slugs: dict[Scope, Sequence[str]]
    ) -> None:
        self._views = views
        self._places = places
        self._slugs = slugs

    def routes(self) -> list[tuple[str, Endpoint]]:
        """Every path with its endpoint; the endpoints do not check `{slug}`."""
        return [
            ("/user", self._server),
            ("/user/orgs", self._organizations),
            ("/users/{login:path}", self._user),
            (RATE_LIMIT, _rate_limit),
            ("/orgs/{slug}", self._organization),
            ("/orgs/{slug}/copilot/billing", self._billing),
            ("/orgs/{slug}/copilot/billing/seats", self._seats),
            ("/orgs/{slug}/members", self._members),
            ("/orgs/{slug}/members/{login:path}/copilot", self._seat),
            ("/orgs/{slug}/teams", self._teams),
            ("/orgs/{slug}/teams/{team:path}/members", self._team_members),
            ("/orgs/{slug}/teams/{team:path}", self._team),
            ("/enterprises/{slug}/copilot/billing/seats", self._seats),
            ("/enterprises/{slug}/members/{login:path}/copilot", self._enterprise_seat),
            ("/enterprises/{slug}/teams", self._enterprise_teams),
            ("/enterprises/{slug}/teams/{team:path}/memberships", self._team_members),
            ("/enterprises/{slug}/teams/{team:path}", self._enterprise_team),
        ]

    def _writer(self, request: Request) -> ObjectWriter:
        return self._places.writer(request)

    def _organization_of(self, request: Request) -> Organization:
        return self._views.organization(request.path_params["slug"])

    def _server(self, request: Request) -> Response:
        """The user whom the token belongs to: tools test a token with it."""
        anybody = self._views.organization("")
        return json_answer(self._writer(request).server_user(anybody))

    def _organizations(self, request: Request) -> Response:
        """The configured organizations: some tools ask for them first."""
        found = [self._views.organization(slug) for slug in self._slugs[Scope.ORGANIZATION]]
        return self._list(request, found, self._writer(request).organization)

    def _organization(self, request: Request) -> Response:
        one = self._organization_of(request)
        return json_answer(self._writer(request).whole_organization(one))

    def _user(self, request: Request) -> Response:
        seat, _ = self._seat_of(request)
        updated = seat.last_activity or seat.since
        return json_answer(self._writer(request).public_user(seat.person, seat.since, updated))

    def _members(self, request: Request) -> Response:
        persons = [seat.person for seat in self._views.seats().seats]
        return self._list(request, persons, self._writer(request).user)

    def _seats(self, request: Request) -> Response:
        page = Page.of(request, _SEATS_PER_PAGE)
        seats, _, caveats = self._views.seats()
        shown = [*map(self._writer(request).seat, page.of_list(seats))]
        response = json_answer({"total_seats": len(seats), "seats": shown})
        return with_caveats(page.link(response, self._url(request), len(seats)), caveats)

    def _seat(self, request: Request) -> Response:
        seat, caveats = self._seat_of(request)
        return with_caveats(json_answer(self._writer(request).seat(seat)), caveats)

    def _enterprise_seat(self, request: Request) -> Response:
        seat, caveats = self._seat_of(request)
        shown = [self._writer(request).seat(seat)]
        return with_caveats(json_answer({"total_seats": 1, "seats": shown}), caveats)

    def _seat_of(self, request: Request) -> tuple[Seat, Caveats]:
        """The seat of a login, and the caveats of the latest 28 days."""
        login = request.path_params["login"].lower()
        seats, _, caveats = self._views.seats()
        for seat in seats:
            if seat.person.login.lower() == login:
                return seat, caveats
        raise HTTPException(404, "Not Found")

    def _billing(self, request: Request) -> Response:  # noqa: ARG002
        """Some tools test the connection with this endpoint."""
        seats, window, caveats = self._views.seats()
        return with_caveats(json_answer(billing_of(seats, window)), caveats)

    def _enterprise_teams(self, request: Request) -> Response:
        enterprise, writer = self._organization_of(request), self._writer(request)
        teams = [*self._views.teams]
        return self._list(request, teams, lambda slug: writer.enterprise_team(enterprise, slug))

    def _enterprise_team(self, request: Request) -> Response:
        slug, _ = self._team_of(request)
        enterprise = self._organization_of(request)
        return json_answer(self._writer(request).enterprise_team(enterprise, slug))

    def _teams(self, request: Request) -> Response:
        one, writer = self._organization_of(request), self._writer(request)
        return self._list(request, [*self._views.teams], lambda slug: writer.team(one, slug))

    def _team(self, request: Request) -> Response:
        slug, members = self._team_of(request)
        one = self._organization_of(request)
        return json_answer(self._writer(request).whole_team(one, slug, len(members)))

    def _team_members(self, request: Request) -> Response:
        _, members = self._team_of(request)
        return self._list(request, members, self._writer(request).user)

    def _team_of(self, request: Request) -> tuple[str, Sequence[Person]]:
        """A team by its slug, as in GitHub's API, or by its id."""
        asked = request.path_params["team"]
        for slug, members in self._views.teams.items():
            if asked.lower() == slug.lower() or asked == f"{team_id(slug)}":
                return slug, members
        raise HTTPException(404, "Not Found")

    def _list(self, request: Request, items: Sequence[T], write: Callable[[T], Any]) -> Response:
        page = Page.of(request, _PER_PAGE)
        response = json_answer([write(item) for item in page.of_list(items)])
        return page.link(response, self._url(request), len(items))

    def _url(self, request: Request) -> str:
        return self._places.api(request) + quote(request.scope["path"])


def avatar(_request: Request) -> Response:
    """The same picture for everybody, so that the pages of tools show no broken ones."""
    headers = {"Cache-Control": "max-age=86400", "Content-Security-Policy": "default-src 'none'"}
    return Response(_AVATAR, headers=headers, media_type="image/svg+xml")


def _rate_limit(request: Request) -> Response:
    """The rate limit. Requests for it are not counted, as at GitHub: clients ask when to retry."""
    rate = (noted_of(request.scope).rate or unlimited())._asdict()
    return json_answer({"resources": {"core": rate, "search": rate}, "rate": rate})
