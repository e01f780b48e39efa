#!/usr/bin/env python3
"""Makes `src/pinfold/_sync` from `src/pinfold/_async`, so that the two clients cannot diverge.

`--check` says which files are not what they should be, and fails if one is not. Files that begin
with an underscore are written by hand on both sides.
"""

import re
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src" / "pinfold" / "_async"
TARGET = SOURCE.parent / "_sync"
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
    (r"\baiter_raw\b", "iter_raw"),
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
    wrong = []
    for source in sorted(SOURCE.glob("[a-z]*.py")):
        target, text = TARGET / source.name, made(source.read_text())
        if not target.exists() or target.read_text() != text:
            wrong.append(source.name)
            if not arguments:
                target.write_text(text)
    extra = {each.name for each in TARGET.glob("[a-z]*.py")} - {
        each.name for each in SOURCE.glob("[a-z]*.py")
    }
    for name in wrong:
        print(f"_sync/{name} {'differs from' if arguments else 'made from'} _async/{name}")
    for name in sorted(extra):
        print(f"_sync/{name} comes from nothing")
    return 1 if arguments and (wrong or extra) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
