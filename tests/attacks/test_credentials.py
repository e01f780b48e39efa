"""Credentials that the egress adds: where they go, and that they are nowhere else."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from outside_world import OTHER, outside, policed, policy, seen, tries, trusting
from world import Pinfold, Sandbox

VALUE = "s3cr3t-that-nobody-inside-sees"

#: As any program would: the certificates are those that its environment names.
ASK = """
import http.client, json, ssl, sys
def ask(host, path='/', headers={}, named=None, port=443, method='GET'):
    context = ssl.create_default_context()
    connection = http.client.HTTPSConnection(host, port, timeout=30, context=context)
    connection.request(method, path, headers={**({'host': named} if named else {}), **headers})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()
def tried(call, *args, **more):
    try: gave = call(*args, **more)
    except Exception as error: gave = f'{type(error).__name__}: {error}'
    print(json.dumps(gave))
"""


def asked(sandbox: Sandbox, *calls: str) -> list[Any]:
    result = sandbox.python(ASK + "".join(f"tried(ask, {call})\n" for call in calls))
    assert result["command"]["exit_code"] == 0, result
    assert VALUE not in result["stdout"] and VALUE not in result["stderr"]
    return [json.loads(line) for line in result["stdout"].splitlines()]


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_credential_is_added_on_the_way_out_and_is_nowhere_inside(trusting: Pinfold) -> None:
    trusting.call("PUT", "/v1/secrets/token", json={"value": VALUE})
    bound = {"credentials": [{"secret": "token", "host": "allowed.test"}]}
    rules = policy("allowed.test", "*.wild.test", "other.test")
    with trusting.sandbox(**rules, **bound) as sandbox:
        got = asked(
            sandbox,
            "'allowed.test', '/seen'",
            "'allowed.test', '/seen', {'authorization': 'Bearer mine'}",
            "'allowed.test', '/seen', {}, 'other.test'",
            "'other.test', '/seen'",
        )
        expected = digest_of(f"Bearer {VALUE}")
        assert got[0] == [200, f"authorization={expected}\n"]
        assert got[1] == [200, f"authorization={expected}\n"], "in place of its own"
        assert got[2][0] == 403, "a request to somebody else in a connection to this one"
        assert "CERTIFICATE_VERIFY_FAILED" in got[3], "nobody opens that connection for us"
        plain = tries(sandbox, "web, 'allowed.test', 'allowed.test', '/seen'")
        assert plain == [[200, "authorization=none\n"]], "only where it is bound to: port 443"
        [clear] = tries(sandbox, "web, 'allowed.test', 'allowed.test', '/seen', port=443")
        assert clear[0] == 502 and "TLS only" in clear[1], "not in clear text to whoever listens"
        [traced] = asked(sandbox, "'allowed.test', '/seen', method='TRACE'")
        assert traced[0] == 403, traced
        looked = sandbox.shell(
            "env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; "
            f"grep -rlF {VALUE} /etc /root /tmp /var /run /workspace 2>/dev/null || true"
        )
        assert VALUE not in looked and "/etc/pinfold/certificates.pem" in looked
        # Replaced and deleted while it runs.
        trusting.call("PUT", "/v1/secrets/token", json={"value": VALUE + "2"})
        assert asked(sandbox, "'allowed.test', '/seen'")[0][1].strip().endswith(
            digest_of(f"Bearer {VALUE}2")
        )
        trusting.call("DELETE", "/v1/secrets/token")
        status, words = asked(sandbox, "'allowed.test', '/seen'")[0]
        assert status == 502 and "does not exist" in words and VALUE not in words


def test_a_credential_does_not_follow_forged_names_redirects_or_false_certificates(
    trusting: Pinfold, policed: Pinfold
) -> None:
    for pinfold in (trusting, policed):
        pinfold.call("PUT", "/v1/secrets/bound", json={"value": VALUE})
    bound = {"credentials": [{"secret": "bound", "host": "*.wild.test"}]}
    rules = policy("*.wild.test", "wild.test", "other.test", "0.0.0.0/0")
    with trusting.sandbox(**rules, **bound) as sandbox:
        got = asked(
            sandbox,
            "'a.wild.test', '/seen'",
            "'wild.test', '/seen'",
            "'a.wild.test', '/redirect'",
        )
        assert got[0] == [200, f"authorization={digest_of(f'Bearer {VALUE}')}\n"]
        assert "CERTIFICATE_VERIFY_FAILED" in got[1], "the name itself is not below it"
        assert got[2][0] == 302, "the program follows by itself, to where no credential goes"
        # To an address, under the bound name: nobody there is asked with the secret.
        [forged] = tries(sandbox, f"tls, '{OTHER}', 'a.wild.test', 'a.wild.test'")
        assert VALUE not in str(forged) and digest_of(f"Bearer {VALUE}") not in str(forged)
        # A proxy that the sandbox names is but another place.
        proxied = sandbox.run(
            argv=["python3", "-c", "import urllib.request as u; print(u.urlopen('https://a.wild.test/seen').read())"],
            env={"https_proxy": f"http://{OTHER}:7"},
        )
        assert proxied["command"]["exit_code"] != 0
        assert digest_of(f"Bearer {VALUE}") not in proxied["stdout"]
    # A server whose machine does not trust the outside hands nothing out to it.
    with policed.sandbox(**rules, **bound) as sandbox:
        status, words = asked(sandbox, "'a.wild.test', '/seen'")[0]
        assert status == 502 and VALUE not in words, words


def test_credentials_need_a_policy_and_a_secret(policed: Pinfold) -> None:
    policed.call("PUT", "/v1/secrets/there", json={"value": "x"})
    for wishes, code in (
        ({"credentials": [{"secret": "there", "host": "a.test"}]}, "invalid"),
        ({"network": "open", "credentials": [{"secret": "there", "host": "a.test"}]}, "invalid"),
        ({**policy("*"), "credentials": [{"secret": "none", "host": "a.test"}]}, "secret_not_found"),
    ):
        answer = policed.http.post("/v1/sandboxes", json=wishes)
        assert answer.status_code in (400, 404) and code in answer.text, answer.text
