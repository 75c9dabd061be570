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
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from ports import reserved_port

Browser = webdriver.Chrome
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


def is_there() -> bool:
    """Whether this machine has the browser, which CI must have."""
    there = bool(CHROMIUM and DRIVER)
    assert there or "CI" not in os.environ, "CI has to have chromium and chromedriver"
    return there


@contextlib.contextmanager
def started(*, loopback: bool = False) -> Iterator[Browser]:
    """A browser that logs its requests; all fail, except those to a `loopback` server."""
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
    with (
        reserved_port() as port,
        webdriver.Chrome(options=options, service=Service(DRIVER, port)) as browser,
    ):
        browser.set_script_timeout(300)  # a look at the whole page takes a while on a busy machine
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


def settle(browser: Browser) -> None:
    """Wait until the page has drawn what follows from a change, for example of its width."""
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def open_page(browser: Browser, page: Path) -> None:
    browser.get(page.absolute().as_uri())


def all_of(browser: Browser, selector: str) -> list[WebElement]:
    return browser.find_elements(By.CSS_SELECTOR, selector)


def one(browser: Browser, selector: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, selector)


def texts(browser: Browser, selector: str) -> list[str]:
    """The text of every element, whether it is visible or not."""
    script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent.trim())"
    found: list[str] = browser.execute_script(script, selector)
    return found


def requests_of(browser: Browser) -> list[str]:
    """The URLs requested since the last call."""
    logged = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]  # type: ignore[no-untyped-call]
    return [
        each["params"]["request"]["url"]
        for each in logged
        if each["method"] == "Network.requestWillBeSent"
    ]


def console_of(browser: Browser) -> list[Any]:
    """The errors and warnings in the browser's console since the last call."""
    return list(browser.get_log("browser"))  # type: ignore[no-untyped-call]
