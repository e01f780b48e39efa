"""Server-sent events in any pieces, and following a journal over connections that end anywhere."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from support.both import files_of
from support.network import scripted

from pinfold import End, Output, errors
from pinfold._core import call, retry, sse
from pinfold._core.journal import BARREN_CONNECTIONS_MAX, Follower
from pinfold._core.sse import Event, Parser
from pinfold.types import Record
from pinfold.types._command import record_from_json

TIME = "2026-01-01T00:00:00Z"
COMMAND = {
    "id": "cmd_1", "sandbox_id": "sbx_1", "project_id": "prj_1", "argv": ["x"], "shell": None,
    "cwd": None, "env_names": [], "user": None, "stdin": "null", "tty": None, "timeout_ms": None,
    "output_cap_bytes": None, "state": "exited", "exit_code": 0, "signal": None, "cancel": None,
    "created_at": TIME, "started_at": TIME, "ended_at": TIME, "last_seq": 4, "truncated": False,
}


def event(kind: str, seq: int, **facts: Any) -> bytes:
    data = json.dumps({"type": kind, "seq": seq, "time": TIME, **facts}, ensure_ascii=False)
    return f"id: {seq}\nevent: {kind}\ndata: {data}\n\n".encode()


def output(seq: int, text: str) -> bytes:
    return event("output", seq, stream="stdout", data=text, encoding="utf8")


# Characters of one to four bytes, a comment, and a record of a kind that nobody knows yet.
JOURNAL = {
    1: output(1, "grün "),
    2: b": heartbeat\n\n" + output(2, "€ 🐑\n"),
    3: event("hologram", 3, shape="round"),
    4: output(4, "last"),
    5: event("end", 5, command=COMMAND),
}
TEXT = "grün € 🐑\nlast"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_events_are_the_same_in_any_two_cuts(end: bytes) -> None:
    text = ": c\nevent: a\ndata: grün €\ndata:🐑\nid: 7\n\ndata: x\n\nevent: lost\n\ndata:  y\n\n"
    stream = text.encode().replace(b"\n", end)
    want = [Event("a", "grün €\n🐑".encode()), Event("", b"x"), Event("", b" y")]
    assert Parser().push(stream) == want
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1):
            parser = Parser()
            got = [*parser.push(stream[:first]), *parser.push(stream[first:second])]
            assert [*got, *parser.push(stream[second:])] == want, (first, second)


def test_an_event_that_has_not_ended_is_none() -> None:
    assert Parser().push(b"event: end\ndata: {}\n") == []


def test_huge_lines_come_through_and_endless_ones_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    huge = b"data: " + b"x" * (8 << 20) + b"\n\n"
    parser, events = Parser(), []
    for start in range(0, len(huge), 65_521):
        events += parser.push(huge[start : start + 65_521])
    assert [len(each.data) for each in events] == [8 << 20]
    monkeypatch.setattr(sse, "MESSAGE_MAX_BYTES", 1000)
    for piece in (b"data: " + b"x" * 90, b"data: " + b"x" * 90 + b"\n"):
        parser = Parser()
        with pytest.raises(errors.ProtocolError):
            for _ in range(12):
                parser.push(piece)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def follower(clock: Clock | None = None, has_gaps: bool = False) -> Follower[Record]:
    return Follower(
        call.get("x", read=call.nothing),
        0,
        read=record_from_json,
        is_last=lambda record: isinstance(record, End),
        has_gaps=has_gaps,
        clock=clock or Clock(),
    )


def taken(follower: Follower[Record]) -> list[int]:
    seqs = []
    while (record := follower.take()) is not None:
        seqs.append(record.seq)
    return seqs


def test_kinds_of_newer_servers_are_passed_over_and_gaps_are_not() -> None:
    whole = follower()
    whole.feed(b"".join(JOURNAL.values()))
    assert taken(whole) == [1, 2, 4, 5]
    assert whole.ended
    gap = follower()
    with pytest.raises(errors.ProtocolError, match="record 4 came after record 2"):
        gap.feed(JOURNAL[1] + JOURNAL[2] + JOURNAL[4])
    # What was sound before the gap is handed out, and the next connection begins behind it.
    assert taken(gap) == [1, 2]
    assert ("after_seq", "2") in gap.connect().parameters
    with pytest.raises(errors.ProtocolError):
        # A number of what is not known fills no gap either.
        gap.feed(event("hologram", 9) + JOURNAL[4])


def test_what_came_already_does_not_come_twice() -> None:
    again = follower()
    again.feed(JOURNAL[1] + JOURNAL[2])
    assert taken(again) == [1, 2]
    again.connect()
    again.feed(JOURNAL[1] + JOURNAL[2] + JOURNAL[3] + JOURNAL[4])
    assert taken(again) == [4]


def broken(follower: Follower[Record]) -> float:
    """One more connection that brings no record."""
    follower.connect()
    return follower.failed(errors.BrokenConnectionError("cut"))


def test_connections_that_bring_nothing_are_counted() -> None:
    barren = follower()
    assert broken(barren) == 0.0
    for _ in range(BARREN_CONNECTIONS_MAX - 1):
        broken(barren)
    with pytest.raises(errors.BrokenConnectionError):
        broken(barren)


def test_a_command_may_be_silent_for_longer_than_any_connection_lasts() -> None:
    clock = Clock()
    silent = follower(clock)
    for _ in range(10 * BARREN_CONNECTIONS_MAX):
        silent.connect()
        clock.now += 15
        silent.feed(b": heartbeat\n\n")
        assert silent.failed(errors.BrokenConnectionError("a proxy's patience is over")) == 0.0
    # What says something at once and never again is no server that works.
    for _ in range(BARREN_CONNECTIONS_MAX - 1):
        silent.connect()
        silent.feed(b": heartbeat\n\n")
        silent.failed(errors.BrokenConnectionError("cut"))
    with pytest.raises(errors.BrokenConnectionError):
        broken(silent)


def head(length: int) -> bytes:
    kind = b"content-type: text/event-stream\r\nconnection: close"
    return b"HTTP/1.1 200 x\r\n%s\r\ncontent-length: %d\r\n\r\n" % (kind, length)


def behind(request: bytes) -> bytes:
    """The rest of the journal that a request asks for."""
    asked = re.search(rb"after_seq=(\d+)", request)
    assert asked is not None
    return b"".join(each for seq, each in JOURNAL.items() if seq > int(asked[1]))


async def test_a_stream_that_is_cut_anywhere_is_whole(connect: Callable[..., Any]) -> None:
    journal = b"".join(JOURNAL.values())
    # Within every character of more than one byte, around every line, and here and there.
    cuts_at = [at for at, byte in enumerate(journal) if byte > 127 or byte == 10 or at % 9 == 0]
    cut = 0

    def reply(number: int, request: bytes) -> bytes:
        if b"/stream" not in request:
            body = json.dumps(COMMAND).encode()
            return head(len(body)) + body
        rest = behind(request)
        # By turns the end of the body is told, as by a server that drains, and not told.
        kept = rest[:cut] if b"after_seq=0" in request and not cuts else rest
        cuts.append(len(kept))
        return head(len(kept) if cut % 2 else len(rest)) + kept

    cuts: list[int] = []
    with scripted(reply) as (url, _):
        async with connect(url) as client:
            command = await client.command("cmd_1")
            for cut in cuts_at:
                cuts.clear()
                records = [record async for record in command.stream()]
                assert [each.seq for each in records] == [1, 2, 4, 5], cut
                said = b"".join(each.data for each in records if isinstance(each, Output))
                assert said.decode() == TEXT and isinstance(records[-1], End)
                assert len(cuts) == 2, cut


@pytest.mark.parametrize("told", [False, True])
async def test_a_stream_without_its_end_is_an_error_and_no_success(
    connect: Callable[..., Any], told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "bound", lambda tries: 0.0)
    error = {"code": "guest_unavailable", "message": "m", "request_id": "req_1"}
    ending = f"event: error\ndata: {json.dumps(error)}\n\n".encode() if told else b""

    def reply(number: int, request: bytes) -> bytes:
        body = json.dumps(COMMAND).encode()
        if b"/stream" in request:
            body = (JOURNAL[1] if b"after_seq=0" in request else b"") + ending
        return head(len(body)) + body

    with scripted(reply) as (url, heads):
        async with connect(url) as client:
            command = await client.command("cmd_1")
            seen = []
            with pytest.raises(errors.UnavailableError if told else errors.BrokenConnectionError):
                async for record in command.stream():
                    seen.append(record.seq)
    assert seen == [1]
    assert len(heads) == 2 + BARREN_CONNECTIONS_MAX


async def test_a_watch_that_the_server_ends_says_why(connect: Callable[..., Any]) -> None:
    change = b'event: change\ndata: {"kind": "created", "path": "/w/f"}\n\n'
    error = {"code": "sandbox_gone", "message": "m", "request_id": "req_1"}
    ends = {
        errors.GoneError: f"event: error\ndata: {json.dumps(error)}\n\n".encode(),
        errors.BrokenConnectionError: b"",
    }
    for kind, ending in ends.items():
        body = change + ending
        with scripted(lambda number, request, body=body: head(len(body)) + body) as (url, _):
            async with connect(url) as client:
                seen = []
                with pytest.raises(kind):
                    async with files_of(client, "sbx_1").watch("/w") as watch:
                        async for each in watch:
                            seen.append(each.path)
                assert seen == ["/w/f"]
