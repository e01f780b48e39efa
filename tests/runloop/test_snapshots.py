"""Disk snapshots."""

import pytest
from runloop_api_client import BadRequestError, NotFoundError

pytestmark = pytest.mark.anyio


async def test_a_devbox_from_a_snapshot_has_its_disk(sdk, runloop, devbox):
    await sdk(devbox.cmd.exec, command="echo kept > ~/file; umask 077; echo too > /tmp/other")
    snapshot = await sdk(
        devbox.snapshot_disk, name="my snapshot", commit_message="Added new features"
    )
    await sdk(devbox.cmd.exec, command="echo changed > ~/file")
    info = await sdk(snapshot.get_info)
    assert info.status == "complete"
    taken = info.snapshot
    assert (taken.name, taken.commit_message) == ("my snapshot", "Added new features")
    assert taken.source_devbox_id == devbox.id and taken.id.startswith("snp_")
    other = await sdk(snapshot.create_devbox, name="devbox-from-snapshot")
    result = await sdk(other.cmd.exec, command="cat ~/file /tmp/other; stat -c %a /tmp/other; id -un")
    assert await sdk(result.stdout) == "kept\ntoo\n600\nuser\n"
    assert (await sdk(other.get_info)).snapshot_id == snapshot.id
    again = await sdk(runloop.devbox.create_from_snapshot, snapshot_id=snapshot.id)
    await sdk(again.shutdown)
    # As in the vendor's guide, a snapshot is deleted while a devbox of it runs, which it needs not mind.
    await sdk(snapshot.delete)
    assert (await sdk(snapshot.get_info)).status == "deleted"
    with pytest.raises(NotFoundError):
        await sdk(snapshot.create_devbox)
    await sdk(other.suspend)
    await sdk(other.await_suspended)
    await sdk(other.resume)
    await sdk(other.await_running)
    result = await sdk(other.cmd.exec, command="cat ~/file")
    assert await sdk(result.stdout) == "kept\n"
    await sdk((await sdk(other.snapshot_disk)).delete)
    await sdk(other.shutdown)


async def test_snapshots_are_listed_described_and_deleted(sdk, runloop, devbox):
    made = [
        await sdk(devbox.snapshot_disk_async, name=f"s{n}", metadata={"n": str(n)})
        for n in range(3)
    ]
    for one in made:
        await sdk(one.await_completed)
    listed = await sdk(runloop.snapshot.list, devbox_id=devbox.id)
    assert [one.id for one in listed] == [one.id for one in reversed(made)]
    api = runloop.api.devboxes.disk_snapshots
    found = await sdk(api.list, devbox_id=devbox.id, extra_query={"metadata[n]": "1"})
    assert [one.id for one in found.snapshots] == [made[1].id]
    found = await sdk(api.list, devbox_id=devbox.id, extra_query={"metadata[n][in]": "0,2"})
    assert [one.id for one in found.snapshots] == [made[2].id, made[0].id]
    page = await sdk(api.list, devbox_id=devbox.id, limit=2)
    assert page.has_more and len(page.snapshots) == 2
    page = await sdk(api.list, devbox_id=devbox.id, starting_after=made[1].id)
    assert [one.id for one in page.snapshots] == [made[0].id]
    changed = await sdk(made[0].update, name="updated", metadata={"version": "v2.0"})
    assert (changed.name, changed.metadata) == ("updated", {"version": "v2.0"})
    changed = await sdk(made[0].update, commit_message="words")
    assert (changed.name, changed.commit_message) == ("updated", "words")
    await sdk(made[0].delete)
    assert (await sdk(made[0].get_info)).status == "deleted"
    with pytest.raises(NotFoundError):
        await sdk(runloop.api.devboxes.create, snapshot_id=made[0].id)
    left = await sdk(runloop.snapshot.list, devbox_id=devbox.id)
    assert [one.id for one in left] == [made[2].id, made[1].id]


async def test_what_is_no_snapshot_is_refused(sdk, runloop, devbox, refused):
    unknown = runloop.snapshot.from_id("snp_nobodys")
    with refused(NotFoundError, 404):
        await sdk(unknown.get_info)
    with refused(BadRequestError, 400):
        await sdk(runloop.api.devboxes.snapshot_disk_async, devbox.id, commit_message="x" * 1001)
    with refused(NotFoundError, 404):
        await sdk(runloop.snapshot.list, devbox_id="dbx_nobodys")
