"""Rules about single files that neither rustc nor clippy can check."""

import re
import tomllib
from pathlib import Path

from checks import repo
from checks.repo import Finding

# The source length, without inline tests, above which a file wants a wall.
LONG_FILE_LINES = 500
# Files that are long for a reason, with the reason.
LONG_FILES_ACCEPTED: dict[str, str] = {}

CRATE_WITH_UNSAFE = "crates/sys/"

# Addresses of package registries: nobody's build may depend on reaching one by name. The lock file
# is cargo's own and holds one.
REGISTRY_HOSTS = re.compile(
    r"\b(?:(?:index|static)\.crates\.io|(?:files\.)?pythonhosted\.org|pypi\.org"
    r"|registry\.npmjs\.org|deb\.debian\.org|proxy\.golang\.org)\b"
)
FILES_WITH_REGISTRY_HOSTS = {"Cargo.lock", ".ci/checks/sources.py", ".ci/checks/test_checks.py"}

UNSAFE = re.compile(r"\bunsafe\s*(?:\{|\(|fn\b|impl\b|extern\b|trait\b)")
ALLOWS_UNSAFE = re.compile(r"\b(?:allow|expect)\s*\([^)]*unsafe_code")
IGNORED_TEST = re.compile(r"#\[\s*ignore\b")
UNEXPECTED_PANIC = re.compile(r"#\[\s*should_panic\s*\]")
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX)\b|\b(?:todo|unimplemented)!")
LINE_COMMENT = re.compile(r"//.*")


def check(root: Path) -> list[Finding]:
    findings = []
    for path in repo.files(root):
        content = repo.text(root, path)
        if content is None:
            continue
        findings += check_text(path, content, machine_paths(root))
        if path.suffix == ".rs":
            findings += check_rust(path, content)
        if path.name == "Cargo.toml" and path.parts[0] == "crates":
            findings += check_manifest(path, content)
    return findings


def machine_paths(root: Path) -> list[str]:
    """Paths that mean something on this machine only."""
    root, home = root.resolve(), Path.home()
    beside = f"{root.parent}/shared" if len(root.parts) > 2 else None
    own = [str(root) + "/", f"{home}/.cargo", f"{home}/.rustup", beside]
    return [path for path in own if path]


def check_text(path: Path, content: str, forbidden_paths: list[str]) -> list[Finding]:
    findings = []
    for number, line in enumerate(content.splitlines(), 1):
        where = f"{path}:{number}"
        if str(path) not in FILES_WITH_REGISTRY_HOSTS and REGISTRY_HOSTS.search(line):
            findings.append(Finding(where, "names the host of a package registry"))
        for forbidden in forbidden_paths:
            if forbidden in line:
                findings.append(Finding(where, f"names {forbidden}, a path of this machine"))
    return findings


def check_rust(path: Path, content: str) -> list[Finding]:
    findings = []
    if not content.startswith("//!"):
        findings.append(Finding(f"{path}:1", "does not begin with //! (what it owns, what it must not know)"))
    length = source_lines(content)
    if length > LONG_FILE_LINES and str(path) not in LONG_FILES_ACCEPTED:
        findings.append(Finding(str(path), f"has {length} lines: it wants a wall", warning=True))
    for number, line in enumerate(content.splitlines(), 1):
        findings += [Finding(f"{path}:{number}", what) for what in faults(path, line)]
    return findings


def faults(path: Path, line: str) -> list[str]:
    """What is wrong with one line of Rust."""
    found = []
    code = LINE_COMMENT.sub("", line)
    if not str(path).startswith(CRATE_WITH_UNSAFE) and (UNSAFE.search(code) or ALLOWS_UNSAFE.search(code)):
        found.append(f"unsafe code stands outside {CRATE_WITH_UNSAFE}")
    if IGNORED_TEST.search(code):
        found.append("a test that is skipped proves nothing")
    if UNEXPECTED_PANIC.search(code):
        found.append("should_panic takes any panic for the right one: say which with `expected`")
    if UNFINISHED.search(line):
        found.append("unfinished work belongs in an issue")
    return found


def source_lines(content: str) -> int:
    """Lines before the inline tests."""
    lines = content.splitlines()
    for number, line in enumerate(lines):
        if line == "#[cfg(test)]" and number + 1 < len(lines) and lines[number + 1].startswith("mod "):
            return number
    return len(lines)


def check_manifest(path: Path, content: str) -> list[Finding]:
    """Every crate but `sys`, which states its own, lives under the workspace's lints."""
    if str(path).startswith(CRATE_WITH_UNSAFE):
        return []
    if tomllib.loads(content).get("lints", {}).get("workspace") is True:
        return []
    return [Finding(str(path), "lacks `[lints] workspace = true`")]
