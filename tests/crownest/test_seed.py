"""The vendor's page, snippet by snippet, as a user would type it."""

from crownest import CrowNest, CrowNestApiError
from server import KEY


def test_the_page_of_the_python_reference(server, monkeypatch, capsys):
    monkeypatch.setenv("CROWNEST_API_KEY", KEY)
    with CrowNest(api_key=None, base_url=server.base_url, timeout=660) as client:
        sandbox = client.sandboxes.create(
            template="python", ttl_ms=600_000, metadata={"suite": "seed"}, project_id=None
        )
        assert sandbox.id == sandbox["id"] and sandbox["status"]
        assert sandbox.to_dict()["expiresAt"]
        assert client.sandboxes.get(sandbox.id)["id"] == sandbox.id
        assert sandbox.id in [one["id"] for one in client.sandboxes.list()]

        cmd = client.commands.start(sandbox.id, "echo testing; exit 3")
        for event in client.commands.stream_logs(cmd["id"]):
            if event["type"] == "log":
                print(event["data"], end="")
            elif event["type"] == "terminal":
                print("exit code:", event["command"]["exitCode"])
        assert capsys.readouterr().out == "testing\nexit code: 3\n"

        result = client.commands.run(
            sandbox.id,
            "echo $GREETING > out.txt",
            cwd="/workspace",
            env={"GREETING": "hello"},
            timeout_ms=30_000,
            collect=[{"path": "out.txt", "name": "greeting"}],
            collect_on="success",
        )
        assert result["status"] == "exited" and result["collectStatus"] == "succeeded"
        assert client.files.read(sandbox.id, "out.txt") == "hello\n"
        artifact = client.artifacts.list(sandbox.id)[0]
        assert client.artifacts.download(artifact["id"]) == b"hello\n"
        assert client.projects.list()[0]["name"]
        try:
            client.files.read(sandbox.id, "/etc/passwd")
        except CrowNestApiError as error:
            assert (error.status, error.code) == (400, "path_outside_workspace")
        assert client.sandboxes.kill(sandbox.id)["status"] == "destroyed"
