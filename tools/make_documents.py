"""Write the generated documents into docs/: `python tools/make_documents.py [ANOTHER_FOLDER]`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import comparing_document
import costs_document
import exports_document
import mapping_document
import serving_document
import settings_document
import store_document

DOCS = Path(__file__).parents[1] / "docs"
DOCUMENTS: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "CSV_TO_JSON_MAPPING.md": mapping_document.document,
        "STORE.md": store_document.document,
        "comparing.md": comparing_document.document,
        "configuration.md": settings_document.document,
        "costs.md": costs_document.document,
        "exports.md": exports_document.document,
        "serving.md": serving_document.document,
    }
)


def main(folder: Path) -> None:
    """Make all documents before the first is written, as one reads the file that it replaces."""
    made = {name: document() for name, document in DOCUMENTS.items()}
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS)
