"""What the suites of gateways have in common: a server that reaches an upstream, and calls from inside."""

import contextlib
import json

from server import Server
from upstream import PUBLIC, upstream

VALUE = "s3cr3t-that-nobody-inside-sees"

#: Runs inside: one line of JSON for each call.
CLIENT = r"""
import http.client, json, os, socket, sys, urllib.parse
def call(path=None, method='GET', body=None, headers={}, token=None, var='API', url=None, name='authorization'):
    url = urllib.parse.urlsplit(url or os.environ.get(var + '_URL') or os.environ['RL_MCP_URL'])
    token = os.environ.get(var, '') if token is None else token
    connection = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=60)
    given = {name: ('Bearer ' if name == 'authorization' else '') + token} if token else {}
    connection.request(method, url.path + path if path else url.path or '/', body, {**given, **headers})
    answer = connection.getresponse()
    text = answer.read().decode()
    try: text = json.loads(text)
    except ValueError: pass
    return answer.status, text, {name.lower(): value for name, value in answer.getheaders()}
def raw(text, host='gateway.pinfold.internal', port=80):
    connection = socket.create_connection((host, port), timeout=30)
    connection.sendall(text.encode())
    data = b''
    while part := connection.recv(65536): data += part
    return data.decode()
def mcp(message, headers={}, var='TOOLS', **more):
    body = message if isinstance(message, (str, bytes)) else json.dumps(message)
    headers = {'content-type': 'application/json', 'accept': 'application/json, text/event-stream', **headers}
    return call(None, 'POST', body, headers, var=var, **more)
def tool(name, id=1, **more):
    return {'jsonrpc': '2.0', 'id': id, 'method': 'tools/call', 'params': {'name': name, 'arguments': {}}}
def tried(what, *args, **more):
    try: gave = what(*args, **more)
    except Exception as error: gave = f'{type(error).__name__}: {error}'
    print(json.dumps(gave))
"""


@contextlib.contextmanager
def reaching(directory):
    """A server whose machine trusts the upstream, and asks its name server."""
    with upstream(directory / "upstream") as certificate:
        environment = {"SSL_CERT_FILE": certificate}
        server = Server(directory / "server", "--name-server", PUBLIC, environment=environment)
        server.start()
        try:
            yield server
        finally:
            server.stop()


async def program(sdk, devbox, source):
    result = await sdk(devbox.cmd.exec, command=f"python3 - <<'END'\n{CLIENT}{source}\nEND")
    out, errors = await sdk(result.stdout), await sdk(result.stderr)
    assert result.exit_code == 0, errors
    assert VALUE not in out and VALUE not in errors
    return [json.loads(line) for line in out.splitlines()]


async def calls(sdk, devbox, *lines, what="call"):
    """What each call gave: status, body, headers; or the words of an exception."""
    return await program(sdk, devbox, "".join(f"tried({what}, {line})\n" for line in lines))


#: Follows streams, a file for each with what has come of it; a second line says how it ended.
FOLLOWER = r"""
import threading
def follow(name, first, host='gateway.pinfold.internal'):
    connection = socket.create_connection((host, 80), timeout=60)
    connection.sendall(first.encode())
    with open('/tmp/' + name, 'wb', 0) as seen:
        try:
            while part := connection.recv(65536):
                seen.write(part)
        except OSError:
            pass
    open('/tmp/' + name + '.over', 'w').close()
def all(**streams):
    for name, first in streams.items():
        threading.Thread(target=follow, args=(name, *first)).start()
"""


async def follow(sdk, devbox, source):
    """Begins to follow streams in the background: `source` calls `all`."""
    script = f"cat > /tmp/follow.py <<'END'\n{CLIENT}{FOLLOWER}{source}\nEND\n"
    await shell(sdk, devbox, script + "nohup python3 /tmp/follow.py > /tmp/follow.log 2>&1 &")


async def comes(sdk, devbox, condition):
    """Waits inside until the shell's condition holds."""
    wait = f"for n in $(seq 600); do if {condition}; then exit; fi; sleep 0.05; done; exit 1"
    result = await sdk(devbox.cmd.exec, command=wait)
    assert result.exit_code == 0, (condition, await shell(sdk, devbox, "cat /tmp/follow.log"))


async def goes_on(sdk, devbox, *names):
    """Each of them has more than it had."""
    for name in names:
        size = (await shell(sdk, devbox, f"stat -c %s /tmp/{name}")).strip()
        await comes(sdk, devbox, f"test $(stat -c %s /tmp/{name}) -gt {size}")
        assert (await shell(sdk, devbox, f"ls /tmp/{name}.over 2>/dev/null")) == "", name


async def shell(sdk, devbox, command):
    result = await sdk(devbox.cmd.exec, command=command)
    return await sdk(result.stdout)
