"""How many examples Hypothesis tries, and which."""

from __future__ import annotations

import hypothesis
import pytest

# How long an example takes says something of the machine alone, where others work too. The examples
# are the same each time, so that no change fails by what it has nothing to do with; to look for
# others, use `--hypothesis-profile default`. Tests of secrets and spellings say that they try more.
hypothesis.settings.register_profile(
    "patient",
    hypothesis.settings(),
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)


def pytest_configure(config: pytest.Config) -> None:
    """Processes that import the other fixtures and try no examples do not wait for Hypothesis."""
    if config.getoption("--hypothesis-profile") is None:
        hypothesis.settings.load_profile("patient")
