"""Write docs/failure-modes.md from the tests' names and docstrings; with --check only say whether it is outdated."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/failure-modes.md"
MODES = 27
_NAME = re.compile(r"test_mode_(\d\d)_(\w+)")
_HEAD = """\
# Failure modes

What can go wrong, and what then happens to the work, the processes and the money. Each is a test of the real
program with real processes and a real journal; this page is written from their names and docstrings.
`make test` runs them, `make campaign` the long ones too.
"""


def modes() -> Iterator[tuple[int, str, str, str, bool]]:
    """Number, name, docstring, file and whether it takes long, of each test."""
    for path in sorted((ROOT / "tests/campaign").glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not (found := _NAME.match(node.name)):
                continue
            long = any(ast.unparse(mark) == "pytest.mark.campaign" for mark in node.decorator_list)
            yield int(found[1]), found[2], ast.get_docstring(node) or "", path.name, long


def page() -> str:
    """The page as it should be."""
    told = sorted(modes(), key=lambda mode: mode[0])
    missing = set(range(1, MODES + 1)) - {number for number, *_ in told}
    if missing:
        raise SystemExit(f"No test for failure mode {', '.join(map(str, sorted(missing)))}.")
    parts = [_HEAD]
    for number, name, docstring, file, long in told:
        summary, _, rest = docstring.partition("\n\n")
        facts = dict(re.findall(r"^(Work|Processes|Money): (.*)$", rest, re.MULTILINE))
        if set(facts) != {"Work", "Processes", "Money"}:
            raise SystemExit(f"test_mode_{number:02}_{name} does not say what happens to work, processes and money.")
        parts.append(f"## {number}. {name.replace('_', ' ').capitalize()}\n\n{' '.join(summary.split())}\n")
        parts.append("\n".join(f"- **{key}:** {text}" for key, text in facts.items()) + "\n")
        parts.append(f"`tests/campaign/{file}`{', with `make campaign`' if long else ''}\n")
    return "\n".join(parts)


def main() -> int:
    """Write the page, or compare it."""
    text = page()
    if "--check" in sys.argv[1:]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
            return 0
        print(f"{PAGE.relative_to(ROOT)} is outdated: run make docs.", file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
