"""Build what a release consists of: wheel, source archive, SBOM, locks, notes, and their SHA-256.

    python tools/release.py [--draft] [--into dist]

Needs a tree without changes, a dated section of the version in CHANGELOG.md, and no tag of another
version. All is built twice, in other folders, umasks, time zones and at other times: what is not
the same byte for byte both times is not written. `--draft` takes the tree as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION_FILE = Path("src/dashboard_scraper/__init__.py")
LOCKS = ("requirements.txt", "requirements-extras.txt")
SBOM, SUMS = "sbom.cdx.json", "SHA256SUMS"
_DATED = re.compile(r"\(\d{4}-\d{2}-\d{2}\)")


class Refused(Exception):
    """Something must be done before there can be a release; the message says what."""


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


def version_of(root: Path) -> str:
    """The version, from the only place that has it."""
    text = (root / VERSION_FILE).read_text(encoding="utf-8")
    (version,) = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return str(version)


def refuse_changes(root: Path) -> None:
    changed = git(root, "status", "--porcelain").splitlines()
    if changed:
        raise Refused(f"commit or remove {len(changed)} changed files first: {changed[0][3:]} …")


def refuse_other_tags(root: Path, version: str) -> None:
    tags = [tag for tag in git(root, "tag", "--points-at", "HEAD").split() if tag.startswith("v")]
    if tags and tags != [f"v{version}"]:
        raise Refused(f"the commit is tagged {' '.join(tags)}, and {VERSION_FILE} says {version}")


def notes(root: Path, version: str, draft: bool) -> str:
    """The section of the version in the changelog, without its heading."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.findall(
        rf"^## {re.escape(version)}( [^\n]*)?\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    if not found or not found[0][1].strip():
        raise Refused(f"CHANGELOG.md says nothing about {version}")
    heading, section = found[0]
    if not draft and not _DATED.fullmatch(heading.strip()):
        raise Refused(f"write the day into CHANGELOG.md: ## {version} (2025-12-31)")
    return str(section).strip() + "\n"


def copied_tree(root: Path, folder: Path, moment: int) -> Path:
    """Copy the files of the repository, without ignored ones, each as if written at this moment."""
    listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, folder / name)
            os.utime(folder / name, (moment, moment))
    return folder


def run(command: list[str], folder: Path, umask: int = 0o022, **environment: str) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        umask=umask,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        raise Refused(f"{' '.join(command[1:4])} failed with exit code {done.returncode}")


def sums(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != SUMS
    }


def build_twice(root: Path, scratch: Path, epoch: int) -> Path:
    """The folder of both packages. The wheel is made from the archive, and again from the tree."""
    moment = str(epoch)
    one = copied_tree(root, scratch / "one", 1_600_000_000)
    run([sys.executable, "-m", "build", "--no-isolation"], one, SOURCE_DATE_EPOCH=moment, TZ="UTC")
    other = copied_tree(root, scratch / "another" / "deeper", 1_700_000_000)
    direct = [sys.executable, "-m", "hatchling", "build"]
    run(direct, other, 0o077, SOURCE_DATE_EPOCH=moment, TZ="Asia/Tokyo", PYTHONHASHSEED="7")
    refuse_differences(sums(one / "dist"), sums(other / "dist"))
    return one / "dist"


def refuse_differences(first: Mapping[str, str], second: Mapping[str, str]) -> None:
    names = first.keys() | second.keys()
    differing = sorted(name for name in names if first.get(name) != second.get(name))
    if differing:
        raise Refused(f"not reproducible: two builds differ in {', '.join(differing)}")


def release(root: Path, into: Path, draft: bool) -> None:
    version = version_of(root)
    if not draft:
        refuse_changes(root)
    refuse_other_tags(root, version)
    section = notes(root, version, draft)
    epoch = int(git(root, "log", "-1", "--format=%ct"))
    with tempfile.TemporaryDirectory() as scratch:
        dist = build_twice(root, Path(scratch), epoch)
        packages = sorted(map(str, dist.iterdir()))
        run([sys.executable, "-m", "twine", "check", "--strict", *packages], dist)
        write_bill_of_materials(root, dist, version, epoch)
        for lock in LOCKS:
            shutil.copyfile(root / lock, dist / lock)
        (dist / "NOTES.md").write_text(section, encoding="utf-8", newline="\n")
        lines = [f"{digest}  {name}\n" for name, digest in sums(dist).items()]
        (dist / SUMS).write_text("".join(lines), encoding="utf-8", newline="\n")
        shutil.rmtree(into, ignore_errors=True)
        shutil.copytree(dist, into)
    print("".join(lines), end="")
    print(f"{version}: reproducible, SOURCE_DATE_EPOCH={epoch}, in {into}{' (draft)' * draft}")


def write_bill_of_materials(root: Path, dist: Path, version: str, epoch: int) -> None:
    # Only .venv-release has its library.
    from bill_of_materials import bill_of_materials  # noqa: PLC0415

    (wheel,) = dist.glob("*.whl")
    made = bill_of_materials(root, wheel, version, epoch)
    (dist / SBOM).write_text(made, encoding="utf-8", newline="\n")


def main(words: list[str], root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draft", action="store_true", help="take the tree as it is")
    parser.add_argument("--into", type=Path, default=root / "dist")
    options = parser.parse_args(words)
    try:
        release(root, options.into, options.draft)
    except Refused as refusal:
        print(f"no release: {refusal}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
