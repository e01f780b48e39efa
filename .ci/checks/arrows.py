"""Which crate uses which, from `cargo metadata` against `.ci/arrows.toml`."""

import json
import subprocess
import tomllib
from pathlib import Path

from checks.repo import Finding

TABLE = Path(".ci/arrows.toml")
DOCUMENT = Path("ARCHITECTURE.md")
BEGIN = "<!-- arrows: from .ci/arrows.toml; renew with `python3 .ci/check.py --write` -->"
END = "<!-- /arrows -->"


def metadata(root: Path) -> dict:
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked"]
    return json.loads(subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE).stdout)


def short(package: str) -> str:
    """`pinfold-model` is the crate `model`; the binary keeps its name."""
    return package.removeprefix("pinfold-")


def table(root: Path) -> dict:
    return tomllib.loads((root / TABLE).read_text(encoding="utf-8"))


def check(meta: dict, allowed: dict) -> list[Finding]:
    rules = {rule["name"]: set(rule["uses"]) for rule in allowed["crate"]}
    walls = {name: set(users) for name, users in allowed["only"].items()}
    packages = {short(package["name"]): package for package in meta["packages"]}
    findings = order(allowed)
    for name in sorted(packages.keys() ^ rules.keys()):
        here, there = ("the workspace", TABLE) if name in packages else (TABLE, "the workspace")
        findings.append(Finding(name, f"is in {here} but not in {there}"))
    for name in sorted(packages.keys() & rules.keys()):
        findings += check_crate(name, packages[name], rules[name], walls)
    return findings


def order(allowed: dict) -> list[Finding]:
    """Each crate names only crates before it, so that no cycle can be written down."""
    findings, seen = [], set()
    for rule in allowed["crate"]:
        for used in rule["uses"]:
            if used not in seen:
                findings.append(Finding(str(TABLE), f"{rule['name']} -> {used} does not point down"))
        seen.add(rule["name"])
    return findings


def check_crate(name: str, package: dict, rules: set, walls: dict) -> list[Finding]:
    findings = []
    for dependency in package["dependencies"]:
        if dependency["kind"] == "dev":
            continue
        used = short(dependency["name"])
        if dependency["source"] is None and dependency.get("path"):
            # A build script runs programs of the workspace through cargo, never by linking them.
            if dependency["kind"] == "build" or used not in rules:
                findings.append(Finding(name, f"the arrow {name} -> {used} is not in {TABLE}"))
        elif name not in walls.get(dependency["name"], {name}):
            findings.append(Finding(name, f"must not use {dependency['name']} ({TABLE}, only)"))
    return findings


def rendered(allowed: dict) -> str:
    """The table as ARCHITECTURE.md shows it."""
    rows = ["| crate | owns | may use |", "|---|---|---|"]
    for rule in allowed["crate"]:
        uses = ", ".join(f"`{used}`" for used in rule["uses"]) or "nothing"
        rows.append(f"| `{rule['name']}` | {rule['owns']} | {uses} |")
    rows += ["", "| from outside | only in |", "|---|---|"]
    for name, users in allowed["only"].items():
        rows.append(f"| `{name}` | {', '.join(f'`{user}`' for user in users)} |")
    return "\n".join([BEGIN, "", *rows, "", END])


def split(document: str) -> tuple[str, str, str] | None:
    """The text before the table, the table with its marks, and the text after."""
    start, end = document.find(BEGIN), document.find(END)
    if start < 0 or end < start:
        return None
    end += len(END)
    return document[:start], document[start:end], document[end:]


def check_document(root: Path, allowed: dict) -> list[Finding]:
    parts = split((root / DOCUMENT).read_text(encoding="utf-8"))
    if parts is None:
        return [Finding(str(DOCUMENT), f"lacks the marks {BEGIN} and {END}")]
    if parts[1] != rendered(allowed):
        return [Finding(str(DOCUMENT), f"its table is not {TABLE}: python3 .ci/check.py --write")]
    return []


def write_document(root: Path, allowed: dict) -> None:
    path = root / DOCUMENT
    parts = split(path.read_text(encoding="utf-8"))
    if parts is None:
        raise SystemExit(f"{DOCUMENT} lacks the marks {BEGIN} and {END}")
    path.write_text(parts[0] + rendered(allowed) + parts[2], encoding="utf-8")
