"""The package as people get it: typed, in step with itself, and working in a fresh environment."""

import inspect
import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest
from conftest import PACKAGE
from support.server import Server

import pinfold
from pinfold import AsyncClient, Client

EXAMPLES = sorted((PACKAGE / "examples").glob("*.py"))


def run(*command: object, **options: Any) -> str:
    """Runs a program that has to succeed."""
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, timeout=120, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alone(directory: Path) -> dict[str, str]:
    """An environment in which no server of this machine is found."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PINFOLD_", "PYTHON"))}
    return {
        **kept,
        "PINFOLD_BIN": os.environ["PINFOLD_BIN"],
        "PINFOLD_DATA_DIR": str(directory / "none"),
        "XDG_DATA_HOME": str(directory / "data"),
    }


def test_the_package_is_the_one_of_this_tree() -> None:
    assert pinfold.__file__ is not None
    assert pinfold.__file__.startswith(str(PACKAGE))


def test_the_sync_client_is_made_from_the_async_one() -> None:
    run(sys.executable, PACKAGE / "tools" / "make_sync.py", "--check")


def test_the_package_passes_mypy_strict(tmp_path: Path) -> None:
    run(sys.executable, "-m", "mypy", "--cache-dir", tmp_path, cwd=PACKAGE)
    run(sys.executable, "-m", "mypy", "--cache-dir", tmp_path, "--strict", *EXAMPLES, cwd=PACKAGE)


def surface(kind: type) -> dict[str, str]:
    """Public names and how they are called, without what `async` changes."""
    shown = {}
    for name, member in inspect.getmembers(kind):
        if name.startswith("_"):
            continue
        signature = str(inspect.signature(member)) if callable(member) else ""
        signature = re.sub(r"Async(?=[A-Z])|Opening\[(?=R)|, AsyncIterable\[bytes\]", "", signature)
        shown["close" if name == "aclose" else name] = signature.split(" -> ")[0]
    return shown


def test_both_clients_offer_the_same() -> None:
    pairs = {
        name: name.removeprefix("Async") for name in pinfold.__all__ if name.startswith("Async")
    }
    assert len(pairs) > 12
    for name, sync_name in pairs.items():
        assert surface(getattr(pinfold, name)) == surface(getattr(pinfold, sync_name)), name
    of_async = AsyncClient("http://x", "k")
    with Client("http://x", "k") as of_sync:
        named = {key.strip("_"): type(value).__name__ for key, value in vars(of_sync).items()}
        also = {key.strip("_"): type(value).__name__ for key, value in vars(of_async).items()}
    assert named == {key: value.removeprefix("Async") for key, value in also.items()}


def test_everything_public_is_documented() -> None:
    for name in pinfold.__all__:
        thing = getattr(pinfold, name)
        if not inspect.isclass(thing) or not thing.__module__.startswith("pinfold"):
            continue
        assert thing.__doc__, name
        for member_name, member in vars(thing).items():
            if not member_name.startswith("_") and inspect.isfunction(member):
                assert member.__doc__, f"{name}.{member_name}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(example: Path, tmp_path: Path) -> None:
    environment = {**alone(tmp_path), "PYTHONPATH": str(PACKAGE / "src")}
    said = run(sys.executable, example, env=environment, cwd=tmp_path)
    assert said.strip()


def test_the_wheel_installs_and_the_quickstart_runs_in_a_fresh_environment(tmp_path: Path) -> None:
    build = ("wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path)
    run(sys.executable, "-m", "pip", *build, PACKAGE)
    (wheel,) = tmp_path.glob("pinfold-*-py3-none-any.whl")
    fresh = tmp_path / "fresh"
    venv.create(fresh, symlinks=True)
    # What the wheel asks for and nothing else, from where this environment has it.
    httpx = f"httpx=={run(sys.executable, '-c', 'import httpx; print(httpx.__version__)').strip()}"
    install = ("--python", fresh / "bin" / "python", "install", "--quiet", "--no-compile")
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", *install, wheel, httpx)
    blocks = re.findall(r"```python\n(.*?)```", (PACKAGE / "README.md").read_text(), re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        said = run(fresh / "bin" / "python", "-c", block, env=alone(tmp_path), cwd=tmp_path)
        assert said.strip()
    typed = "import pinfold, pathlib; print((pathlib.Path(pinfold.__file__).parent/'py.typed').exists())"
    assert run(fresh / "bin" / "python", "-c", typed, cwd=tmp_path).strip() == "True"


GUIDE = (PACKAGE.parents[1] / "docs" / "guide" / "python.md").read_text()
# What starts a server of its own is tested by itself; a pull asks the world outside.
ELSEWHERE = ("Client.local()", "images.pull(")


def test_the_programs_of_the_guide_run(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "steps.md").write_text("---\nimage: host\n---\n```bash\necho $STAGE\n```\n")
    blocks = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    told = [each for each in blocks if not any(word in each for word in ELSEWHERE)]
    assert len(told) >= 6
    with Client(server.url, server.key) as client, client.sandboxes.create() as sandbox:
        # Each with what the ones before it left, as a reader has it.
        names: dict[str, Any] = {"client": client, "Path": Path}
        for block in told:
            names["sandbox"] = sandbox
            exec(block, names)
    assert (tmp_path / "out.txt").read_text() == "kept"
