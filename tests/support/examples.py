"""How many examples Hypothesis tries, and which."""

from __future__ import annotations

import hypothesis
import pytest

# The time of an example depends on the load of the machine, so there is no deadline. The examples
# are the same each time, so that no change fails because of unrelated ones; to look for others, use
# `--hypothesis-profile default`. Tests of secrets and spellings set that they try more.
hypothesis.settings.register_profile(
    "patient",
    hypothesis.settings(),
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)


def pytest_configure(config: pytest.Config) -> None:
    """Processes that import the other fixtures but try no examples need not wait for Hypothesis."""
    if config.getoption("--hypothesis-profile") is None:
        hypothesis.settings.load_profile("patient")
