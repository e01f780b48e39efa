"""Code contexts and runs of code."""

import asyncio
import base64

import httpx
import pytest
from proxy import Proxy
from server import KEY

pytestmark = pytest.mark.anyio

CODE_CAP = 262_144
RESULT = {
    "sandboxId",
    "contextId",
    "language",
    "executionCount",
    "stdout",
    "stderr",
    "stdoutTruncated",
    "stderrTruncated",
    "outputs",
    "durationMs",
}
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SHOWS = f"""
class Shown:
    def __init__(self, **forms): self.forms = forms
    def __repr__(self): return "shown"
    def _repr_mimebundle_(self, **_): return self.forms["forms"]
import base64
PIXEL = base64.b64decode("{base64.b64encode(PIXEL).decode()}")
"""


def values(run, format="text"):
    return [o["value"] for o in run["outputs"] if o["kind"] == "inline" and o["format"] == format]


async def streamed(sdk, call, *args, **options):
    return [event async for event in sdk.each(call, *args, **options)]


async def test_variables_last_in_the_default_context(sdk, client, sandbox):
    first = await sdk(client.code.run, sandbox.id, "import math\nx = 20\nprint('said')\nx + 1")
    assert set(first) == RESULT
    assert first["sandboxId"] == sandbox.id and first["contextId"].startswith("cctx_")
    assert (first["language"], first["executionCount"]) == ("python", 1)
    assert "".join(first["stdout"]) == "said\n" and first["stderr"] == []
    assert first["outputs"] == [{"kind": "inline", "format": "text", "value": "21"}]
    assert first["durationMs"] >= 0 and first["stdoutTruncated"] is False
    second = await sdk(sandbox.code.run, "math.floor(x / 3)")
    assert second["contextId"] == first["contextId"] and second["executionCount"] == 2
    assert values(second) == ["6"]
    nothing = await sdk(sandbox.code.run, "y = 1")
    assert nothing["outputs"] == []
    (default,) = await sdk(client.code.list_contexts, sandbox.id)
    assert default["id"] == first["contextId"] and default["isDefault"] is True


async def test_contexts_are_made_listed_shown_and_deleted(sdk, client, sandbox, fails):
    assert await sdk(client.code.list_contexts, sandbox.id) == []
    made = await sdk(client.code.create_context, sandbox.id)
    assert set(made) == {
        "id", "sandboxId", "language", "cwd", "isDefault", "createdAt", "expiresAt",
    }
    assert made["id"].startswith("cctx_") and made["sandboxId"] == sandbox.id
    assert (made["language"], made["cwd"], made["isDefault"]) == ("python", "/workspace", False)
    await sdk(client.files.mkdir, sandbox.id, "sub/dir", parents=True)
    other = await sdk(sandbox.code.create_context, cwd="sub/dir", timeout_ms=600_000)
    assert other["cwd"] == "/workspace/sub/dir"
    assert await sdk(sandbox.code.list_contexts) == [other, made]
    assert await sdk(sandbox.code.get_context, made["id"]) == made
    assert await sdk(client.code.get_context, sandbox.id, other["id"]) == other
    where = await sdk(client.code.run, sandbox.id, "import os; os.getcwd()", context_id=other["id"])
    assert values(where) == ["'/workspace/sub/dir'"] and where["contextId"] == other["id"]
    await sdk(client.code.run, sandbox.id, "mine = 1", context_id=made["id"])
    apart = await sdk(client.code.run, sandbox.id, "mine", context_id=other["id"])
    assert apart["error"]["name"] == "NameError"
    deleted = await sdk(sandbox.code.delete_context, made["id"])
    assert deleted["id"] == made["id"]
    assert [one["id"] for one in await sdk(client.code.list_contexts, sandbox.id)] == [other["id"]]
    for call in (client.code.get_context, client.code.delete_context):
        with fails("not_found", 404):
            await sdk(call, sandbox.id, made["id"])
    with fails("not_found", 404):
        await sdk(client.code.run, sandbox.id, "1", context_id=made["id"])


async def test_a_sandbox_reaches_no_context_of_another(sdk, client, sandbox, fails):
    other = await sdk(client.sandboxes.create)
    context = await sdk(client.code.create_context, other.id)
    for call in (client.code.get_context, client.code.delete_context):
        with fails("not_found", 404):
            await sdk(call, sandbox.id, context["id"])
    for call in (client.code.run, client.code.run_stream):
        with fails("not_found", 404):
            if call == client.code.run:
                await sdk(call, sandbox.id, "1", context_id=context["id"])
            else:
                await streamed(sdk, call, sandbox.id, "1", context_id=context["id"])
    assert (await sdk(client.code.get_context, other.id, context["id"]))["id"] == context["id"]
    await sdk(client.sandboxes.kill, other.id)
    for call, args in [
        (client.code.create_context, ()),
        (client.code.list_contexts, ()),
        (client.code.get_context, (context["id"],)),
        (client.code.delete_context, (context["id"],)),
        (client.code.run, ("1",)),
    ]:
        with fails("sandbox_destroyed", 410):
            await sdk(call, other.id, *args)
        with fails("not_found", 404):
            await sdk(call, "sbx_0", *args)


async def test_what_code_raises_is_part_of_the_result(sdk, client, sandbox):
    run = await sdk(client.code.run, sandbox.id, "def f():\n    return 1 / 0\nprint('a')\nf()")
    assert run["error"]["name"] == "ZeroDivisionError"
    assert run["error"]["message"] == "division by zero"
    trace = run["error"]["traceback"]
    assert isinstance(trace, list) and any("return 1 / 0" in line for line in trace)
    assert run["stdout"] == ["a\n"]
    wrong = await sdk(client.code.run, sandbox.id, "def (:")
    assert wrong["error"]["name"] == "SyntaxError"
    stderr = await sdk(client.code.run, sandbox.id, "import sys; print('e', file=sys.stderr)")
    assert "".join(stderr["stderr"]) == "e\n" and "error" not in stderr
    gone = await sdk(client.code.run, sandbox.id, "import os; os._exit(3)")
    assert gone["error"]["name"] == "InterpreterDied"
    fresh = await sdk(client.code.run, sandbox.id, "f")
    assert fresh["error"]["name"] == "NameError" and fresh["executionCount"] == 1


async def javascript_works(sdk, client, sandbox, language, code):
    run = await sdk(client.code.run, sandbox.id, code, language=language)
    assert (run["language"], run["stdout"], values(run)) == (language, ["said\n"], ["2"]), run
    again = await sdk(client.code.run, sandbox.id, "x[1]", language=language)
    assert values(again) == ["2"] and again["contextId"] == run["contextId"]
    raised = await sdk(client.code.run, sandbox.id, "throw new TypeError('no')", language=language)
    assert (raised["error"]["name"], raised["error"]["message"]) == ("TypeError", "no")
    assert raised["error"]["traceback"]
    rich = """
        const shown = { [Symbol.for('Jupyter.display')]: () => ({
            'text/plain': 't', 'text/html': '<b>h</b>', 'application/json': { a: 1 } }) };
        shown
    """
    kept = await sdk(client.code.run, sandbox.id, rich, language=language, artifact_policy="promote")
    assert [one["kind"] for one in kept["outputs"]] == ["inline", "inline", "artifact"]
    assert await sdk(client.artifacts.download, kept["outputs"][2]["artifactId"]) == b"<b>h</b>"
    late = await sdk(client.code.run, sandbox.id, "for (;;);", language=language, timeout_ms=500)
    assert late["error"]["name"] == "TimeoutError"


async def test_javascript_keeps_variables_too(sdk, client, sandbox):
    code = "const x = [1, 2]; console.log('said'); x.length"
    await javascript_works(sdk, client, sandbox, "javascript", code)
    (context,) = await sdk(client.code.list_contexts, sandbox.id)
    assert (context["language"], context["isDefault"]) == ("javascript", True)


async def test_typescript_works_or_says_what_it_needs(sdk, client, sandbox, fails):
    version = await sdk(client.commands.run, sandbox.id, "node --version")
    major, minor = (int(part) for part in version["stdout"].strip("v\n").split(".")[:2])
    if (major, minor) >= (22, 13):
        code = "const x: number[] = [1, 2]; console.log('said'); x.length"
        await javascript_works(sdk, client, sandbox, "typescript", code)
    else:
        with fails("unsupported_code_language", 400) as refused:
            await sdk(client.code.run, sandbox.id, "1", language="typescript")
        assert "22.13" in str(refused.value)
        assert await sdk(client.code.list_contexts, sandbox.id) == []


async def test_a_context_knows_its_language(sdk, client, sandbox, fails):
    context = await sdk(client.code.create_context, sandbox.id, language="javascript")
    assert context["language"] == "javascript"
    # The SDK sends "python" where its caller names none.
    run = await sdk(client.code.run, sandbox.id, "typeof 1", context_id=context["id"])
    assert run["language"] == "javascript" and values(run) == ["'number'"]
    with fails("invalid_request", 400, "language"):
        await sdk(
            client.code.run, sandbox.id, "1", context_id=context["id"], language="typescript"
        )


async def test_wrong_requests_are_refused_and_leave_nothing(sdk, client, sandbox, fails):
    calls = [
        lambda **o: sdk(client.code.create_context, sandbox.id, **o),
        lambda **o: sdk(client.code.run, sandbox.id, "1", **o),
        lambda **o: streamed(sdk, client.code.run_stream, sandbox.id, "1", **o),
    ]
    await sdk(client.commands.run, sandbox.id, "ln -s /etc link; echo x > file")
    for call in calls:
        for language in ("ruby", "", "Python"):
            with fails("unsupported_code_language", 400, "language"):
                await call(language=language)
        for timeout in (0, -1, 600_001):
            with fails("invalid_request", 400, "timeoutMs"):
                await call(timeout_ms=timeout)
        for cwd in ("/etc", "..", "link", "/workspacefoo", "/workspace/../tmp"):
            with fails("path_outside_workspace", 400):
                await call(cwd=cwd)
        with fails("file_not_found", 404):
            await call(cwd="missing")
        with fails("path_not_directory", 400):
            await call(cwd="file")
    for call in calls[1:]:
        for policy in ("none", ""):
            with fails("invalid_request", 400, "artifactPolicy"):
                await call(artifact_policy=policy)
        for context in ("cctx_0", "nonsense", ""):
            with fails("not_found", 404):
                await call(context_id=context)
    assert await sdk(client.code.list_contexts, sandbox.id) == []
    long = "#" + "x" * CODE_CAP
    with fails("code_source_too_large", 413, "code"):
        await sdk(client.code.run, sandbox.id, long)
    with fails("code_source_too_large", 413, "code"):
        await streamed(sdk, client.code.run_stream, sandbox.id, "é" * (CODE_CAP // 2) + "x")
    fits = await sdk(client.code.run, sandbox.id, long[:CODE_CAP])
    assert "error" not in fits


async def test_a_run_has_its_directory(sdk, client, sandbox):
    await sdk(client.files.mkdir, sandbox.id, "d")
    code = "import os; os.getcwd()"
    assert values(await sdk(client.code.run, sandbox.id, code)) == ["'/workspace'"]
    for cwd in ("d", "/workspace/d", "d/../d/."):
        run = await sdk(client.code.run, sandbox.id, code, cwd=cwd)
        assert values(run) == ["'/workspace/d'"]


async def test_a_run_over_its_time_is_interrupted_and_keeps_variables(sdk, client, sandbox):
    await sdk(client.code.run, sandbox.id, "kept = 1")
    late = await sdk(client.code.run, sandbox.id, "while True: pass", timeout_ms=500)
    assert late["error"]["name"] == "TimeoutError" and late["error"]["traceback"]
    assert values(await sdk(client.code.run, sandbox.id, "kept")) == ["1"]
    context = await sdk(client.code.create_context, sandbox.id, timeout_ms=500)
    code = "import time; time.sleep(60)"
    late = await sdk(client.code.run, sandbox.id, code, context_id=context["id"])
    assert late["error"]["name"] == "TimeoutError"
    events = await streamed(
        sdk, client.code.run_stream, sandbox.id, code, context_id=context["id"]
    )
    assert [event["type"] for event in events] == ["error", "complete"]
    assert events[0]["data"] == events[1]["data"]["error"]
    # Also where nothing was raised in the end, and where nothing could be.
    heedless = "try:\n    while True: pass\nexcept KeyboardInterrupt: pass"
    late = await sdk(client.code.run, sandbox.id, heedless, timeout_ms=500)
    assert late["error"]["name"] == "TimeoutError"
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    late = await sdk(client.code.run, sandbox.id, deaf, timeout_ms=500)
    assert late["error"]["name"] == "TimeoutError"
    assert "variables are gone" in late["error"]["message"]


async def test_events_come_as_they_happen_and_complete_is_last(sdk, client, sandbox):
    code = (
        "import sys, time\nprint('one')\ntime.sleep(0.3)\nprint('two', file=sys.stderr)\n"
        "time.sleep(0.3)\nprint('three')\n{'a': 1}"
    )
    seen = []
    async for event in sdk.each(sandbox.code.run_stream, code):
        seen.append(event)
        if event["type"] == "stdout" and "one" in event["data"]:
            status = (await sdk(client.sandboxes.get, sandbox.id)).status
            assert status == "running"
    assert [(e["type"], e["data"]) for e in seen[:-1]] == [
        ("stdout", "one\n"),
        ("stderr", "two\n"),
        ("stdout", "three\n"),
        ("output", {"kind": "inline", "format": "text", "value": "{'a': 1}"}),
    ]
    whole = seen[-1]
    assert whole["type"] == "complete" and set(whole["data"]) == RESULT
    assert whole["data"]["stdout"] == ["one\n", "three\n"]
    assert whole["data"]["outputs"] == [seen[3]["data"]]
    raised = await streamed(sdk, client.code.run_stream, sandbox.id, "print(1)\n1/0")
    assert [event["type"] for event in raised] == ["stdout", "error", "complete"]
    assert raised[1]["data"] == raised[2]["data"]["error"]
    assert set(raised[1]["data"]) == {"name", "message", "traceback"}


ODD = "a\u0085b\u2028c\u2029d\u000be\u001cf\u00e9\u20ac\U0001f600\u200b\r\n\x00\x1b[31m\"\\"


async def test_every_character_survives_code_and_its_stream(sdk, client, sandbox):
    code = f"s = {ODD!r}\nimport sys\nsys.stdout.write(s)\ns == {ascii(ODD)}"
    events = await streamed(sdk, client.code.run_stream, sandbox.id, code)
    assert "".join(e["data"] for e in events if e["type"] == "stdout") == ODD
    assert values(events[-1]["data"]) == ["True"]


async def test_leaving_a_stream_leaves_the_run(sdk, client, sandbox):
    code = "import time\nprint('a')\ntime.sleep(0.5)\ndone = 1\nprint('b')"
    key = "left"
    async for event in sdk.each(client.code.run_stream, sandbox.id, code, idempotency_key=key):
        assert event["data"] == "a\n"
        break
    again = await streamed(
        sdk, client.code.run_stream, sandbox.id, code, idempotency_key=key
    )
    assert "".join(e["data"] for e in again[:-1]) == "a\nb\n"
    assert again[-1]["data"]["executionCount"] == 1
    assert values(await sdk(client.code.run, sandbox.id, "done")) == ["1"]


async def test_a_cut_stream_is_taken_up_by_its_key_and_nothing_runs_twice(
    sdk, client, sandbox, server
):
    proxy = Proxy(server.port, [2000, None])
    rough = sdk.client(api_key=KEY, base_url=f"{proxy.url}/crownest", timeout=60)
    code = SHOWS + (
        "display(Shown(forms={'text/plain': 'p', 'text/html': '<b>'}))\n"
        "n = globals().get('n', 0) + 1\nfor i in range(500): print('line', i)\nn"
    )
    options = {"idempotency_key": "cut", "artifact_policy": "promote"}
    seen = []
    with pytest.raises(httpx.TransportError):
        async for event in sdk.each(rough.code.run_stream, sandbox.id, code, **options):
            seen.append(event)
    assert not any(event["type"] == "complete" for event in seen)
    whole = await streamed(sdk, rough.code.run_stream, sandbox.id, code, **options)
    assert whole[: len(seen)] == seen
    assert values(whole[-1]["data"]) == ["p", "1"]
    assert len(await sdk(client.artifacts.list, sandbox.id)) == 1
    proxy.close()
    await sdk.close(rough)


async def test_one_key_runs_code_once(sdk, client, sandbox, fails):
    code = "n = globals().get('n', 0) + 1; n"
    options = {"idempotency_key": "once"}
    runs = await asyncio.gather(
        *(sdk(client.code.run, sandbox.id, code, **options) for _ in range(10))
    )
    assert all(run == runs[0] for run in runs) and values(runs[0]) == ["1"]
    for other in (
        {"code": "n"},
        {"timeout_ms": 1000},
        {"artifact_policy": "promote"},
        {"language": "javascript"},
    ):
        with fails("idempotency_key_reused", 409):
            await sdk(client.code.run, sandbox.id, **{"code": code, **options, **other})
    # On another route and in another sandbox it is another key.
    events = await streamed(sdk, client.code.run_stream, sandbox.id, code, **options)
    assert values(events[-1]["data"]) == ["2"]
    other = await sdk(client.sandboxes.create)
    assert values(await sdk(client.code.run, other.id, code, **options)) == ["1"]
    await sdk(client.sandboxes.kill, other.id)
    made = [
        await sdk(client.code.create_context, sandbox.id, idempotency_key="context")
        for _ in range(3)
    ]
    assert made[0] == made[1] == made[2]
    with fails("idempotency_key_reused", 409):
        await sdk(
            client.code.create_context,
            sandbox.id,
            idempotency_key="context",
            language="javascript",
        )


RICH = SHOWS + """
display(Shown(forms={"text/plain": "t", "application/json": {"a": [1, None]},
    "text/markdown": "**m**", "text/latex": "$l$"}))
display(Shown(forms={"text/plain": "p", "image/png": PIXEL, "text/html": "<b>h</b>",
    "image/svg+xml": "<svg/>"}))
display(Shown(forms={"text/plain": "o", "image/gif": PIXEL, "application/javascript": "x()",
    "application/vnd.vegalite.v5+json": {"mark": "bar"}}))
"""


async def test_rich_results_stand_in_the_answer_or_say_why_not(sdk, client, sandbox):
    run = await sdk(client.code.run, sandbox.id, RICH)
    assert "error" not in run, run
    inline = [(o["format"], o["value"]) for o in run["outputs"] if o["kind"] == "inline"]
    assert inline == [
        ("text", "t"),
        ("json", {"a": [1, None]}),
        ("latex", "$l$"),
        ("markdown", "**m**"),
        ("text", "p"),
        ("text", "o"),
        ("chart", {"mark": "bar"}),
    ]
    rejected = {(o["format"], o["reason"]) for o in run["outputs"] if o["kind"] == "rejected"}
    assert rejected == {
        ("png", "requires_artifact_promotion"),
        ("html", "requires_artifact_promotion"),
        ("svg", "requires_artifact_promotion"),
        ("gif", "unsupported_format"),
        ("javascript", "unsafe_active_content"),
    }
    explicit = await sdk(client.code.run, sandbox.id, "1", artifact_policy="inline_only")
    assert values(explicit) == ["1"]
    assert await sdk(client.artifacts.list, sandbox.id) == []


async def test_outputs_are_promoted_to_artifacts_that_outlive_the_sandbox(sdk, client, fails):
    sandbox = await sdk(client.sandboxes.create)
    options = {"artifact_policy": "promote", "idempotency_key": "rich"}
    run = await sdk(client.code.run, sandbox.id, RICH, **options)
    made = {o["format"]: o for o in run["outputs"] if o["kind"] == "artifact"}
    assert set(made) == {"png", "html", "svg"}
    for output in made.values():
        assert set(output) == {"kind", "format", "artifactId", "contentType", "sizeBytes"}
    assert made["png"]["contentType"] == "image/png" and made["png"]["sizeBytes"] == len(PIXEL)
    assert await sdk(client.artifacts.download, made["png"]["artifactId"]) == PIXEL
    assert await sdk(client.artifacts.download, made["html"]["artifactId"]) == b"<b>h</b>"
    shown = await sdk(client.artifacts.get, made["svg"]["artifactId"])
    assert shown["name"] == "output-2.svg" and shown["sandboxId"] == sandbox.id
    assert shown["contentType"] == "image/svg+xml" and "sourcePath" not in shown
    listed = await sdk(client.artifacts.list, sandbox.id)
    assert {one["id"] for one in listed} == {one["artifactId"] for one in made.values()}
    # Repeating the request runs nothing and keeps nothing twice, also after the sandbox's end.
    assert await sdk(client.code.run, sandbox.id, RICH, **options) == run
    await sdk(client.sandboxes.kill, sandbox.id)
    assert await sdk(client.artifacts.list, sandbox.id) == listed
    assert await sdk(client.artifacts.download, made["png"]["artifactId"]) == PIXEL
    url = (await sdk(client.artifacts.download_url, made["html"]["artifactId"]))["url"]
    answer = httpx.get(url)
    assert answer.content == b"<b>h</b>"
    # What code wrote is no page of this server's origin.
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["content-security-policy"]
    deleted = await sdk(client.artifacts.delete, made["png"]["artifactId"])
    assert deleted["deletedAt"]
    with fails("not_found", 404):
        await sdk(client.artifacts.download, made["png"]["artifactId"])


async def test_a_stream_promotes_as_well(sdk, client, sandbox):
    options = {"artifact_policy": "promote", "idempotency_key": "rich"}
    events = await streamed(sdk, client.code.run_stream, sandbox.id, RICH, **options)
    outputs = [event["data"] for event in events if event["type"] == "output"]
    assert events[-1]["data"]["outputs"] == outputs
    kept = [one for one in outputs if one["kind"] == "artifact"]
    assert len(kept) == 3 and len(await sdk(client.artifacts.list, sandbox.id)) == 3
    again = await streamed(sdk, client.code.run_stream, sandbox.id, RICH, **options)
    assert again == events and len(await sdk(client.artifacts.list, sandbox.id)) == 3


async def test_what_is_too_large_is_cut_or_left_out(sdk, client, sandbox):
    code = SHOWS + """
display(Shown(forms={"text/plain": "x" * (2 << 20), "text/markdown": "x" * (2 << 20),
    "image/png": bytes(7 << 20)}))
"""
    run = await sdk(client.code.run, sandbox.id, code, artifact_policy="promote")
    assert [o["kind"] for o in run["outputs"]] == ["inline", "rejected", "rejected"]
    text = run["outputs"][0]
    assert text["truncated"] is True and len(text["value"]) == 1 << 20
    assert {(o["format"], o["reason"]) for o in run["outputs"][1:]} == {
        ("markdown", "output_too_large"),
        ("png", "output_too_large"),
    }
    loud = await sdk(client.code.run, sandbox.id, "print('x' * (9 << 20))")
    assert loud["stdoutTruncated"] is True and len("".join(loud["stdout"])) <= 9 << 20


async def test_artifacts_over_the_quota_are_rejected_outputs(sdk, client, server):
    request = {"name": f"narrow {sdk.name}", "quota": {"object_bytes": 100}}
    project = server.native("POST", "/v1/projects", json=request)
    assert project.status_code == 201, project.text
    sandbox = await sdk(client.sandboxes.create, project_id=project.json()["id"])
    code = SHOWS + """
display(Shown(forms={"text/plain": "fits", "text/html": "x" * 90}))
display(Shown(forms={"text/plain": "not", "text/html": "x" * 20}))
"""
    run = await sdk(client.code.run, sandbox.id, code, artifact_policy="promote")
    assert [one["kind"] for one in run["outputs"]] == ["inline", "artifact", "inline", "rejected"]
    assert run["outputs"][3] == {
        "kind": "rejected", "format": "html", "reason": "output_too_large",
    }
    await sdk(client.sandboxes.kill, sandbox.id)


async def test_a_run_makes_so_many_artifacts_and_no_more(sdk, client, sandbox):
    code = SHOWS + """
for n in range(130):
    display(Shown(forms={"text/plain": str(n), "text/html": "h", "image/svg+xml": "s"}))
"""
    run = await sdk(client.code.run, sandbox.id, code, artifact_policy="promote")
    kept = [one["artifactId"] for one in run["outputs"] if one["kind"] == "artifact"]
    assert len(kept) == len(set(kept)) == 256 and len(values(run)) == 130
    left = [one for one in run["outputs"] if one["kind"] == "rejected"]
    assert len(left) == 4 and {one["reason"] for one in left} == {"output_too_large"}
