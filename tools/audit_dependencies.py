"""Look up known vulnerabilities of every pinned package; a dated report on standard output.

    python tools/audit_dependencies.py requirements-dev.txt

Exits with 1 if there is a known vulnerability. A package without advisory data, because the index
could not be reached or does not have it, is counted as not audited, which is not the same as clean.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from dashboard_scraper.model.listing import listed

_NAMED_AT_MOST = 10


def audit(lock: Path) -> list[dict[str, Any]] | None:
    """The results of pip-audit for each package; None if it could not look them up at all."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--disable-pip"]
    done = subprocess.run(
        [*command, "--format", "json", "--progress-spinner", "off"],
        capture_output=True,
        check=False,
        timeout=600,
    )
    try:
        found: list[dict[str, Any]] = msgspec.json.decode(done.stdout)["dependencies"]
    except msgspec.DecodeError:
        last_line = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        print(last_line, file=sys.stderr)
        return None
    return found


def report(lock: Path, packages: list[dict[str, Any]] | None) -> bool:
    """Print the report; returns whether it names a vulnerability."""
    print(f"Audit of {lock.name}, {datetime.now(UTC):%Y-%m-%d}, by pip-audit")
    if packages is None:
        print("no package was audited: pip-audit could not reach its advisory data")
        return False
    audited = [package for package in packages if "skip_reason" not in package]
    vulnerable = [package for package in audited if package["vulns"]]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    print(f"{len(audited)} of {len(packages)} packages were audited, {len(vulnerable)} vulnerable")
    if skipped:
        names = listed(skipped, _NAMED_AT_MOST)
        print(f"without advisory data, and so not audited: {names}")
    for package in vulnerable:
        for found in package["vulns"]:
            fixed = ", ".join(found["fix_versions"]) or "no version"
            print(f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}")
    return bool(vulnerable)


if __name__ == "__main__":
    LOCK = Path(sys.argv[1])
    sys.exit(report(LOCK, audit(LOCK)))
