"""Streams that are cut anywhere, and several readers of one command."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable

import talks
from proxy import Cut, Proxy
from reader import Reader
from wire import Caller

READERS = 5
#: One event is at most 1 MiB of output; some connections have to carry that.
LONGEST = 4 << 20
CAP = 300_000


def anywhere(dice: random.Random) -> Callable[[], Cut]:
    """Mostly soon, sometimes late, so that every reader comes to the end in the end."""
    return lambda: (None, int(math.exp(dice.uniform(0, math.log(LONGEST)))))


def test_readers_that_are_cut_at_any_byte_and_come_back_see_the_same(
    caller: Caller, dice: random.Random
) -> None:
    """Five readers follow one command through a network that cuts every connection somewhere: in the
    head of the answer, in an event, between two.

    Seen to fail: with a server that gave records from the one behind the next.
    """
    box = caller.create()
    talks.bring(caller, box)
    command = caller.start(box, *talks.argv("one", pause=0.002, most=1200))
    with Proxy(caller.url, anywhere(dice)) as proxy:
        through = caller.via(proxy.url)
        readers = [Reader(lambda: through, command).start() for _ in range(READERS)]
        for reader in readers:
            reader.join()
    print(f"{proxy.cuts} cuts, {[reader.connections for reader in readers]} connections")
    assert proxy.cuts > 2 * READERS
    for reader in readers:
        assert talks.check_whole("one", reader.stdout, reader.stderr) == 1200
        assert reader.records == readers[0].records
        assert reader.end == readers[0].end
    talks.check_kept(caller, readers[0])


def test_a_full_journal_says_so_in_every_stream_and_the_command_goes_on(
    caller: Caller, dice: random.Random
) -> None:
    """Behind the cap stands one record `truncated`, then the end. Cut streams tell the same.

    Seen to fail: with output dropped at the cap without a record that says so.
    """
    box = caller.create()
    talks.bring(caller, box)
    argv = talks.argv("capped", pause=0, most=1200)
    command = caller.start(box, *argv, output_cap_bytes=CAP)
    with Proxy(caller.url, anywhere(dice)) as proxy:
        through = caller.via(proxy.url)
        readers = [Reader(lambda: through, command).start() for _ in range(READERS)]
        for reader in readers:
            reader.join()
    for reader in readers:
        assert reader.records == readers[0].records
        assert reader.written == readers[0].written
        kinds = [record["type"] for record in reader.records]
        assert kinds[-2:] == ["truncated", "end"] and set(kinds[:-2]) == {"output"}, kinds
        assert reader.end is not None and reader.end["truncated"]
        assert reader.end["exit_code"] == 7, "it wrote all that it wanted to"
        assert sum(map(len, reader.written.values())) == CAP
    talks.check_broken_off("capped", readers[0].stdout, readers[0].stderr)
    talks.check_kept(caller, readers[0])
    assert caller.sh(box, "cat capped.count")["stdout"] == "1200"


def test_bytes_that_are_no_text_come_through_cuts_unchanged(
    caller: Caller, dice: random.Random
) -> None:
    """Of each value and in each position: records end in the middle of characters.

    Seen to fail: with a server that gave records from the one behind the next.
    """
    box = caller.create()
    line = (
        "import random, sys; dice = random.Random(4)\n"
        "for _ in range(300):\n"
        "    size = dice.randrange(20000)\n"
        "    text = 'ä\\u20ac\\U0001f600' * (size // 9)\n"
        "    piece = text.encode() if dice.random() < 0.5 else dice.randbytes(size)\n"
        "    sys.stdout.buffer.write(piece); sys.stdout.flush()\n"
        "    open('all', 'ab').write(piece)\n"
    )
    command = caller.start(box, "python3", "-S", "-E", "-c", line)
    with Proxy(caller.url, anywhere(dice)) as proxy:
        through = caller.via(proxy.url)
        readers = [Reader(lambda: through, command).start() for _ in range(2)]
        for reader in readers:
            reader.join()
    expected = caller.sh(box, "sha256sum all")["stdout"].split()[0]
    for reader in readers:
        assert hashlib.sha256(reader.stdout).hexdigest() == expected
    talks.check_kept(caller, readers[0])
