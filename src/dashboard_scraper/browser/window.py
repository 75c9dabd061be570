"""A browser with its own profile: which pages it shows, and the cookies for one URL."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from dashboard_scraper.browser.devtools import DevTools, Disconnected, NoAnswer, Refused
from dashboard_scraper.browser.process import Process
from dashboard_scraper.errors import SignInRequired, UsageError

_CLOSE_SECONDS = 5.0
_FAILED_SECONDS = 1.0  # to close after an error, when nothing in the profile is new
_OPTIONS = (
    "--no-first-run",
    "--no-default-browser-check",
    # What it would otherwise download into the profile is tens of megabytes that nobody needs.
    "--disable-component-update",
    "--disable-background-networking",
    "--disable-sync",
)


class Cookie(msgspec.Struct, rename="camel"):
    """A cookie as the browser stores it. `source_port` is -1 if it is unknown."""

    name: str
    value: str
    domain: str
    path: str = "/"
    source_scheme: str = "Unset"
    source_port: int = -1


class _Target(msgspec.Struct, rename="camel"):
    target_id: str
    type: str
    url: str


class _Targets(msgspec.Struct, rename="camel"):
    target_infos: list[_Target]


class _Attached(msgspec.Struct, rename="camel"):
    session_id: str


class _Cookies(msgspec.Struct):
    cookies: list[Cookie]


class _Nothing(msgspec.Struct):
    pass


class WindowClosed(Exception):
    """The browser has no pages any more; `crashed` if it ended with an error."""

    def __init__(self, *, crashed: bool) -> None:
        super().__init__("the browser ended")
        self.crashed = crashed


class Window:
    """The pages of a running browser. Methods raise WindowClosed once there are no pages."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._tools = DevTools(process.commands, process.answers)

    def greet(self, program: Path, seconds: float) -> None:
        """Wait until it answers. If it ends instead, UsageError quotes what it wrote."""
        try:
            self._tools.call("Target.setDiscoverTargets", _Nothing, seconds=seconds, discover=True)
        except Disconnected:
            words = self._process.last_words()
            code = self._process.ended(_CLOSE_SECONDS)
            raise UsageError(
                f"{program} ended (exit code {code}) before it showed a page"
                f"{': ' * bool(words)}{words}; if that cannot be fixed, paste the cookie with"
                " --auth"
            ) from None
        except NoAnswer:
            raise SignInRequired(
                f"{program} did not answer within {seconds:g} seconds; try again, or paste the"
                " cookie with --auth"
            ) from None

    def pages(self) -> list[str]:
        """The URL of every page that it shows. URLs may contain secrets: log only their hosts."""
        return [target.url for target in self._targets()]

    def cookies(self, url: str, names: Collection[str]) -> list[Cookie]:
        """The cookies with these names that the browser would send to the URL, and no others."""
        with self._watched():
            for target in self._targets():
                with contextlib.suppress(Refused):  # the page was closed meanwhile
                    return self._cookies(target, url, names)
        return []

    def wait(self, seconds: float) -> None:
        """Wait until a page changes, at most this long."""
        with self._watched():
            self._tools.wait(seconds)

    def close(self, seconds: float) -> None:
        """Close the browser so that it writes its profile; kill it if it does not end in time."""
        until = time.monotonic() + seconds
        try:
            with contextlib.suppress(Disconnected, NoAnswer, Refused):
                self._tools.call("Browser.close", _Nothing, seconds=seconds)
            self._process.ended(max(0.0, until - time.monotonic()))
        finally:
            self._process.close()
            self._tools.close()

    def _cookies(self, target: _Target, url: str, names: Collection[str]) -> list[Cookie]:
        attached = self._tools.call(
            "Target.attachToTarget", _Attached, targetId=target.target_id, flatten=True
        )
        session = attached.session_id
        found = self._tools.call("Network.getCookies", _Cookies, session=session, urls=[url])
        self._tools.call("Target.detachFromTarget", _Nothing, sessionId=session)
        return [cookie for cookie in found.cookies if cookie.name in names]

    def _targets(self) -> Sequence[_Target]:
        with self._watched():
            found = self._tools.call("Target.getTargets", _Targets).target_infos
        pages = [target for target in found if target.type == "page"]
        if not pages:  # on macOS, a browser without windows goes on
            raise WindowClosed(crashed=False)
        return pages

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Turn the end of the browser into WindowClosed; a browser that hangs counts as crashed."""
        try:
            yield
        except Disconnected:
            code = self._process.ended(_CLOSE_SECONDS)
            raise WindowClosed(crashed=code != 0) from None
        except NoAnswer:
            raise WindowClosed(crashed=True) from None


@contextlib.contextmanager
def open_window(
    program: Path,
    profile: Path,
    url: str,
    environment: Mapping[str, str],
    *,
    headless: bool,
    seconds: float,
) -> Iterator[Window]:
    """Start the browser at the URL, with the profile in that folder; close it at the end.

    It must answer within `seconds`. Without a display, only a `headless` browser can start.
    """
    if not headless and _has_no_display(environment):
        raise UsageError(
            "there is no display for a browser's window (neither DISPLAY nor WAYLAND_DISPLAY is"
            " set); --auth takes a pasted cookie, and --auth --browser --headless renews the"
            " session where somebody has signed in with this profile before"
        )
    arguments = [f"--user-data-dir={profile}", *_OPTIONS]
    if sys.platform == "linux":
        # A job at night has no desktop keyring, which is not unlocked then.
        arguments.append("--password-store=basic")
    if headless:
        arguments.append("--headless=new")
    process = Process(program, [*arguments, url], environment)
    window = Window(process)
    time_to_close = _FAILED_SECONDS
    try:
        window.greet(program, seconds)
        yield window
        time_to_close = _CLOSE_SECONDS
    finally:
        window.close(time_to_close)


def _has_no_display(environment: Mapping[str, str]) -> bool:
    names = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform == "linux" and not any(environment.get(name) for name in names)
