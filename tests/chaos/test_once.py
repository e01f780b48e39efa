"""One idempotency key, one sandbox, one run: through duplicates, cut connections and kills."""

from __future__ import annotations

import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from crowd import insist
from proxy import Cut, Proxy
from support.server import Server
from wire import Answer, Caller

DUPLICATES = 100
SMALL = {"image": "host", "memory_mib": 256, "disk_mib": 64, "pids": 64}
#: Leaves a line each time it runs.
RUN = 'echo ran >> "$KEY.ran"; echo "$KEY"'


def at_once(ask: Any) -> list[Answer]:
    """The same request, from all at the same moment."""
    ready = threading.Barrier(DUPLICATES)

    def one(_: int) -> Answer:
        ready.wait()
        return ask()

    with ThreadPoolExecutor(DUPLICATES) as pool:
        return list(pool.map(one, range(DUPLICATES)))


def check_one_made(answers: list[Answer], key: str = "id") -> str:
    """One answer is of what was made now, all others say that they repeat it; its id."""
    assert sorted(answer.status for answer in answers) == [200] * (DUPLICATES - 1) + [201]
    repeated = [answer for answer in answers if answer.headers.get("idempotent-replay") == "true"]
    assert len(repeated) == DUPLICATES - 1
    assert all(answer.status == 200 for answer in repeated)
    (made,) = {answer.json[key] for answer in answers}
    return str(made)


def check_conflict(answer: Answer) -> None:
    """Refused as another request under a key that is taken."""
    assert (answer.status, answer.code) == (409, "idempotency_conflict"), answer.body


def test_a_hundred_equal_requests_at_once_make_one_sandbox_and_one_run(caller: Caller) -> None:
    """Over a hundred connections: creating, starting, and running with its output.

    Another payload under the same key is a conflict, and nothing is made. The same key names other
    requests in another sandbox and for another operation.

    Seen to fail: with idempotency keys ignored by the engine.
    """
    create = {**SMALL, "metadata": {"of": "hundred"}}
    box = check_one_made(at_once(lambda: caller.call("POST", "/v1/sandboxes", create, "k")))
    listed = caller.good("GET", "/v1/sandboxes?limit=500")["items"]
    assert [each["id"] for each in listed] == [box]
    check_conflict(caller.call("POST", "/v1/sandboxes", {**create, "memory_mib": 257}, "k"))

    path = f"/v1/sandboxes/{box}/commands"
    start = {"shell": RUN, "env": {"KEY": "start"}}
    command = check_one_made(at_once(lambda: caller.call("POST", path, start, "k")))
    assert caller.ended(command)["exit_code"] == 0
    check_conflict(caller.call("POST", path, {**start, "env": {"KEY": "other"}}, "k"))

    path = f"/v1/sandboxes/{box}/run"
    run = {"shell": RUN, "env": {"KEY": "run"}}
    answers = at_once(lambda: caller.call("POST", path, run, "k"))
    assert {answer.status for answer in answers} == {200}
    assert len({json.dumps(answer.json, sort_keys=True) for answer in answers}) == 1
    assert answers[0].json["stdout"] == "run\n"
    check_conflict(caller.call("POST", path, {**run, "env": {"KEY": "other"}}, "k"))

    assert caller.sh(box, "cat start.ran run.ran")["stdout"] == "ran\nran\n"
    assert len(caller.good("GET", "/v1/sandboxes?limit=500")["items"]) == 1
    another = caller.create()
    made = caller.call("POST", f"/v1/sandboxes/{another}/commands", start, "k")
    assert made.status == 201 and made.json["id"] != command
    # What has ended is answered as it ended.
    caller.destroy(box)
    again = caller.call("POST", "/v1/sandboxes", create, "k")
    assert (again.status, again.json["id"], again.json["state"]) == (200, box, "destroyed")


def test_a_duplicate_of_what_is_under_way_waits_for_the_same_end(caller: Caller) -> None:
    """`commands` answers at once with the command as it is; `run` waits for the one run.

    Seen to fail: with idempotency keys ignored by the engine.
    """
    box = caller.create()
    spec = {"shell": 'echo ran >> ran; while ! test -e go; do sleep 0.05; done; echo "$RANDOM$$"'}
    path = f"/v1/sandboxes/{box}/commands"
    first = caller.call("POST", path, spec, "k")
    again = caller.call("POST", path, spec, "k")
    assert (first.status, again.status) == (201, 200)
    assert first.json["id"] == again.json["id"]
    assert (again.json["state"], again.json["exit_code"]) == ("running", None)
    with ThreadPoolExecutor(2) as pool:
        path = f"/v1/sandboxes/{box}/run"
        waiting = [pool.submit(caller.call, "POST", path, spec, "k") for _ in range(2)]
        # Both are told of the one command, which is there before either is answered.
        caller.sh(box, "until test $(grep -c ran ran) = 2; do sleep 0.05; done; touch go")
        one, other = (each.result() for each in waiting)
    assert one.json == other.json and one.json["stdout"].strip()
    assert caller.sh(box, "cat ran")["stdout"] == "ran\nran\n"


class Asked:
    """Creates and runs, each with a key of its own; how often each ran is looked at in the end."""

    def __init__(self, caller: Caller, box: str) -> None:
        self.caller, self.box = caller, box
        self.created: dict[str, str] = {}
        self.ran: list[str] = []

    def create(self, key: str, by: Caller) -> None:
        """Until it is answered."""
        value = {**SMALL, "metadata": {"key": key}}
        answer = insist(lambda: by.call("POST", "/v1/sandboxes", value, once=key))
        assert answer.status in (200, 201), answer.body
        self.created[key] = answer.json["id"]

    def run(self, key: str, by: Caller) -> None:
        """Until it is answered, with its output."""
        path = f"/v1/sandboxes/{self.box}/run"
        value = {"shell": RUN, "env": {"KEY": key}}
        answer = insist(lambda: by.call("POST", path, value, once=key))
        assert answer.status == 200, answer.body
        assert answer.json["stdout"] == f"{key}\n" and answer.json["command"]["exit_code"] == 0
        self.ran.append(key)

    def check(self) -> None:
        """Each once: by what is recorded, and by what was left inside."""
        listed = self.caller.good("GET", "/v1/sandboxes?limit=500")["items"]
        made = {each["metadata"]["key"]: each["id"] for each in listed if each["metadata"]}
        assert made == self.created and len(listed) == len(made) + 1
        left = self.caller.sh(self.box, "grep -c '' *.ran")["stdout"]
        assert sorted(left.split()) == sorted(f"{key}.ran:1" for key in self.ran)
        path = f"/v1/sandboxes/{self.box}/commands?limit=500"
        listed = self.caller.good("GET", path)["items"]
        assert sum(each["shell"] == RUN for each in listed) == len(self.ran)


def test_requests_that_are_cut_anywhere_and_repeated_happen_once(
    caller: Caller, dice: random.Random
) -> None:
    """In the request, before the answer, in the answer: the caller cannot know what was done.

    Seen to fail: with idempotency keys ignored by the engine.
    """
    asked = Asked(caller, caller.create())

    def where() -> Cut:
        place = dice.random()
        if place < 0.3:
            return dice.randint(0, 500), None
        return None, dice.randint(0, 1200) if place < 0.8 else None

    with Proxy(caller.url, where) as proxy, ThreadPoolExecutor(8) as pool:
        through = caller.via(proxy.url)
        sent = [pool.submit(asked.create, f"made{n}", through) for n in range(8)]
        sent += [pool.submit(asked.run, f"run{n}", through) for n in range(40)]
        for each in sent:
            each.result()
    print(f"{proxy.cuts} cuts")
    assert proxy.cuts > len(sent) // 2
    asked.check()


@pytest.mark.parametrize("server", [0, 4], indirect=True, ids=["cold", "warm"])
def test_requests_repeated_behind_a_kill_of_the_server_happen_once(
    server: Server, caller: Caller, dice: random.Random, rounds: int
) -> None:
    """The server is killed at any moment between the sending and the answers.

    Seen to fail: with idempotency keys ignored by the engine.
    """
    asked = Asked(caller, caller.create())
    for number in range(rounds):
        with ThreadPoolExecutor(10) as pool:
            sent = [pool.submit(asked.create, f"made{number}-{n}", caller) for n in range(3)]
            sent += [pool.submit(asked.run, f"run{number}-{n}", caller) for n in range(7)]
            # The moment is the chance of this test. Too early or late only makes it easier.
            time.sleep(dice.uniform(0, 0.3))
            answered = sum(each.done() for each in sent)
            server.kill()
            server.start()
            for each in sent:
                each.result()
        print(f"round {number}: killed behind {answered} of {len(sent)} answers")
    asked.check()
    for box in asked.created.values():
        caller.destroy(box)


@pytest.mark.parametrize("wrong", ["", "a" * 256, "two\twords"])
def test_what_is_no_idempotency_key_is_refused_before_anything_is_made(
    caller: Caller, wrong: str
) -> None:
    """1 to 255 printable characters: one that is cut short or ignored would not protect anybody.

    Seen to fail: with a key that is one.
    """
    answer = caller.call("POST", "/v1/sandboxes", SMALL, wrong)
    assert (answer.status, answer.code) == (400, "invalid_argument"), answer.body
    assert caller.good("GET", "/v1/sandboxes")["items"] == []
