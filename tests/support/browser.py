"""A headless Chromium without any network, and pages in it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

Browser = webdriver.Chrome
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


def is_there() -> bool:
    """Whether this machine has the browser; CI must have it."""
    there = bool(CHROMIUM and DRIVER)
    assert there or "CI" not in os.environ, "CI has to have chromium and chromedriver"
    return there


@contextlib.contextmanager
def started(*, loopback: bool = False) -> Iterator[Browser]:
    """A browser whose requests are noted, and would fail, but for those to a `loopback` server."""
    assert CHROMIUM
    assert DRIVER
    options = Options()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--hide-scrollbars",
        "--force-color-profile=srgb",
        "--host-resolver-rules=MAP * ~NOTFOUND" + ", EXCLUDE 127.0.0.1" * loopback,
        "--proxy-server=127.0.0.1:9",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options=options, service=Service(DRIVER)) as browser:
        yield browser


def show(
    browser: Browser, width: int, *, height: int = 900, dark: bool = False, media: str = ""
) -> None:
    """Emulate a screen; `media` is `print` for paper."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [scheme]})


def open_page(browser: Browser, page: Path) -> None:
    browser.get(page.absolute().as_uri())


def requests_of(browser: Browser) -> list[str]:
    """The addresses that were asked for since the last call."""
    logged = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]  # type: ignore[no-untyped-call]
    return [
        each["params"]["request"]["url"]
        for each in logged
        if each["method"] == "Network.requestWillBeSent"
    ]


def console_of(browser: Browser) -> list[Any]:
    """What the browser had to complain of since the last call."""
    return list(browser.get_log("browser"))  # type: ignore[no-untyped-call]
