"""When a request is tried again: only where that cannot do anything twice, and never in step."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.both import files_of
from support.network import answer, scripted
from test_events import COMMAND, head

from pinfold import errors
from pinfold._core import call, retry
from pinfold._core.call import Call
from pinfold._core.retry import LASTING_SECONDS, TRIES, TRIES_WAITING, Tries

HOUR = 3600.0
BROKEN = errors.BrokenConnectionError("cut")
NOBODY = errors.ConnectionFailedError("nobody there")
LATE = errors.AnswerTimeoutError("late")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def started(key: str | None = "k") -> Call[None]:
    """A start that waits, as `run` is."""
    request = call.post("x", read=call.nothing)
    return (request if key is None else request.named(key)).patient()


def count(tries: Tries, error: errors.PinfoldError, lasting: float, clock: Clock, most: int) -> int:
    """How often this failure is followed by another try."""
    for number in range(most):
        tries.begin()
        clock.now += lasting
        if tries.pause(error) is None:
            return number
    return most


def test_what_waits_for_a_command_outlasts_any_number_of_long_connections() -> None:
    clock = Clock()
    tries = Tries(started(), clock, clock)
    assert count(tries, BROKEN, LASTING_SECONDS, clock, 500) == 500
    # Those that break at once are of a server that is not there.
    assert count(tries, BROKEN, 0.1, clock, 500) == TRIES_WAITING - 2
    # A silent one is not at work.
    tries = Tries(started(), clock, clock)
    assert count(tries, LATE, LASTING_SECONDS, clock, 500) == TRIES_WAITING - 1


def test_other_requests_have_their_few_tries_however_long_each_takes() -> None:
    clock = Clock()
    tries = Tries(call.get("x", read=call.nothing), clock, clock)
    assert count(tries, BROKEN, 60.0, clock, 500) == TRIES - 1
    once = Tries(call.post("x", read=call.nothing).patient(), clock, clock)
    assert count(once, BROKEN, 60.0, clock, 500) == 0


@pytest.mark.parametrize("sleeps", [False, True], ids=["awake", "asleep"])
@pytest.mark.parametrize("error", [BROKEN, NOBODY, LATE])
def test_behind_the_life_of_its_key_a_request_is_not_sent_again(
    error: errors.PinfoldError, sleeps: bool
) -> None:
    clock, wall = Clock(), Clock()
    tries = Tries(started(), clock, wall)
    tries.begin()
    wall.now += 22 * HOUR
    clock.now += 0 if sleeps else 22 * HOUR
    assert tries.pause(error) is not None
    wall.now += 2 * HOUR
    clock.now += 0 if sleeps else 2 * HOUR
    # The server has forgotten the key: the same request would start a second command.
    assert tries.pause(error) is None
    read = Tries(call.get("x", read=call.nothing).patient(), clock, wall)
    read.begin()
    wall.now += 48 * HOUR
    assert read.pause(error) is not None


def test_no_try_begins_behind_the_callers_deadline() -> None:
    clock = Clock()
    tries = Tries(call.get("x", read=call.nothing).patient().by(clock.now + 5), clock, clock)
    tries.begin()
    clock.now += 4.9999
    pause = tries.pause(BROKEN)
    assert pause is not None and pause <= 0.0002
    clock.now += 0.0002
    assert tries.pause(BROKEN) is None


def test_pauses_are_spread_over_a_bound_that_doubles_up_to_its_cap() -> None:
    bounds = [retry.bound(tries) for tries in range(1, 12)]
    assert bounds == sorted(bounds) and bounds[1] == 2 * bounds[0] and bounds[-1] == 5.0
    for tries, bound in enumerate(bounds, 1):
        pauses = [retry.jittered(tries) for _ in range(400)]
        assert all(0 <= pause <= bound for pause in pauses)
        # Full jitter: both ends of the range are met.
        assert min(pauses) < bound / 4 and max(pauses) > bound * 3 / 4


@pytest.mark.parametrize("repeatable", [False, True])
@pytest.mark.parametrize(("code", "status"), [("rate_limited", 429), ("unavailable", 503)])
def test_a_server_that_says_when_to_come_back_is_taken_at_its_word(
    code: str, status: int, repeatable: bool
) -> None:
    told = errors.family(code, status)("m", code=code, status=status, retry_after=7)
    pauses = {retry.pause(told, repeatable, 1, 4) for _ in range(20)}
    assert all(pause is not None and 7 <= pause <= 7.1 for pause in pauses)
    # Not all of those that it sent away at the same moment.
    assert len(pauses) > 1
    late = errors.family(code, status)("m", code=code, status=status, retry_after=61)
    assert retry.pause(late, repeatable, 1, 4) is None


@pytest.mark.parametrize(
    ("code", "status"),
    [("quota_exceeded", 429), ("internal", 500), ("guest_unavailable", 503), ("timeout", 504)],
)
def test_other_words_of_the_server_are_final(code: str, status: int) -> None:
    told = errors.family(code, status)("m", code=code, status=status, retry_after=1)
    assert retry.pause(told, True, 1, 4) is None


async def test_waiting_for_a_command_ends_in_its_time_whatever_the_server_does(
    connect: Callable[..., Any],
) -> None:
    running = json.dumps({**COMMAND, "state": "running", "ended_at": None}).encode()

    def reply(number: int, request: bytes) -> bytes | None:
        return None if b"/wait" in request else head(len(running)) + running

    with scripted(reply) as (url, heads):
        async with connect(url) as client:
            command = await client.command("cmd_1")
            before = time.monotonic()
            with pytest.raises(errors.WaitTimeoutError) as raised:
                await command.wait(timeout=1)
            assert time.monotonic() >= before + 1
    assert isinstance(raised.value.__cause__, errors.BrokenConnectionError)
    assert len(heads) > 2


async def test_texts_that_are_none_are_not_sent(connect: Callable[..., Any]) -> None:
    with scripted(lambda number, request: answer(200, "{}")) as (url, heads):
        async with connect(url) as client:
            files = files_of(client, "sbx_1")
            for act in (
                lambda: files.read("/tmp/\udcff"),
                lambda: files.write("/tmp/x", "\ud800"),
                lambda: client.objects.put("x", "\ud800"),
                lambda: client.objects.put("x", b"", metadata={"\ud800": "x"}),
            ):
                with pytest.raises(errors.ConfigurationError, match="surrogate"):
                    await act()
    assert heads == []
