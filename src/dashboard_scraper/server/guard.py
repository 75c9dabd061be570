"""Lets requests through to their endpoints: each route says who may request it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from dashboard_scraper.server.access import Access
from dashboard_scraper.server.answers import API_VERSIONS, VERSION_HEADER, error_answer
from dashboard_scraper.server.guesses import Guesses, TooManyGuesses
from dashboard_scraper.server.noted import noted_of
from dashboard_scraper.server.rates import Rates
from dashboard_scraper.server.scopes import Scope
from dashboard_scraper.server.tokens import Token

PAGE = "/"
_AUTHORIZATION = "Authorization"
_BASIC_CHALLENGE = 'Basic realm="usage figures: any name, the token as password", charset="UTF-8"'


class Door(Enum):
    """What a route requires."""

    OPEN = auto()
    """No token or link."""
    MORE = auto()
    """No token; but a client that sends one gets more, and needs its scope for that."""
    LINK = auto()
    """A signed link whose token has the scope."""
    TOKEN = auto()
    """A token with the scope."""


class Needs(msgspec.Struct, frozen=True):
    """Who may request a route; with `counted`, requests count toward the token's limit."""

    door: Door
    scope: Scope | None = None
    counted: bool = True


NOTHING = Needs(Door.OPEN)
_ANY_TOKEN = Needs(Door.TOKEN)


class GuardedRoute(Route):
    """A route whose endpoint runs only if the guard lets the request through."""

    def __init__(self, path: str, endpoint: Callable[..., Any], needs: Needs, guard: Guard) -> None:
        super().__init__(path, endpoint)
        self.needs = needs
        self._guard = guard

    async def handle(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer, or say why the request is refused."""
        noted_of(scope).route = self.path
        await self._guard.pass_on(super().handle, self.needs, scope, receive, send)


class Guard:
    """Checks tokens and links; all methods must be called from one event loop."""

    def __init__(self, access: Access, rates: Rates, guesses: Guesses) -> None:
        self._access = access
        self._rates = rates
        self._guesses = guesses

    async def pass_on(
        self, app: ASGIApp, needs: Needs, scope: AsgiScope, receive: Receive, send: Send
    ) -> None:
        """Answer through `app`, or say why the request is refused."""
        request = Request(scope)
        try:
            refusal = await self._refusal(request, needs)
        except TooManyGuesses as error:
            refusal = _too_many(
                "Too many wrong credentials came from here; try again later", error.retry_after
            )
        await (refusal or app)(scope, receive, send)

    async def nothing(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """The answer at every other path: only holders of a token learn whether a path exists."""
        await self.pass_on(_not_found, _ANY_TOKEN, scope, receive, send)

    async def _refusal(self, request: Request, needs: Needs) -> Response | None:
        match needs.door:
            case Door.OPEN:
                return None
            case Door.LINK:
                return await self._refused_link(request, needs)
            case Door.MORE if _AUTHORIZATION not in request.headers:
                return None
        return await self._refused_token(request, needs)

    async def _refused_token(self, request: Request, needs: Needs) -> Response | None:
        sent = request.headers.get(_AUTHORIZATION)
        if sent is None:
            return _unauthorized(request, "Requires authentication")
        token = await self._guesses.check(_address_of(request), lambda: self._access.token_of(sent))
        if token is None:
            return _unauthorized(request, "Bad credentials")
        noted_of(request.scope).token = token.name
        if token.has_expired(datetime.now(UTC)):
            return _unauthorized(request, "This token has expired")
        if refusal := self._over_limit(request, token, needs):
            return refusal
        if needs.scope and not token.covers(needs.scope):
            return _lacks(token, needs.scope)
        version = request.headers.get(VERSION_HEADER, API_VERSIONS[-1])
        if version not in API_VERSIONS:
            return error_answer(400, f"{VERSION_HEADER} must be one of {', '.join(API_VERSIONS)}")
        noted_of(request.scope).holder = token
        return None

    async def _refused_link(self, request: Request, needs: Needs) -> Response | None:
        expires = request.query_params.get("expires", "")
        signature = request.query_params.get("signature", "")
        path = request.scope["path"]
        token = await self._guesses.check(
            _address_of(request), lambda: self._access.signer_of(path, expires, signature)
        )
        if token is None or not _may_share(token, needs):
            return error_answer(403, "This link is not valid; ask for the report again")
        noted_of(request.scope).token = token.name
        if int(expires) < time.time():
            return error_answer(403, "This link has expired; ask for the report again")
        return self._over_limit(request, token, needs)

    def _over_limit(self, request: Request, token: Token, needs: Needs) -> Response | None:
        noted = noted_of(request.scope)
        if not needs.counted:
            noted.rate = self._rates.of(token.name)
            return None
        noted.rate, seconds = self._rates.take(token.name)
        if not seconds:
            return None
        # In GitHub's words: its clients recognize these and wait.
        message = f"API rate limit exceeded for this token: {noted.rate.limit} requests a minute"
        return _too_many(message, seconds)


def _may_share(token: Token, needs: Needs) -> bool:
    """Whether links of the token still work: it may have lost the scope since."""
    has_scope = needs.scope is not None and token.covers(needs.scope)
    return has_scope and not token.has_expired(datetime.now(UTC))


def _address_of(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""


def _too_many(message: str, seconds: int) -> Response:
    answer = error_answer(429, message)
    answer.headers["Retry-After"] = f"{seconds}"
    return answer


def _unauthorized(request: Request, message: str) -> Response:
    answer = error_answer(401, message)
    # Basic makes a browser ask its user for a name, which may be any, and for a password, the
    # token.
    is_page = request.scope["path"] == PAGE
    answer.headers["WWW-Authenticate"] = _BASIC_CHALLENGE if is_page else "Bearer"
    return answer


def _lacks(token: Token, scope: Scope) -> Response:
    """The error, with the headers in which GitHub names scopes."""
    has = ", ".join(each.value for each in token.scopes)
    message = f"This token lacks the scope {scope.value}, which is needed here; it has {has}"
    answer = error_answer(403, message)
    answer.headers["X-OAuth-Scopes"] = has
    answer.headers["X-Accepted-OAuth-Scopes"] = scope.value
    return answer


async def _not_found(_scope: AsgiScope, _receive: Receive, _send: Send) -> None:
    raise HTTPException(404)
