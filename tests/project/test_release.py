"""What makes `make release` refuse, and what it copies from the changelog."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import release

CHANGELOG = "# Changelog\n\n## 1.2.0 (2025-12-31)\n\n- New.\n\n## 1.1.0 (2025-11-30)\n\n- Old.\n"


def git(folder: Path, *words: str) -> None:
    name = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository of version 1.2.0, with everything committed."""
    version = tmp_path / release.VERSION_FILE
    version.parent.mkdir(parents=True)
    version.write_text('__version__ = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / ".gitignore").write_text("*.log\n")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "Release 1.2.0")
    return tmp_path


def refusal(tree: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The reason why there is no release; then nothing is written."""
    assert release.main([*words, "--into", str(tree / "dist")], tree) == 1
    assert not (tree / "dist").exists()
    return capsys.readouterr().err


def test_release_refuses_uncommitted_changes(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "CHANGELOG.md").write_text(CHANGELOG + "- More.\n")
    assert "commit or remove 1 changed files first: CHANGELOG.md" in refusal(tree, capsys)


def test_release_refuses_files_git_does_not_know(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "stray.py").touch()
    assert "changed files first: stray.py" in refusal(tree, capsys)


@pytest.mark.parametrize("words", [(), ("--draft",)])
def test_release_refuses_unmentioned_version(
    tree: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    (tree / "CHANGELOG.md").write_text(CHANGELOG.replace("1.2.0", "1.2.0.1"))
    git(tree, "commit", "-am", "Another version")
    assert "CHANGELOG.md says nothing about 1.2.0" in refusal(tree, capsys, *words)


def test_release_refuses_undated_changelog(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "CHANGELOG.md").write_text(CHANGELOG.replace("2025-12-31", "unreleased"))
    git(tree, "commit", "-am", "Not yet")
    assert "## 1.2.0 (2025-12-31)" in refusal(tree, capsys)


def test_release_refuses_tag_of_other_version(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(tree, "tag", "v1.3.0")
    assert "tagged v1.3.0" in refusal(tree, capsys)


def test_release_accepts_committed_dated_version(tree: Path) -> None:
    git(tree, "tag", "v1.2.0")
    (tree / "run.log").touch()
    release.refuse_changes(tree)
    release.refuse_other_tags(tree, release.version_of(tree))
    assert release.notes(tree, "1.2.0", draft=False) == "- New.\n"


def test_release_notes_of_drafts_need_no_date(tree: Path) -> None:
    (tree / "CHANGELOG.md").write_text(CHANGELOG.replace("2025-12-31", "unreleased"))
    assert release.notes(tree, "1.2.0", draft=True) == "- New.\n"


@pytest.mark.parametrize("second", [{"a.whl": "2"}, {}, {"a.whl": "1", "b": "1"}])
def test_release_refuses_builds_that_differ(second: dict[str, str]) -> None:
    with pytest.raises(release.Refused, match=r"differ in (a\.whl|b)$"):
        release.refuse_differences({"a.whl": "1"}, second)


def test_release_copies_what_git_would_commit(
    tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (tree / "run.log").touch()
    (tree / "new.py").touch()
    copy = release.copied_tree(tree, tmp_path_factory.mktemp("copy"), 1_600_000_000)
    names = {path.name for path in copy.rglob("*") if path.is_file()}
    assert names == {"__init__.py", "CHANGELOG.md", ".gitignore", "new.py"}
