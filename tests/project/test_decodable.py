"""Structs that are decoded by their name are prepared before a thread decodes one.

If two threads decode the first ones at once, the process crashes: see `decoding.decodable`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modules import SOURCE

# In a separate process, since other tests have decoded most of them in this one.
NOT_READY = """
import ast, gc, importlib, pathlib, sys
import msgspec

def decoded_by_name(tree):
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        function = ast.unparse(call.func)
        if function == "msgspec.json.decode":
            kinds = [keyword.value for keyword in call.keywords if keyword.arg == "type"]
        elif function in ("msgspec.convert", "decode_field", "required_field", "_decoded"):
            kinds = call.args[-1:]
        elif function == "RecordReader":
            kinds = call.args[:1]
        else:
            continue
        for kind in kinds:
            yield from (node.id for node in ast.walk(kind) if isinstance(node, ast.Name))

def is_ready(struct):
    return any(type(each).__name__ == "StructInfo" for each in gc.get_referents(struct))

source, count = pathlib.Path(sys.argv[1]), 0
for path in sorted(source.rglob("*.py")):
    if names := {*decoded_by_name(ast.parse(path.read_text(encoding="utf-8")))}:
        parts = path.relative_to(source.parent).with_suffix("").parts
        module = importlib.import_module(".".join(parts))
        for name in sorted(names):
            struct = getattr(module, name, None)
            if isinstance(struct, msgspec.StructMeta):
                count += 1
                if not is_ready(struct):
                    print(module.__name__, name)
print(count)
"""


def not_ready(source: Path) -> list[str]:
    """The structs that are not ready, then the number of all structs that are decoded by name."""
    done = subprocess.run(
        [sys.executable, "-c", NOT_READY, source], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.slow
def test_structs_that_are_decoded_by_name_are_ready_when_imported() -> None:
    *found, count = not_ready(SOURCE)
    assert found == []
    assert int(count) > 25
