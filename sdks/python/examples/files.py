"""Files in, files out: single ones, parts of them, whole directories."""

import tempfile
from pathlib import Path

from pinfold import Client
from pinfold.errors import NotFoundError

with Client.local() as client, client.sandboxes.create() as sandbox:
    files = sandbox.files
    files.write("/workspace/notes/today.txt", "one\ntwo\n", parents=True)
    print(files.read_text("/workspace/notes/today.txt").splitlines())
    print(files.read("/workspace/notes/today.txt", offset=4, length=3))
    for entry in files.list("/workspace/notes").entries:
        print(f"{entry.name} {entry.size_bytes} bytes {entry.mode:o} {entry.modified_at:%Y-%m-%d}")

    with tempfile.TemporaryDirectory() as directory:
        project = Path(directory) / "project"
        project.mkdir()
        (project / "main.sh").write_text("echo made by main.sh > result.txt\n")
        files.upload(project, "/workspace/project")
        sandbox.run("sh main.sh", cwd="/workspace/project", check=True)
        files.download("/workspace/project", project)
        print((project / "result.txt").read_text(), end="")

    try:
        files.read("/workspace/missing")
    except NotFoundError as error:
        print(error.code, error.status)
