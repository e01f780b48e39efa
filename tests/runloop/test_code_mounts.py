"""Repositories in devboxes, and where the tokens of private ones are not."""

import base64
import subprocess
import time

import httpx
import pytest
from githost import PUBLIC, githost
from runloop_api_client import BadRequestError
from server import KEY, Server

pytestmark = pytest.mark.anyio

TOKEN = "ghp-n0body-but-the-cl0ne-has-this"
# What a password looks like on its way.
ENCODED = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()


@pytest.fixture(scope="module")
def hosted(tmp_path_factory):
    """A server whose sandboxes reach the host of repositories."""
    with githost(tmp_path_factory.mktemp("githost"), TOKEN) as commit:
        directory = tmp_path_factory.mktemp("hosted")
        server = Server(directory, "--name-server", PUBLIC).start()
        server.directory, server.commit = directory, commit
        yield server
        server.stop()


@pytest.fixture
async def client(sdk, hosted):
    client = sdk.client(bearer_token=KEY, base_url=hosted.base_url, timeout=60)
    yield client
    await sdk.close(client)


@pytest.fixture
async def launch(sdk, client):
    policy = await sdk(client.network_policy.create, name="git", allow_all=True)
    yield {"network_policy_id": policy.id}
    await sdk(policy.delete)


# The host proves itself to nobody here.
INSECURE = {"GIT_SSL_NO_VERIFY": "1"}


def mount(owner="private", **more):
    return {"type": "code_mount", "repo_owner": owner, "repo_name": "code", **more}


def on_disk(directory, text):
    """Files of the server that hold it: records, journals, logs. Disks are looked through inside."""
    line = ["grep", "-rlaF", "--exclude=.pool.*", "-e", text, str(directory)]
    return subprocess.run(line, capture_output=True, text=True).stdout.split()


async def text(sdk, devbox, command):
    result = await sdk(devbox.cmd.exec, command=command)
    return await sdk(result.stdout)


async def test_repositories_are_cloned_with_a_token_and_without(sdk, client, launch):
    mounted = mount(token=TOKEN, git_ref="other", install_command="cp file ../installed")
    devbox = await sdk(
        client.devbox.create,
        mounts=[mounted],
        environment_variables=INSECURE,
        launch_parameters=launch,
    )
    assert await text(sdk, devbox, "cat code/file installed") == "of other\nof other\n"
    await sdk(devbox.shutdown)
    plain = {name: value for name, value in mount("open").items() if name != "type"}
    devbox = await sdk(
        client.devbox.create,
        code_mounts=[plain],
        environment_variables=INSECURE,
        launch_parameters=launch,
    )
    assert await text(sdk, devbox, "cat code/file; git -C code branch") == "of main\n* main\n"
    await sdk(devbox.shutdown)


async def test_a_token_is_nowhere_but_in_its_clone(sdk, client, hosted, launch):
    # What runs after the clone looks for it: it may be anybody's code.
    look = "tr '\\0' '\\n' < /proc/self/environ > ../seen; cat /proc/[0-9]*/environ >> ../seen; true"
    devbox = await sdk(
        client.devbox.create,
        mounts=[mount(token=TOKEN, install_command=look)],
        environment_variables=INSECURE,
        launch_parameters={**launch, "launch_commands": ["env > of-launch"]},
    )
    assert "PATH=" in await text(sdk, devbox, "cat seen")
    # In pieces and from a descriptor, so that the search does not find itself.
    parts = " ".join(part for what in (TOKEN, ENCODED) for part in (what[:9], what[9:]))
    pieces = f"grep -rslF -f <(printf '%s%s\\n' {parts})"
    assert await text(sdk, devbox, f"{pieces} $HOME /tmp /var/tmp /etc /run") == ""
    assert await text(sdk, devbox, f"{pieces} /proc/[0-9]*/environ /proc/[0-9]*/cmdline") == ""
    assert "private/code.git" in await text(sdk, devbox, "cat code/.git/config")
    views = [
        (await sdk(devbox.get_info)).to_json(),
        (await sdk(client.api.devboxes.logs.list, devbox.id)).to_json(),
    ]
    native = devbox.id.replace("dbx_", "sbx_")
    headers = {"authorization": f"Bearer {KEY}"}
    for path in (f"/v1/sandboxes/{native}", f"/v1/sandboxes/{native}/commands", "/v1/audit"):
        reply = httpx.get(hosted.url + path, headers=headers)
        assert reply.status_code == 200, path
        views.append(reply.text)
    for view in views:
        assert TOKEN not in view and ENCODED not in view
    assert on_disk(hosted.directory, devbox.id[4:]), "the search finds what is there"
    for secret in (TOKEN, ENCODED):
        assert on_disk(hosted.directory, secret) == []
    await sdk(devbox.shutdown)


async def test_a_blueprint_has_what_was_cloned_and_no_token(sdk, client, hosted, launch):
    name = f"of-code-{time.time_ns()}"
    mounted = {"repo_owner": "private", "repo_name": "code", "token": TOKEN}
    look = 'cat file > ../installed; env > ../seen; test -z "$PINFOLD_GIT_TOKEN"'

    async def built():
        return await sdk(
            client.blueprint.create,
            name=name,
            dockerfile="FROM host\nENV GIT_SSL_NO_VERIFY=1\n",
            code_mounts=[{**mounted, "install_command": look}],
            system_setup_commands=["cat code/file installed > both"],
            **launch,
        )

    blueprint = await built()
    parameters = (await sdk(blueprint.get_info)).parameters
    assert parameters.system_setup_commands == ["cat code/file installed > both"]
    (said,) = parameters.code_mounts
    assert (said.repo_owner, said.repo_name, said.token) == ("private", "code", None)
    devbox = await sdk(blueprint.create_devbox)
    assert await text(sdk, devbox, "cat both; stat -c %U code") == "of main\nof main\nuser\n"
    parts = " ".join(part for what in (TOKEN, ENCODED) for part in (what[:9], what[9:]))
    pieces = f"grep -rslF -f <(printf '%s%s\\n' {parts})"
    assert await text(sdk, devbox, f"{pieces} $HOME /tmp /var/tmp /etc /run") == ""
    await sdk(devbox.shutdown)
    logs = await sdk(blueprint.logs)
    assert "# clone private/code" in [line.message for line in logs.logs]
    for shown in (logs, await sdk(blueprint.get_info)):
        assert TOKEN not in shown.to_json() and ENCODED not in shown.to_json()
    for secret in (TOKEN, ENCODED):
        assert on_disk(hosted.directory, secret) == []
    # What is cloned may have changed, so no build takes it from another.
    hosted.commit("changed")
    again = await built()
    devbox = await sdk(again.create_devbox)
    assert await text(sdk, devbox, "cat both") == "changed\nchanged\n"
    await sdk(devbox.shutdown)
    hosted.commit("of main")
    for one in (again, blueprint):
        await sdk(one.delete)


async def test_a_redirect_leads_no_token_to_another_host(sdk, client, launch):
    devbox = await sdk(
        client.api.devboxes.create,
        mounts=[mount("moved", token=TOKEN)],
        environment_variables=INSECURE,
        launch_parameters=launch,
    )
    with pytest.raises(Exception, match="failure"):
        await sdk(client.api.devboxes.await_running, devbox.id)
    devbox = await sdk(client.devbox.create, launch_parameters=launch)
    told = await text(sdk, devbox, "curl -sk https://github.com/told")
    assert "thief" not in told and (not told or ENCODED in told)
    await sdk(devbox.shutdown)


async def test_helpers_of_the_image_are_told_nothing(sdk, client, launch):
    """A helper that writes down what it is told, as `store` does."""
    config = "[credential]\n\thelper = store\n"
    devbox = await sdk(
        client.devbox.create,
        mounts=[
            {"type": "file_mount", "target": "/home/user/.gitconfig", "content": config},
            mount(token=TOKEN),
        ],
        environment_variables=INSECURE,
        launch_parameters=launch,
    )
    assert await text(sdk, devbox, "cat code/file; ls .git-credentials 2>/dev/null") == "of main\n"
    await sdk(devbox.shutdown)


async def test_a_wrong_token_fails_the_devbox_and_is_not_told(sdk, client, hosted, launch):
    wrong = "ghp-wr0ng-one-that-nobody-shows"
    devbox = await sdk(
        client.api.devboxes.create,
        mounts=[mount(token=wrong)],
        environment_variables=INSECURE,
        launch_parameters=launch,
    )
    with pytest.raises(Exception, match="failure"):
        await sdk(client.api.devboxes.await_running, devbox.id)
    native = devbox.id.replace("dbx_", "sbx_")
    headers = {"authorization": f"Bearer {KEY}"}
    shown = httpx.get(f"{hosted.url}/v1/sandboxes/{native}", headers=headers).text
    assert "github.com" in shown and wrong not in shown


async def test_tokens_that_would_be_more_than_one_line_are_refused(sdk, client, refused):
    with refused(BadRequestError, 400) as caught:
        await sdk(client.api.devboxes.create, mounts=[mount(token="ghp\nusername=other")])
    assert "username=other" not in caught.value.body["message"]
