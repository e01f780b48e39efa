"""The checks find what they are for: each rule is broken once on purpose."""

import tempfile
import unittest
from pathlib import Path

from checks import arrows, docs, sources


def dependency(name: str, kind: str | None = None, inside: bool = True) -> dict:
    return {
        "name": name,
        "kind": kind,
        "source": None if inside else "registry",
        "path": f"crates/{name}" if inside else None,
    }


def package(name: str, *dependencies: dict) -> dict:
    return {"name": name, "dependencies": list(dependencies)}


ALLOWED = {
    "crate": [
        {"name": "model", "uses": [], "owns": "types"},
        {"name": "store", "uses": ["model"], "owns": "rows"},
    ],
    "only": {"sqlx": ["store"]},
}


class Arrows(unittest.TestCase):
    def findings(self, *packages: dict) -> list[str]:
        return [finding.what for finding in arrows.check({"packages": list(packages)}, ALLOWED)]

    def test_allowed_arrows_pass(self):
        sqlx = dependency("sqlx", inside=False)
        store = package("pinfold-store", dependency("pinfold-model"), sqlx)
        self.assertEqual(self.findings(package("pinfold-model"), store), [])

    def test_an_upward_arrow_is_found_unless_only_tests_use_it(self):
        store = package("pinfold-store")
        up = package("pinfold-model", dependency("pinfold-store"))
        self.assertEqual(len(self.findings(up, store)), 1)
        tests_up = package("pinfold-model", dependency("pinfold-store", "dev"))
        self.assertEqual(self.findings(tests_up, store), [])

    def test_a_build_script_links_no_crate_of_the_workspace(self):
        store = package("pinfold-store", dependency("pinfold-model", "build"))
        self.assertEqual(len(self.findings(package("pinfold-model"), store)), 1)

    def test_walls_hold_crates_from_outside(self):
        model = package("pinfold-model", dependency("sqlx", inside=False))
        self.assertEqual(len(self.findings(model, package("pinfold-store"))), 1)

    def test_unknown_and_missing_crates_are_found(self):
        self.assertEqual(len(self.findings(package("pinfold-model"), package("pinfold-new"))), 2)

    def test_a_table_with_a_cycle_is_refused(self):
        crates = [{"name": "a", "uses": ["b"]}, {"name": "b", "uses": ["a"]}]
        self.assertEqual(len(arrows.order({"crate": crates})), 1)

    def test_the_table_in_the_document_is_found_again(self):
        text = f"before\n{arrows.rendered(ALLOWED)}\nafter"
        self.assertEqual(arrows.split(text), ("before\n", arrows.rendered(ALLOWED), "\nafter"))
        self.assertIsNone(arrows.split("no table"))


class Sources(unittest.TestCase):
    def rust(self, content: str, path: str = "crates/x/src/a.rs") -> list[str]:
        return [finding.what for finding in sources.check_rust(Path(path), content)]

    def test_clean_files_pass(self):
        self.assertEqual(self.rust("//! Owns a.\n// an unsafe { remark }\nfn a() {}\n"), [])

    def test_every_file_opens_with_its_purpose(self):
        self.assertEqual(len(self.rust("fn a() {}\n")), 1)

    def test_unsafe_code_stays_in_sys(self):
        for line in ("unsafe { x() }", "#[allow(unsafe_code)]", "unsafe impl Send for X {}"):
            self.assertEqual(len(self.rust(f"//! A.\n{line}\n")), 1, line)
            self.assertEqual(self.rust(f"//! A.\n{line}\n", "crates/sys/src/a.rs"), [], line)

    def test_tests_that_prove_nothing_are_found(self):
        for line in ("#[ignore]", '#[ignore = "slow"]', "#[should_panic]"):
            self.assertEqual(len(self.rust(f"//! A.\n{line}\n")), 1, line)
        self.assertEqual(self.rust('//! A.\n#[should_panic(expected = "x")]\n'), [])

    def test_long_files_are_warned_about_without_their_tests(self):
        body = "//! A.\n" + "x\n" * sources.LONG_FILE_LINES
        self.assertEqual(len(self.rust(body)), 1)
        short = "//! A.\n#[cfg(test)]\nmod tests {\n" + "x\n" * sources.LONG_FILE_LINES
        self.assertEqual(self.rust(short), [])

    def test_registry_hosts_and_machine_paths_are_found(self):
        for line in ("from https://pypi.org/simple", "see /build/here/x"):
            self.assertEqual(len(sources.check_text(Path("a.md"), line, ["/build/here/"])), 1, line)

    def test_a_crate_outside_the_lints_is_found(self):
        path = Path("crates/x/Cargo.toml")
        self.assertEqual(len(sources.check_manifest(path, "[package]\n")), 1)
        self.assertEqual(sources.check_manifest(path, "[lints]\nworkspace = true\n"), [])


class Docs(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        self.write(str(docs.CODES), '    NotHere = "not_here" => NotFound,\n')
        self.write("docs/errors/README.md", "[not_here](not_here.md)\n")
        self.write("docs/errors/not_here.md", "# `not_here`\n\nStatus 404, kind NotFound.\n")

    def write(self, path: str, content: str):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")

    def test_pages_that_agree_with_the_codes_pass(self):
        self.assertEqual(docs.check_error_pages(self.root), [])

    def test_a_missing_a_superfluous_and_a_wrong_page_are_found(self):
        self.write("docs/errors/other.md", "# `other`\n")
        self.assertEqual(len(docs.check_error_pages(self.root)), 1)
        self.write("docs/errors/not_here.md", "# `not_here`\n\nStatus 400, kind NotFound.\n")
        self.assertEqual(len(docs.check_error_pages(self.root)), 2)
        (self.root / "docs/errors/not_here.md").unlink()
        self.assertEqual(len(docs.check_error_pages(self.root)), 2)

    def test_decisions_have_their_number_and_sections(self):
        self.write("docs/adr/0001-a.md", "# A\n\n## Decision\n\n## Reason\n\n## Rejected\n")
        self.assertEqual(docs.check_decisions(self.root), [])
        self.write("docs/adr/0003-c.md", "# C\n\n## Decision\n\n## Reason\n")
        self.assertEqual(len(docs.check_decisions(self.root)), 2)

    def test_dead_links_are_found(self):
        self.write("a.md", "[ok](docs/errors/README.md#top) [web](https://a.example) [dead](b.md)\n")
        self.assertEqual(len(docs.check_links(self.root, Path("a.md"))), 1)

    def test_ci_runs_the_command_of_the_readme(self):
        self.write("README.md", "```sh\nmain\n```\n\n```sh\nbash test\n```\n")
        self.write(".ci/run", "exec bash test </dev/null\n")
        self.assertEqual(docs.check_test_command(self.root), [])
        self.write(".ci/run", "exec bash other </dev/null\n")
        self.assertEqual(len(docs.check_test_command(self.root)), 1)


if __name__ == "__main__":
    unittest.main()
