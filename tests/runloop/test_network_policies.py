"""Network policies, and the devboxes and builds that they hold."""

import time

import pytest
from outside import PUBLIC, outside
from runloop_api_client import BadRequestError, ConflictError, NotFoundError
from sdk import VERSION
from server import KEY, Server

pytestmark = pytest.mark.anyio

# What leads to the outside, and whether it does.
REACH = """python3 - <<'END'
import urllib.request
for host in ("a.outside.test", "b.other.outside.test", "%s"):
    try: print(urllib.request.urlopen("http://" + host, timeout=30).read().decode())
    except OSError as error: print("no")
END""" % PUBLIC


@pytest.fixture(scope="module")
def policed(tmp_path_factory):
    """A server whose sandboxes can reach an outside."""
    with outside():
        server = Server(tmp_path_factory.mktemp("policed"), "--name-server", PUBLIC).start()
        yield server
        server.stop()


@pytest.fixture
async def outer(sdk, policed):
    client = sdk.client(bearer_token=KEY, base_url=policed.base_url, timeout=60)
    yield client
    await sdk.close(client)


async def reached(sdk, devbox):
    result = await sdk(devbox.cmd.exec, command=REACH)
    return (await sdk(result.stdout)).split()


async def test_policies_are_made_changed_listed_and_deleted(sdk, runloop, refused):
    name = f"policy-{time.time_ns()}"
    hosts = ["GitHub.com", "*.npmjs.org"]
    made = await sdk(
        runloop.network_policy.create, name=name, description="web", allowed_hostnames=hosts
    )
    info = await sdk(made.get_info)
    assert info.id == made.id and info.id.startswith("np_")
    assert (info.name, info.description) == (name, "web")
    assert info.egress.allowed_hostnames == hosts and not info.egress.allow_all
    assert info.create_time_ms == info.update_time_ms
    changed = await sdk(made.update, allow_all=True, description="all")
    assert changed.egress.allow_all and changed.egress.allow_devbox_to_devbox
    assert changed.egress.allowed_hostnames == hosts and changed.name == name
    changed = await sdk(made.update, allow_all=False, allowed_hostnames=[])
    assert changed.egress.allowed_hostnames == [] and changed.description == "all"
    # A name is a label.
    other = await sdk(runloop.network_policy.create, name=name)
    listed = await sdk(runloop.network_policy.list, name=name[2:])
    assert [one.id for one in listed] == [other.id, made.id]
    page = await sdk(runloop.api.network_policies.list, name=name, limit=1)
    assert [one.id for one in page.network_policies] == [other.id]
    everything = page.iter_pages()
    pages = [one async for one in everything] if sdk.name == "async" else list(everything)
    assert [one.id for each in pages for one in each.network_policies] == [other.id, made.id]
    for one in (made, other):
        gone = await sdk(one.delete)
        assert gone.id == one.id
        with refused(NotFoundError, 404):
            await sdk(one.get_info)
    with refused(NotFoundError, 404):
        await sdk(runloop.api.devboxes.create, launch_parameters={"network_policy_id": made.id})
    for bad in ({"name": ""}, {"name": "n", "allowed_hostnames": ["https://a.example"]}):
        with refused(BadRequestError, 400):
            await sdk(runloop.api.network_policies.create, **bad)


@pytest.mark.skipif(VERSION < (3, 0), reason="this SDK knows no blocks of addresses")
async def test_blocks_and_gateways_are_kept_as_they_were_given(sdk, runloop, refused):
    cidrs = [
        {"cidr": "10.12.0.0/16", "ports": [{"port": 443, "protocol": "TCP"}]},
        {"cidr": "192.0.2.0/24"},
    ]
    made = await sdk(
        runloop.network_policy.create,
        name="blocks",
        allowed_cidrs=cidrs,
        allow_mcp_gateway=True,
        allow_runloop_mirrors=True,
    )
    egress = (await sdk(made.get_info)).egress
    assert [one.to_dict() for one in egress.allowed_cidrs] == cidrs
    assert egress.allow_mcp_gateway and egress.allow_runloop_mirrors
    assert not egress.allow_agent_gateway
    udp = [{"cidr": "192.0.2.0/24", "ports": [{"port": 53, "protocol": "UDP"}]}]
    with refused(BadRequestError, 400) as caught:
        await sdk(made.update, allowed_cidrs=udp)
    assert "only TCP" in caught.value.body["message"]
    await sdk(made.delete)


async def test_a_devbox_reaches_what_its_policy_allows_also_when_that_changes(sdk, outer):
    policy = await sdk(
        outer.network_policy.create, name="some", allowed_hostnames=["a.outside.test"]
    )
    launch = {"network_policy_id": policy.id}
    devbox = await sdk(outer.devbox.create, launch_parameters=launch)
    assert (await sdk(devbox.get_info)).launch_parameters.network_policy_id == policy.id
    assert await reached(sdk, devbox) == ["here", "no", "no"]
    await sdk(policy.update, allowed_hostnames=["*.other.outside.test"])
    assert await reached(sdk, devbox) == ["no", "here", "no"]
    await sdk(policy.update, allow_all=True)
    assert await reached(sdk, devbox) == ["here", "here", "here"]
    await sdk(policy.update, allow_all=False, allowed_hostnames=[])
    assert await reached(sdk, devbox) == ["no", "no", "no"]
    with pytest.raises(ConflictError):
        await sdk(policy.delete)
    await sdk(devbox.shutdown)
    await sdk(policy.delete)


async def test_a_blueprint_is_built_under_one_policy_and_hands_on_another(sdk, outer):
    shut = await sdk(outer.network_policy.create, name="shut")
    wide = await sdk(outer.network_policy.create, name="wide", allow_all=True)
    reach = REACH.split("\n", 1)[1].rsplit("\n", 1)[0]
    blueprint = await sdk(
        outer.blueprint.create,
        name=f"policed-{time.time_ns()}",
        dockerfile=f"FROM host\nRUN python3 - > /reached <<END\n{reach}\nEND\n",
        network_policy_id=shut.id,
        launch_parameters={"network_policy_id": wide.id},
    )
    info = await sdk(blueprint.get_info)
    assert info.parameters.network_policy_id == shut.id
    devbox = await sdk(blueprint.create_devbox)
    result = await sdk(devbox.cmd.exec, command="cat /reached")
    assert (await sdk(result.stdout)).split() == ["no", "no", "no"]
    assert await reached(sdk, devbox) == ["here", "here", "here"]
    await sdk(devbox.shutdown)
    own = await sdk(blueprint.create_devbox, launch_parameters={"network_policy_id": shut.id})
    assert await reached(sdk, own) == ["no", "no", "no"]
    await sdk(own.shutdown)
    await sdk(blueprint.delete)
    for policy in (shut, wide):
        await sdk(policy.delete)
