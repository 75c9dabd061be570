"""GitHub's own description of its answers, as in npm's `@octokit/openapi`."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from tree import ROOT

_EXCERPT = ROOT / "tests" / "vendor" / "github-openapi.json"


@cache
def _description() -> Any:
    return json.loads(_EXCERPT.read_text(encoding="utf-8"))


def described_paths() -> list[str]:
    """Every path whose answer is described, with its parameters in braces."""
    return [path for path in _description()["answers"] if path.startswith("/")]


def assert_described(answer: str, body: Any) -> None:
    """The body is valid as the answer of that path, or as an `error`."""
    description = _description()
    schema = {**description["answers"][answer], "schemas": description["schemas"]}
    checker = Draft202012Validator.FORMAT_CHECKER
    errors = [*Draft202012Validator(schema, format_checker=checker).iter_errors(body)]
    assert errors == [], [error.message for error in errors]
