"""Every tool, through each transport and with both generations of the protocol."""

import base64

import httpx
import pytest

from world import call, connected, text_of

pytestmark = pytest.mark.anyio

TOOLS = {
    "create_sandbox", "list_sandboxes", "get_sandbox", "extend_sandbox", "destroy_sandbox",
    "list_images", "run_command", "start_command", "read_output", "list_commands",
    "cancel_command", "read_file", "write_file", "list_directory", "run_code", "restart_code",
    "expose_port", "close_port", "snapshot_sandbox",
}  # fmt: skip
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


async def test_tools_are_announced_with_schemas_and_hints(server, way):
    async with connected(server, way) as client:
        listed = (await client.list_tools()).tools
        assert client.server_info.name == "pinfold"
        assert "create_sandbox" in client.instructions
    tools = {tool.name: tool for tool in listed}
    assert set(tools) == TOOLS
    for tool in listed:
        assert len(tool.description) > 20
        assert tool.input_schema["type"] == "object"
        assert tool.output_schema["type"] == "object"
    assert tools["read_file"].annotations.read_only_hint
    assert tools["destroy_sandbox"].annotations.destructive_hint
    assert not tools["create_sandbox"].annotations.destructive_hint
    assert tools["run_command"].input_schema["required"] == ["sandbox_id", "command"]


async def test_a_sandbox_lives_from_create_to_destroy(server, way):
    async with connected(server, way) as client:
        made = await call(
            client, "create_sandbox", name=f"box-{way}", memory_mib=512, ttl_minutes=5,
            env={"WHO": "agent"},
        )  # fmt: skip
        identity = made["sandbox_id"]
        assert (made["state"], made["memory_mib"], made["internet"]) == ("running", 512, False)
        listed = await call(client, "list_sandboxes")
        assert identity in [one["sandbox_id"] for one in listed["sandboxes"]]
        longer = await call(client, "extend_sandbox", sandbox_id=identity, ttl_minutes=50)
        assert longer["expires_at"] > made["expires_at"]
        ran = await call(client, "run_command", sandbox_id=identity, command='echo "$WHO"')
        assert ran["stdout"] == "agent\n"
        gone = await call(client, "destroy_sandbox", sandbox_id=identity)
        assert gone["state"] == "destroyed"
        state = (await call(client, "get_sandbox", sandbox_id=identity))["state"]
        assert state == "destroyed"


async def test_a_snapshot_boots_and_a_fork_begins_with_the_disk(server, sandbox):
    async with connected(server) as client:
        where = {"sandbox_id": sandbox}
        await call(client, "write_file", **where, path="/workspace/kept", content="mine")
        name = f"kept-{sandbox[-6:].lower()}:1"
        taken = await call(client, "snapshot_sandbox", **where, name=name)
        assert taken["names"] == [name]
        await call(client, "write_file", **where, path="/workspace/kept", content="changed")
        for wanted, content in [({"image": name}, "mine"), ({"fork_of": sandbox}, "changed")]:
            made = await call(client, "create_sandbox", **wanted)
            here = {"sandbox_id": made["sandbox_id"]}
            read = await call(client, "read_file", **here, path="/workspace/kept")
            assert read["content"] == content
            await call(client, "destroy_sandbox", **here)


async def test_images_and_templates_are_listed(server):
    async with connected(server) as client:
        listed = await call(client, "list_images")
    assert "host:latest" in [name for image in listed["images"] for name in image["names"]]
    assert "python" in listed["templates"]


async def test_a_command_answers_with_output_and_exit_code(server, way, sandbox):
    async with connected(server, way) as client:
        result = await client.call_tool(
            "run_command",
            {
                "sandbox_id": sandbox,
                "command": "cat; echo $PLACE; pwd; echo grün >&2; exit 3",
                "stdin": "given\n",
                "cwd": "/tmp",
                "env": {"PLACE": "here"},
            },
        )
    facts = result.structured_content
    assert (facts["exit_code"], facts["state"], facts["truncated"]) == (3, "exited", False)
    assert facts["stdout"] == "given\nhere\n/tmp\n"
    assert facts["stderr"] == "grün\n"
    words = text_of(result)
    assert "given" in words and "grün" in words and "exited with code 3" in words
    assert not result.is_error, "a command that fails is no tool that fails"


async def test_much_output_is_cut_told_and_readable(server, sandbox):
    async with connected(server) as client:
        command = "seq 1 60000; echo the end"
        ran = await call(client, "run_command", sandbox_id=sandbox, command=command)
        assert ran["truncated"] and ran["stdout"].startswith("1\n2\n3\n")
        assert ran["stdout"].endswith("60000\nthe end\n") and "bytes left out here" in ran["stdout"]
        assert len(ran["stdout"]) < 70_000
        read, position = "", None
        for _ in range(20):
            where = {} if position is None else {"position": position}
            page = await call(client, "read_output", command_id=ran["command_id"], **where)
            read, position = read + page["stdout"], page["next_position"]
            if not page["truncated"]:
                break
    assert read == "".join(f"{n}\n" for n in range(1, 60001)) + "the end\n"


async def test_a_command_out_of_time_is_told_as_such(server, sandbox):
    async with connected(server) as client:
        ran = await call(
            client, "run_command", sandbox_id=sandbox, command="echo begun; sleep 60",
            timeout_seconds=1,
        )  # fmt: skip
    assert (ran["state"], ran["exit_code"], ran["stdout"]) == ("timed_out", None, "begun\n")


async def test_a_command_goes_on_by_itself_and_is_read_and_ended(server, way, sandbox):
    async with connected(server, way) as client:
        started = await call(
            client, "start_command", sandbox_id=sandbox,
            command="echo begun; trap 'echo told; exit 7' TERM; while :; do sleep 0.05; done",
        )  # fmt: skip
        identity = started["command_id"]
        position, seen = "0", ""
        while "begun" not in seen:
            page = await call(client, "read_output", command_id=identity, position=position)
            seen, position = seen + page["stdout"], page["next_position"]
        assert page["state"] == "running"
        listed = await call(client, "list_commands", sandbox_id=sandbox)
        assert identity in [one["command_id"] for one in listed["commands"]]
        await call(client, "cancel_command", command_id=identity)
        rest = await call(
            client, "read_output", command_id=identity, position=position, wait_seconds=30
        )
    assert rest["stdout"] == "told\n", "nothing is missing and nothing comes twice"
    assert rest["exit_code"] == 7


async def test_files_go_in_and_come_out(server, way, sandbox):
    async with connected(server, way) as client:
        where = {"sandbox_id": sandbox}
        text = "grüße\n" * 3
        await call(client, "write_file", **where, path="/tmp/a/b/c.txt", content=text)
        read = await call(client, "read_file", **where, path="/tmp/a/b/c.txt")
        assert (read["content"], read["encoding"]) == (text, "text")
        assert read["size_bytes"] == len(text.encode())

        data = bytes(range(256))
        coded = base64.b64encode(data).decode()
        await call(
            client, "write_file", **where, path="/tmp/a/run", content=coded, encoding="base64",
            executable=True,
        )  # fmt: skip
        read = await call(client, "read_file", **where, path="/tmp/a/run")
        assert (read["encoding"], base64.b64decode(read["content"])) == ("base64", data)

        listed = await call(client, "list_directory", **where, path="/tmp/a")
        found = {entry["name"]: (entry["kind"], entry["mode"]) for entry in listed["entries"]}
        assert found["b"][0] == "directory" and found["run"] == ("file", "0755")


async def test_large_files_are_read_in_parts_that_join(server, sandbox):
    async with connected(server) as client:
        where = {"sandbox_id": sandbox, "path": "/tmp/large"}
        content = "äx€" * 60_000
        await call(client, "write_file", **where, content=content)
        read, offset = "", 0
        while True:
            part = await call(client, "read_file", **where, offset=offset)
            read, offset = read + part["content"], part["end"]
            if offset == part["size_bytes"]:
                break
        behind = await call(client, "read_file", **where, offset=part["size_bytes"] + 5)
        await call(client, "write_file", sandbox_id=sandbox, path="/tmp/empty", content="")
        empty = await call(client, "read_file", sandbox_id=sandbox, path="/tmp/empty")
    assert read == content
    assert (behind["content"], empty["content"], empty["size_bytes"]) == ("", "", 0)


async def test_a_picture_is_an_image(server, sandbox):
    async with connected(server) as client:
        where = {"sandbox_id": sandbox, "path": "/tmp/dot.png"}
        coded = base64.b64encode(PNG).decode()
        await call(client, "write_file", **where, content=coded, encoding="base64")
        result = await client.call_tool("read_file", where)
    (image,) = [block for block in result.content if block.type == "image"]
    assert (image.mime_type, base64.b64decode(image.data)) == ("image/png", PNG)
    assert result.structured_content["media_type"] == "image/png"


async def test_code_keeps_its_variables_and_shows_what_it_made(server, way, sandbox):
    draw = f"""
import base64
class Dot:
    def _repr_png_(self): return base64.b64decode({base64.b64encode(PNG).decode()!r})
print("drawing")
Dot()"""
    async with connected(server, way) as client:
        where = {"sandbox_id": sandbox}
        await call(client, "run_code", **where, code="x = 20")
        result = await client.call_tool("run_code", {**where, "code": "x + 1"})
        first = result.structured_content
        assert first["values"][0]["text/plain"] == "21" and "21" in text_of(result)
        drawn = await client.call_tool("run_code", {**where, "code": draw})
        (image,) = [block for block in drawn.content if block.type == "image"]
        assert base64.b64decode(image.data) == PNG
        assert drawn.structured_content["stdout"] == "drawing\n"
        raised = await call(client, "run_code", **where, code="1/0")
        assert (raised["state"], raised["error"]["name"]) == ("failed", "ZeroDivisionError")
        await call(client, "restart_code", context_id=first["context_id"])
        afresh = await call(client, "run_code", **where, code="x")
        assert afresh["error"]["name"] == "NameError"


async def test_code_of_another_language_runs(server, sandbox):
    async with connected(server) as client:
        where = {"sandbox_id": sandbox, "language": "javascript"}
        await call(client, "run_code", **where, code="let n = 6")
        ran = await call(client, "run_code", **where, code="n * 7")
    assert ran["values"][0]["text/plain"] == "42"


async def test_a_port_is_reached_where_the_caller_reaches_the_server(server, way, sandbox):
    async with connected(server, way) as client:
        where = {"sandbox_id": sandbox}
        await call(client, "write_file", **where, path="/tmp/www/index.html", content="inside")
        await call(
            client, "start_command", **where, command="python3 -m http.server 8000", cwd="/tmp/www"
        )
        exposed = await call(client, "expose_port", **where, port=8000, access="token")
        assert exposed["url"].startswith(server.url), "as the caller named it"
        again = await call(client, "expose_port", **where, port=8000, access="token")
        assert (again["url"], again["token"]) == (exposed["url"], None)

        def visit(**options):
            return httpx.get(exposed["url"], **options)

        headers = {"Authorization": f"Bearer {exposed['token']}"}
        await until_async(lambda: visit(headers=headers).status_code == 200)
        assert visit(headers=headers).text == "inside"
        assert visit().status_code == 401
        assert exposed["browser_link"].startswith("http")
        closed = await call(client, "close_port", preview_id=exposed["preview_id"])
        assert closed["state"] == "revoked"
        assert visit(headers=headers).status_code in (404, 410)


async def until_async(holds, seconds: float = 30):
    import anyio

    with anyio.fail_after(seconds):
        while not holds():
            await anyio.sleep(0.05)
