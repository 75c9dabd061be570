"""Takes the answers of `serve` from GitHub's OpenAPI description, as JSON Schemas for the tests.

    python tools/github_description.py node_modules/@octokit/openapi/generated/ghec.json

The description is OpenAPI 3.0, which is JSON Schema except for `nullable`. Texts are left out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_OF = ("/enterprises/{enterprise}", "/orgs/{org}")
_REPORTS = "copilot/metrics/reports"
PATHS = [
    "/orgs/{org}",
    "/orgs/{org}/copilot/billing",
    "/orgs/{org}/members",
    "/orgs/{org}/teams",
    "/orgs/{org}/teams/{team_slug}",
    "/orgs/{org}/teams/{team_slug}/members",
    "/enterprises/{enterprise}/teams",
    "/enterprises/{enterprise}/teams/{enterprise-team}/memberships",
    "/enterprises/{enterprise}/teams/{team_slug}",
    "/rate_limit",
    "/user",
    "/user/orgs",
    "/users/{username}",
    *(f"{of}/copilot/billing/seats" for of in _OF),
    *(f"{of}/members/{{username}}/copilot" for of in _OF),
    *(f"{of}/{_REPORTS}/{name}" for of in _OF for name in ("users-1-day", "user-teams-1-day")),
    *(f"{of}/{_REPORTS}/users-28-day/latest" for of in _OF),
    f"{_OF[0]}/{_REPORTS}/enterprise-1-day",
    f"{_OF[0]}/{_REPORTS}/enterprise-28-day/latest",
    f"{_OF[1]}/{_REPORTS}/organization-1-day",
    f"{_OF[1]}/{_REPORTS}/organization-28-day/latest",
]
"""Every path of GitHub's that is answered, as the description spells it."""
_ERROR = "basic-error"
_TEXTS = {"description", "title", "example", "examples", "externalDocs", "deprecated"}
_MAPS = {"properties", "patternProperties"}
_REFERENCE = "#/components/schemas/"


def excerpt(description: Json) -> Json:
    """The schemas of each path's answer and of errors, with everything to which they refer."""
    known = description["components"]["schemas"]
    answers = {path: _schema(_answer(description, path)) for path in sorted(PATHS)}
    answers["error"] = _schema({"$ref": f"{_REFERENCE}{_ERROR}"})
    needed: Json = {}
    waiting = _references(answers)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = _schema(known[name])
            waiting |= _references(needed[name])
    return {
        "source": f"@octokit/openapi {description['info']['version']}",
        "answers": answers,
        "schemas": dict(sorted(needed.items())),
    }


def _answer(description: Json, path: str) -> Json:
    found: Json = description["paths"][path]["get"]["responses"]["200"]
    schema: Json = found["content"]["application/json"]["schema"]
    return schema


def _schema(of: Any) -> Any:
    """An OpenAPI schema as a JSON Schema."""
    if isinstance(of, list):
        return [_schema(each) for each in of]
    if not isinstance(of, dict):
        return of
    found = {}
    for key, value in of.items():
        if key in _MAPS:
            found[key] = {name: _schema(each) for name, each in value.items()}
        elif key == "$ref":
            found[key] = value.replace(_REFERENCE, "#/schemas/")
        elif (
            key not in _TEXTS
            and not key.startswith("x-")
            and key not in ("nullable", "discriminator")
        ):
            found[key] = _schema(value)
    return {"anyOf": [found, {"type": "null"}]} if of.get("nullable") else found


def _references(within: Any) -> set[str]:
    if isinstance(within, list):
        return set().union(*map(_references, within))
    if not isinstance(within, dict):
        return set()
    own = {within["$ref"].rpartition("/")[2]} if isinstance(within.get("$ref"), str) else set()
    return own.union(*map(_references, within.values()))


def main() -> None:
    """Print the excerpt of the description in a file."""
    made = excerpt(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    print(json.dumps(made, indent=1))


if __name__ == "__main__":
    main()
