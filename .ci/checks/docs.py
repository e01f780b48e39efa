"""Documents that must agree with the code, and with one another."""

import re
from pathlib import Path

from checks import repo
from checks.repo import Finding

CODES = Path("crates/model/src/error.rs")
ERROR_PAGES = Path("docs/errors")
DECISIONS = Path("docs/adr")
INDEX = "README.md"

CODE = re.compile(r'^\s*\w+ = "(\w+)" => (\w+),$', re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)

# What each kind of error answers over the native API.
STATUS = {
    "InvalidArgument": 400,
    "Unauthenticated": 401,
    "PermissionDenied": 403,
    "NotFound": 404,
    "Conflict": 409,
    "FailedPrecondition": 409,
    "Gone": 410,
    "TooLarge": 413,
    "QuotaExceeded": 429,
    "RateLimited": 429,
    "Unsupported": 501,
    "Timeout": 504,
    "Unavailable": 503,
    "Internal": 500,
}
# Codes for which HTTP has a more exact status than their kind's.
STATUS_OF_CODE = {
    "method_not_allowed": 405,
    "unsupported_media_type": 415,
    "range_not_satisfiable": 416,
    "preview_unavailable": 502,
}


def check(root: Path) -> list[Finding]:
    findings = check_error_pages(root) + check_decisions(root) + check_test_command(root)
    for path in repo.files(root):
        if path.suffix == ".md":
            findings += check_links(root, path)
    return findings


def check_error_pages(root: Path) -> list[Finding]:
    """Every code has a page that names its kind and status; every page has a code and is listed."""
    codes = dict(CODE.findall((root / CODES).read_text(encoding="utf-8")))
    pages = {page.stem for page in (root / ERROR_PAGES).glob("*.md")} - {Path(INDEX).stem}
    findings = []
    if not codes:
        findings.append(Finding(str(CODES), "no error code found"))
    for code in sorted(codes.keys() - pages):
        findings.append(Finding(str(ERROR_PAGES), f"lacks {code}.md"))
    for page in sorted(pages - codes.keys()):
        findings.append(Finding(f"{ERROR_PAGES}/{page}.md", "is about no error code"))
    index = (root / ERROR_PAGES / INDEX).read_text(encoding="utf-8")
    for code in sorted(codes.keys() & pages):
        page = ERROR_PAGES / f"{code}.md"
        lines = (root / page).read_text(encoding="utf-8").splitlines()
        status = STATUS_OF_CODE.get(code, STATUS[codes[code]])
        head = [f"# `{code}`", "", f"Status {status}, kind {codes[code]}."]
        if lines[:3] != head:
            findings.append(Finding(str(page), f"must begin with {head}"))
        if f"({code}.md)" not in index:
            findings.append(Finding(f"{ERROR_PAGES}/{INDEX}", f"does not list {code}"))
    return findings


def check_decisions(root: Path) -> list[Finding]:
    """Decisions are numbered without gaps, each with its reason and what was rejected."""
    findings = []
    pages = sorted((root / DECISIONS).glob("[0-9]*.md"))
    for number, page in enumerate(pages, 1):
        where = f"{DECISIONS}/{page.name}"
        if not page.name.startswith(f"{number:04}-"):
            findings.append(Finding(where, f"is decision {number:04} by its place"))
        content = page.read_text(encoding="utf-8")
        for heading in ("## Decision", "## Reason", "## Rejected"):
            if f"\n{heading}\n" not in content:
                findings.append(Finding(where, f"lacks the section {heading!r}"))
    return findings


def check_test_command(root: Path) -> list[Finding]:
    """CI runs the command that the README tells people to run."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```sh\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    if len(commands) < 2 or "\n" in commands[0].strip() or "\n" in commands[1].strip():
        return [Finding("README.md", "must open with two blocks of one command each")]
    if f"exec {commands[1].strip()} " not in (root / ".ci/run").read_text(encoding="utf-8"):
        return [Finding(".ci/run", f"does not run the README's {commands[1].strip()!r}")]
    return []


def check_links(root: Path, page: Path) -> list[Finding]:
    """Links to files of the repository lead somewhere."""
    content = FENCED.sub("", (root / page).read_text(encoding="utf-8"))
    findings = []
    for target in LINK.findall(content):
        if "://" in target or target.startswith(("#", "mailto:")):
            continue
        if not (root / page.parent / target.split("#")[0]).exists():
            findings.append(Finding(str(page), f"links to {target}, which does not exist"))
    return findings
