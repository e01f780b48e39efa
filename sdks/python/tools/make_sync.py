#!/usr/bin/env python3
"""Makes each `_sync` from the `_async` beside it, so that sync and async clients cannot diverge.

`--check` says which files are not what they should be, and fails if one is not. Files that begin
with an underscore are written by hand on both sides.
"""

import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "pinfold"
PARENTS = [PACKAGE, PACKAGE / "upstream"]
NOTICE = "# Made from `_async` by `tools/make_sync.py`: change it there.\n"

# In this order.
RULES = [
    (r"\basync (def|with|for)\b", r"\1"),
    (r"`async with`", "`with`"),
    (r"`await` it, or ", ""),
    (r"\bawait ", ""),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\bAsync([A-Z]\w*)", r"\1"),
    (r"\b_async\b", "_sync"),
    (r"\ban (Sandbox|Command|Client|Http|Pty)\b", r"a \1"),
    (r"\banext\b", "next"),
    (r"__a(enter|exit|iter|next)__", r"__\1__"),
    (r"\baclose\b", "close"),
    (r"\baiter_(raw|bytes)\b", r"iter_\1"),
]


def made(text: str) -> str:
    """The sync form of a module."""
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text)
    return NOTICE + text


def main(arguments: list[str]) -> int:
    """Writes or checks every module."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    wrong = [line for parent in PARENTS for line in renewed(parent, write=not arguments)]
    print("".join(f"{line}\n" for line in wrong), end="")
    return 1 if arguments and wrong else 0


def renewed(parent: Path, write: bool) -> list[str]:
    """What is not as it should be in one `_sync`, after writing what can be written."""
    source, target = parent / "_async", parent / "_sync"
    names = {each.name for each in source.glob("[a-z]*.py")}
    said = []
    for name in sorted(names):
        text, old = made((source / name).read_text()), target / name
        if not old.exists() or old.read_text() != text:
            said.append(f"{old} {'made' if write else 'differs'} from {source / name}")
            if write:
                old.write_text(text)
    extra = {each.name for each in target.glob("[a-z]*.py")} - names
    return said + [f"{target / name} comes from nothing" for name in sorted(extra)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
