"""Sandboxes: create, look, list, extend, kill."""

import asyncio
import datetime
import re

import pytest

pytestmark = pytest.mark.anyio

HOUR = 3_600_000
LIVE = {"creating", "starting", "ready", "running", "idle"}
FORM = {
    "id": r"sbx_[A-Za-z0-9]+",
    "orgId": r"org_[A-Za-z0-9]+",
    "projectId": r"prj_[A-Za-z0-9]+",
    "templateId": r"tpl_[A-Za-z0-9]+",
    "templateVersionId": r"tplv_[A-Za-z0-9]+",
    "templateVersion": r"\d+",
    "createdAt": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "expiresAt": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
}


def moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


async def test_create_without_anything_gives_a_live_sandbox_with_the_defaults(sdk, client, sandbox):
    for field, form in FORM.items():
        assert re.fullmatch(form, sandbox[field]), (field, sandbox[field])
    assert sandbox.status in LIVE
    assert sandbox["ttlMs"] == HOUR
    life = moment(sandbox["expiresAt"]) - moment(sandbox["createdAt"])
    assert life == datetime.timedelta(hours=1)
    assert sandbox["metadata"] == {}
    assert "destroyedAt" not in sandbox and "destroyedReason" not in sandbox
    assert None not in sandbox.to_dict().values()


async def test_a_handle_is_a_mapping_and_a_snapshot(sdk, client, sandbox):
    assert sandbox.id == sandbox["id"] == sandbox.to_dict()["id"]
    assert "status" in sandbox and len(sandbox) == len(list(sandbox))
    with pytest.raises(AttributeError):
        sandbox.nothing
    with pytest.raises(KeyError):
        sandbox["nothing"]


@pytest.mark.parametrize("template", ["python", "node", "python-node", "base"])
async def test_every_template_boots_with_its_slug(sdk, client, template):
    sandbox = await sdk(client.sandboxes.create, template=template)
    assert sandbox["templateSlug"] == template
    pinned = await sdk(client.sandboxes.create, template_version_id=sandbox["templateVersionId"])
    assert pinned["templateVersionId"] == sandbox["templateVersionId"]
    assert pinned["templateSlug"] == template
    for one in (sandbox, pinned):
        await sdk(client.sandboxes.kill, one.id)


async def test_unknown_templates_and_versions_are_refused(sdk, client, fails):
    with fails("invalid_request", 400, "template"):
        await sdk(client.sandboxes.create, template="cobol")
    with fails("not_found", 404):
        await sdk(client.sandboxes.create, template_version_id="tplv_0")
    with fails("not_found", 404):
        await sdk(client.sandboxes.create, template_version_id="nonsense")


async def test_lifetimes_outside_of_the_limits_are_refused(sdk, client, fails):
    for ttl in (0, -1):
        with fails("invalid_request", 400, "ttlMs"):
            await sdk(client.sandboxes.create, ttl_ms=ttl)
    for ttl in ("soon", 1.5, True):
        with fails("invalid_request", 400, "ttlMs"):
            await sdk(client.sandboxes.create, ttl_ms=ttl)
    with fails("sandbox_ttl_exceeded", 400, "ttlMs"):
        await sdk(client.sandboxes.create, ttl_ms=HOUR + 1)


async def test_a_lifetime_ends_the_sandbox(sdk, client, fails):
    sandbox = await sdk(client.sandboxes.create, ttl_ms=1500)
    assert sandbox["ttlMs"] == 1500

    async def gone():
        found = await sdk(client.sandboxes.get, sandbox.id)
        return found if found.status == "destroyed" else None

    for _ in range(300):
        if ended := await gone():
            break
        await asyncio.sleep(0.05)
    assert ended["destroyedReason"] == "ttl_expired"
    with fails("sandbox_destroyed", 410):
        await sdk(client.sandboxes.extend, sandbox.id, ttl_ms=HOUR)
    with fails("sandbox_destroyed", 410):
        await sdk(client.commands.run, sandbox.id, "true")


async def test_metadata_is_kept_and_bounded(sdk, client, fails):
    full = {f"key-{n}.ü": "v" * 200 for n in range(16)}
    sandbox = await sdk(client.sandboxes.create, metadata=full)
    assert sandbox["metadata"] == full
    assert (await sdk(client.sandboxes.get, sandbox.id))["metadata"] == full
    found = await sdk(client.sandboxes.list, metadata=full)
    assert [one["id"] for one in found] == [sandbox.id]
    await sdk(client.sandboxes.kill, sandbox.id)
    for code, metadata in [
        ("metadata_too_many_keys", {f"k{n}": "" for n in range(17)}),
        ("invalid_metadata_key", {"k" * 65: "v"}),
        ("invalid_metadata_key", {"": "v"}),
        ("invalid_metadata_value", {"k": "v" * 513}),
        ("invalid_metadata_value", {"k": 7}),
        ("metadata_too_large", {f"k{n}": "v" * 500 for n in range(9)}),
    ]:
        with fails(code, 400):
            await sdk(client.sandboxes.create, metadata=metadata)


async def test_lists_show_live_ones_newest_first_and_filter_by_labels(sdk, client, server):
    label = f"lists-{sdk.name}"
    made = []
    for n in range(3):
        metadata = {"suite": label, "part.of": f"{n % 2} &="}
        made.append(await sdk(client.sandboxes.create, metadata=metadata))
    ids = [one.id for one in reversed(made)]
    found = await sdk(client.sandboxes.list, metadata={"suite": label})
    assert [one["id"] for one in found] == ids
    found = await sdk(client.sandboxes.list, metadata={"suite": label, "part.of": "0 &="})
    assert [one["id"] for one in found] == [ids[0], ids[2]]
    assert await sdk(client.sandboxes.list, metadata={"suite": label, "part.of": "2"}) == []
    assert set(ids) <= {one["id"] for one in await sdk(client.sandboxes.list)}
    pages, cursor = [], None
    while True:
        query = {"limit": 2, "metadata.suite": label} | ({"cursor": cursor} if cursor else {})
        page = server.native("GET", "/crownest/v1/sandboxes", params=query).json()
        pages.append([one["id"] for one in page["data"]])
        cursor = page.get("nextCursor")
        assert page["hasMore"] == (cursor is not None)
        if cursor is None:
            break
    assert pages == [ids[:2], ids[2:]]
    await sdk(client.sandboxes.kill, ids[0])
    found = await sdk(client.sandboxes.list, metadata={"suite": label})
    assert [one["id"] for one in found] == ids[1:]
    query = {"include": "historical", "metadata.suite": label}
    page = server.native("GET", "/crownest/v1/sandboxes", params=query).json()
    assert [one["id"] for one in page["data"]] == ids
    assert page["data"][0]["status"] == "destroyed"
    for one in ids[1:]:
        await sdk(client.sandboxes.kill, one)


async def test_list_parameters_are_checked(server):
    for query in ({"limit": 0}, {"limit": 101}, {"limit": "x"}, {"cursor": "??"}, {"include": "x"}):
        answer = server.native("GET", "/crownest/v1/sandboxes", params=query)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


async def test_projects_of_sandboxes(sdk, client, server, fails):
    other = await sdk(client.projects.create, name=f"other-{sdk.name}")
    sandbox = await sdk(client.sandboxes.create, project_id=other["id"])
    assert sandbox["projectId"] == other["id"]
    query = {"projectId": other["id"]}
    page = server.native("GET", "/crownest/v1/sandboxes", params=query).json()
    assert [one["id"] for one in page["data"]] == [sandbox.id]
    own = await sdk(client.sandboxes.create)
    page = server.native("GET", "/crownest/v1/sandboxes", params={"projectId": own["projectId"]})
    assert sandbox.id not in {one["id"] for one in page.json()["data"]}
    for one in (sandbox, own):
        await sdk(client.sandboxes.kill, one.id)
    for nobody in ("prj_0", "nonsense"):
        with fails("not_found", 404):
            await sdk(client.sandboxes.create, project_id=nobody)


async def test_status_tells_whether_a_command_runs(sdk, client, sandbox):
    async def status():
        return (await sdk(client.sandboxes.get, sandbox.id)).status

    assert await status() == "ready"
    command = await sdk(client.commands.start, sandbox.id, "sleep 60")
    assert await status() == "running"
    listed = await sdk(client.sandboxes.list)
    assert next(one for one in listed if one["id"] == sandbox.id)["status"] == "running"
    await sdk(client.commands.cancel, command["id"], mode="force")
    async for _ in sdk.each(client.commands.stream_logs, command["id"]):
        pass
    assert await status() == "idle"


async def test_extend_sets_the_lifetime_anew_also_shorter(sdk, client, sandbox, fails):
    before = datetime.datetime.now(datetime.timezone.utc)
    longer = await sdk(client.sandboxes.extend, sandbox.id, ttl_ms=2 * HOUR)
    assert longer["ttlMs"] == 2 * HOUR
    left = moment(longer["expiresAt"]) - before
    assert datetime.timedelta(minutes=119) < left < datetime.timedelta(minutes=121)
    shorter = await sdk(sandbox.extend, ttl_ms=60_000)
    assert shorter["ttlMs"] == 60_000 and shorter["expiresAt"] < longer["expiresAt"]
    assert (await sdk(client.sandboxes.get, sandbox.id))["expiresAt"] == shorter["expiresAt"]
    with fails("invalid_request", 400, "ttlMs"):
        await sdk(client.sandboxes.extend, sandbox.id, ttl_ms=0)
    with fails("sandbox_ttl_exceeded", 400, "ttlMs"):
        await sdk(client.sandboxes.extend, sandbox.id, ttl_ms=169 * HOUR)
    with fails("not_found", 404):
        await sdk(client.sandboxes.extend, "sbx_0", ttl_ms=1000)


async def test_kill_is_final_and_idempotent(sdk, client, fails):
    sandbox = await sdk(client.sandboxes.create)
    command = await sdk(client.commands.start, sandbox.id, "echo kept; sleep 600")
    killed = await sdk(client.sandboxes.kill, sandbox.id)
    assert isinstance(killed, dict)
    assert (killed["status"], killed["destroyedReason"]) == ("destroyed", "user_killed")
    assert await sdk(client.sandboxes.kill, sandbox.id) == killed
    again = await sdk(sandbox.kill)
    assert again["destroyedAt"] == killed["destroyedAt"]
    assert (await sdk(client.sandboxes.get, sandbox.id)).to_dict() == killed
    events = [event async for event in sdk.each(client.commands.stream_logs, command["id"])]
    ended = events[-1]["command"]
    assert (ended["status"], ended["killedReason"]) == ("killed", "sandbox_destroyed")
    assert ended == await sdk(client.commands.get, command["id"])
    assert "exitCode" not in ended
    for call, args in [
        (client.commands.run, ("true",)),
        (client.commands.start, ("true",)),
        (client.files.read, ("a",)),
        (client.files.write, ("a", "b")),
        (client.files.list, ()),
        (client.files.stat, ("a",)),
        (client.files.mkdir, ("a",)),
        (client.files.move, ("a", "b")),
        (client.files.delete, ("a",)),
    ]:
        with fails("sandbox_destroyed", 410):
            await sdk(call, sandbox.id, *args)


async def test_what_does_not_exist_is_not_found(sdk, client, fails):
    for nobody in ("sbx_doesnotexist", "nonsense", "cmd_1"):
        with fails("not_found", 404):
            await sdk(client.sandboxes.get, nobody)
        with fails("not_found", 404):
            await sdk(client.sandboxes.kill, nobody)
        with fails("not_found", 404):
            await sdk(client.commands.run, nobody, "true")
        with fails("not_found", 404):
            await sdk(client.files.read, nobody, "a")


async def test_backups_are_not_offered(sdk, client, fails):
    with fails("feature_not_enabled", 403):
        await sdk(client.sandboxes.create, restore_from="bkp_1")


async def test_over_the_quota_is_quota_exceeded(sdk, client, server, fails):
    small = await sdk(client.projects.create, name=f"small-{sdk.name}")
    quota = {"live_sandboxes": 1}
    changed = server.native("PATCH", f"/v1/projects/{small['id']}", json={"quota": quota})
    assert changed.status_code == 200, changed.text
    only = await sdk(client.sandboxes.create, project_id=small["id"])
    with fails("quota_exceeded", 429):
        await sdk(client.sandboxes.create, project_id=small["id"])
    await sdk(client.sandboxes.kill, only.id)
    another = await sdk(client.sandboxes.create, project_id=small["id"])
    await sdk(client.sandboxes.kill, another.id)
