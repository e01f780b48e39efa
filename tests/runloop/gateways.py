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


async def shell(sdk, devbox, command):
    result = await sdk(devbox.cmd.exec, command=command)
    return await sdk(result.stdout)
