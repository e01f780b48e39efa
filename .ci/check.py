#!/usr/bin/env python3
"""Checks of the repository's own rules. Prints each finding; fails if one is an error.

`--write` renews the table of ARCHITECTURE.md from `.ci/arrows.toml` before checking.
"""

import sys
from pathlib import Path

from checks import arrows, docs, sources


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--write"]):
        print(__doc__, file=sys.stderr)
        return 2
    root = Path(__file__).resolve().parent.parent
    allowed = arrows.table(root)
    if arguments:
        arrows.write_document(root, allowed)
    findings = [
        *arrows.check(arrows.metadata(root), allowed),
        *arrows.check_document(root, allowed),
        *sources.check(root),
        *docs.check(root),
    ]
    for finding in findings:
        print(finding)
    errors = sum(not finding.warning for finding in findings)
    print(f"repository rules: {errors} errors, {len(findings) - errors} warnings")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
