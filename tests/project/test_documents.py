"""The generated documents in `docs/` agree with the settings, tables and catalogue."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import comparing_document
import make_documents
import store_document
from dashboard_scraper.model.metrics import METRICS
from dashboard_scraper.sources.registry import SOURCES, info_of
from in_process import as_program
from make_documents import DOCS, DOCUMENTS
from mapping_document import document


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_document_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == DOCUMENTS[name](), "run `make docs`"


@pytest.mark.slow
def test_make_docs_writes_every_document(tmp_path: Path) -> None:
    as_program(make_documents.__file__, f"{tmp_path}")
    made = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert made == {name: document() for name, document in DOCUMENTS.items()}


@pytest.mark.slow
def test_page_without_table_marker_is_refused(tmp_path: Path) -> None:
    """It is not written without the table; the tool runs in a copy of the tree with such a page."""
    shutil.copytree(Path(make_documents.__file__).parent, tmp_path / "tools")
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "configuration.md"
    page.write_text("# Configuration\n")
    command = [sys.executable, str(tmp_path / "tools" / "make_documents.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "lacks the comments around the table" in done.stderr
    assert [path.name for path in page.parent.iterdir()] == [page.name]
    assert page.read_text() == "# Configuration\n"


def test_comparing_lists_each_field_of_each_source() -> None:
    text = comparing_document.document()
    for name in SOURCES:
        info = info_of(name)
        fields = [f"| {info.title} | `{each.field}` |" for each in info.meanings.values()]
        assert [field for field in fields if field not in text.replace("| - |", "| `` |")] == []
        assert f"| {info.title} | {info.active_rule} |" in text


def test_store_documents_explain_every_metric() -> None:
    text = store_document.document()
    assert [m.name for m in METRICS if f"| `{m.name}` |" not in text] == []
    assert "None" not in text


def test_the_document_has_the_briefs_rows() -> None:
    rows = [
        "| Completions | `totalCompletionsInTimePeriod` |"
        " `code_completion.code_generation_activity_count` |",
        "| Accepted Completions | `acceptedCompletionsInTimePeriod` |"
        " `code_completion.code_acceptance_activity_count` |",
        "| Chat Messages | `totalChatMessagesInTimePeriod` |"
        " `chat_panel.user_initiated_interaction_count` |",
        "| Agent Messages | `totalAgentChatMessagesInTimePeriod` |"
        " `agent_edit.user_initiated_interaction_count` |",
        "| Completion Lines of Code | `completionLinesOfCode` |"
        " `code_completion.loc_suggested_to_add_sum`, `code_completion.loc_added_sum` |",
        "| CLI Agent Lines of Code | `cliAgentLinesOfCode` | `agent_edit.loc_added_sum` |",
        "| Total Modified Lines of Code | `totalModifiedLinesOfCode` | `loc_added_sum` |",
        "| Tool Uses | `totalToolUsesInTimePeriod` |  |",
    ]
    text = document()
    assert [row for row in rows if f"\n{row}" not in text] == []
