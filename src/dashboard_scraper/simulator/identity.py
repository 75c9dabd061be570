"""An identity provider on its own loopback port: a password, a second factor, a remembered device,
and a sign-in that lasts until it is ended.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, urlencode

from dashboard_scraper.simulator.connection import Served
from dashboard_scraper.simulator.exchange import Answer, Request, json_answer
from dashboard_scraper.simulator.gate import COOKIE_NAME

AUTHORIZE, PASSWORD, FACTOR, REJECTED = "/authorize", "/password", "/factor", "/signin/rejected"
SIGNED_IN, DEVICE, PENDING = "idp_sign_in", "idp_device", "idp_pending"
_YEAR = 365 * 24 * 3600

_PASSWORD_FORM = (
    f"<form method=post action={PASSWORD}><input name=user autocomplete=username>"
    "<input name=password type=password><button>Next</button></form>"
)
_FACTOR_FORM = (
    f"<form method=post action={FACTOR}><input name=code autocomplete=one-time-code>"
    "<label><input name=remember type=checkbox value=yes>Remember this device</label>"
    "<button>Sign in</button></form>"
)
# As Google's does: with this property, an honest browser says that a program has started it.
_ONLY_PEOPLE = f"<script>if (navigator.webdriver) location.replace('{REJECTED}')</script>"


class IdentityProvider(Served):
    """Serves at the host `localhost`, but the dashboard is at `127.0.0.1`, since cookies do not
    distinguish ports. Thread-safe.

    With `refuses_automation`, a browser that says that a program has started it gets no form. The
    provider also sets a cookie with the name of the dashboard's session that is no session.
    """

    user, password, code = "person@example.com", "correct horse", "123456"

    def __init__(self, *, refuses_automation: bool = False) -> None:
        super().__init__()
        self.refuses_automation = refuses_automation
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        self._sign_ins: set[str] = set()
        self._devices: set[str] = set()
        self._pending: dict[str, str] = {}
        self._codes: set[str] = set()

    @property
    def url(self) -> str:
        """Its address once it has been started, without a slash at its end."""
        return f"http://localhost:{self.port}"

    def end_sign_ins(self, *, devices: bool = False) -> None:
        """Ask everybody for the password again and, with `devices`, also for the second factor."""
        with self._lock:
            self._sign_ins.clear()
            if devices:
                self._devices.clear()

    def redeem(self, code: str) -> bool:
        """Whether it issued the code; a code is valid once."""
        with self._lock:
            known = code in self._codes
            self._codes.discard(code)
            return known

    def _respond(self, request: Request) -> Answer:
        self.requests.append(request)
        fields = dict(parse_qsl(request.body.decode(errors="replace")))
        with self._lock:
            return self._answer(request, fields, _cookies(request))

    def _answer(
        self, request: Request, fields: Mapping[str, str], cookies: Mapping[str, str]
    ) -> Answer:
        route = request.method, request.path
        if route == ("GET", AUTHORIZE):
            return self._authorize(request.query.get("return_to", ""), cookies)
        if route == ("GET", REJECTED):
            return page("This browser may not be secure", "<p>Try another browser.</p>")
        if route == ("POST", PASSWORD):
            return self._after_password(fields, cookies)
        if route == ("POST", FACTOR):
            return self._after_factor(fields, cookies)
        return json_answer({"error": "Not Found"}, 404)

    def _authorize(self, return_to: str, cookies: Mapping[str, str]) -> Answer:
        if cookies.get(SIGNED_IN) in self._sign_ins:
            return self._back(return_to)
        pending = secrets.token_urlsafe(32)
        self._pending[pending] = return_to
        form = _PASSWORD_FORM + _ONLY_PEOPLE * self.refuses_automation
        return page("Sign in", form).with_headers(
            cookie(PENDING, pending), cookie(COOKIE_NAME, f"not-the-dashboards-{pending}")
        )

    def _after_password(self, fields: Mapping[str, str], cookies: Mapping[str, str]) -> Answer:
        if (fields.get("user"), fields.get("password")) != (self.user, self.password):
            return page("Wrong password", _PASSWORD_FORM, 403)
        if cookies.get(DEVICE) in self._devices:
            return self._signed_in(cookies)
        return page("Second factor", _FACTOR_FORM)

    def _after_factor(self, fields: Mapping[str, str], cookies: Mapping[str, str]) -> Answer:
        if fields.get("code") != self.code:
            return page("Wrong code", _FACTOR_FORM, 403)
        answer = self._signed_in(cookies)
        if fields.get("remember"):
            device = secrets.token_urlsafe(32)
            self._devices.add(device)
            answer = answer.with_headers(cookie(DEVICE, device))
        return answer

    def _signed_in(self, cookies: Mapping[str, str]) -> Answer:
        return_to = self._pending.pop(cookies.get(PENDING, ""), None)
        if return_to is None:
            return page("Start again", "<p>This sign-in is too old.</p>", 400)
        sign_in = secrets.token_urlsafe(32)
        self._sign_ins.add(sign_in)
        return self._back(return_to).with_headers(cookie(SIGNED_IN, sign_in))

    def _back(self, return_to: str) -> Answer:
        code = secrets.token_urlsafe(32)
        self._codes.add(code)
        return redirection(f"{return_to}?{urlencode({'code': code})}")


def page(title: str, body: str, status: int = 200) -> Answer:
    """An HTML page."""
    text = f"<!doctype html><html><head><title>{title}</title></head><body>{body}</body></html>"
    return Answer(status, text.encode(), "text/html; charset=utf-8")


def redirection(location: str) -> Answer:
    """A redirect that a browser follows with GET."""
    return Answer(303, b"", "text/plain", headers=(("Location", location),))


def cookie(name: str, value: str) -> tuple[str, str]:
    """The header of a cookie that stays when the browser ends."""
    return "Set-Cookie", f"{name}={value}; Path=/; Max-Age={_YEAR}; HttpOnly; SameSite=Lax"


def _cookies(request: Request) -> dict[str, str]:
    return {name: morsel.value for name, morsel in SimpleCookie(request.cookie or "").items()}
