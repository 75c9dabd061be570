"""A person at the browser that `--auth --browser` opens, and the browsers that tests use for it.

The program talks to its browser over pipes, which nobody else can use. So the tests' browser is a
script that also opens a DevTools port, for the person.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import websocket

from browser import CHROMIUM
from conftest import Home
from dashboard_scraper.simulator import IdentityProvider

PROFILE = Path("secrets", "browser")
_PORT_FILE = "DevToolsActivePort"
_LONGEST = 60.0
_FILL = """(fields => {
  const all = Object.entries(fields).map(([name, value]) => [document.forms[0]?.[name], value]);
  if (all.some(([input]) => !input)) return false;
  for (const [input, value] of all)
    if (value === true) input.checked = true; else input.value = value;
  document.forms[0].requestSubmit();
  return true;
})(%s)"""
_FAKE = '''
import json, os, sys, time
commands, answers = open(3, "rb", 0), open(4, "wb", 0)
def receive():
    text = b""
    while not text.endswith(b"\\0"):
        piece = commands.read(1)
        if not piece: sys.exit(0)
        text += piece
    return json.loads(text[:-1])
def send(result, command):
    answers.write(json.dumps({"id": command["id"], "result": result}).encode() + b"\\0")
def serve(**answered):
    """Answer every command, by the last part of its name, with what is given or nothing."""
    while True:
        command = receive()
        with open(sys.argv[0] + ".log", "a") as log: log.write(json.dumps(command) + "\\n")
        name = command["method"].rpartition(".")[2]
        send(answered.get(name, {"sessionId": "1"} if name == "attachToTarget" else {}), command)
        if name == "close": sys.exit(0)
'''


def give_browser(home: Home, *, port: bool = False) -> None:
    """Set BROWSER_PATH to Chromium without a window, since CI has no screen; with `port`, the
    person can also use it. The sandbox is off because CI runs as root, for whom Chromium has none.
    """
    options = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage"
    options += " --remote-debugging-port=0" if port else ""
    give_program(home, f'#!/bin/sh\nexec {CHROMIUM} {options} "$@"\n')


def give_program(home: Home, script: str) -> Path:
    """Set BROWSER_PATH to a script, and a display for it."""
    path = home.path / "our-browser"
    path.write_text(script)
    path.chmod(0o700)
    home.settings |= {"BROWSER_PATH": str(path), "DISPLAY": ":none"}
    return path


def fake_browser(home: Home, body: str) -> Path:
    """A browser that is a Python script; `body` may use `receive()`, `send()` and `serve()`."""
    return give_program(home, f"#!{sys.executable}\n{_FAKE}{body}")


class Person:
    """Does something in the browser of a home, in a thread of its own, while a run waits for it."""

    def __init__(self, home: Home, act: Callable[[Person], None]) -> None:
        self._port_file = home.path / PROFILE / _PORT_FILE
        self._thread = threading.Thread(target=self._run, args=(act,))
        self._error: BaseException | None = None
        self._ids = 0

    def __enter__(self) -> Self:
        self._port_file.unlink(missing_ok=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def submit(self, **fields: object) -> None:
        """Fill in a form and send it, as soon as the page has one with these fields."""
        script = _FILL % json.dumps(fields)
        wait_for(lambda: self.call("Runtime.evaluate", expression=script)["result"].get("value"))

    def close_window(self) -> None:
        """Close every page until the browser ends: a page that is still loading may stay open."""
        wait_for(self._has_ended)

    def _has_ended(self) -> bool:
        try:
            for target in self._targets():
                with contextlib.suppress(urllib.error.HTTPError):  # the page is closed already
                    urllib.request.urlopen(f"{self._browser}/json/close/{target['id']}").close()
        except OSError:
            return True
        return False

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._ids += 1
        self._page.send(json.dumps({"id": self._ids, "method": method, "params": parameters}))
        while True:
            message: dict[str, Any] = json.loads(self._page.recv())
            if message.get("id") == self._ids:
                return dict(message.get("result", {"result": {}}))

    def _run(self, act: Callable[[Person], None]) -> None:
        try:
            self._page = websocket.create_connection(self._address(), suppress_origin=True)
            try:
                act(self)
            finally:
                self._page.close()
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread
            self._error = error

    def _address(self) -> str:
        wait_for(lambda: self._port_file.exists() and self._port_file.read_text().strip())
        self._browser = f"http://127.0.0.1:{self._port_file.read_text().split()[0]}"
        page, *_ = wait_for(self._targets)
        return str(page["webSocketDebuggerUrl"])

    def _targets(self) -> list[dict[str, Any]]:
        """The pages that the browser shows; OSError once it has ended."""
        with urllib.request.urlopen(f"{self._browser}/json/list") as answer:
            return [target for target in json.load(answer) if target["type"] == "page"]


def sign_in(person: Person) -> None:
    """Password and second factor, on a device to remember."""
    person.submit(user=IdentityProvider.user, password=IdentityProvider.password)
    person.submit(code=IdentityProvider.code, remember=True)


def wait_for(condition: Callable[[], Any]) -> Any:
    """The condition's value, once it is true."""
    until = time.monotonic() + _LONGEST
    while not (value := condition()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return value
