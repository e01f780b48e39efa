"""`kill -9` of guests and of commands under 50 commands that speak and 50 readers."""

from __future__ import annotations

import random

import talks
from crowd import Crowd, Voice
from outside import Outside, kill, until
from support.server import Server
from wire import Caller


def everyone_speaks(crowd: Crowd) -> None:
    """The whole crowd is started, read, and in the middle of it."""
    crowd.fill()
    crowd.listen()
    heard = {voice.name: voice.reader.last for voice in crowd.voices if voice.reader}

    def more() -> bool:
        readers = [(voice.name, voice.reader) for voice in crowd.voices]
        return all(reader and reader.last > heard[name] + 4 for name, reader in readers)

    until(more, "every command has written more")


def test_a_killed_guest_loses_its_commands_and_says_so_and_no_others(
    server: Server, caller: Caller, outside: Outside, dice: random.Random
) -> None:
    """One dies under the server's eyes, another while there is no server.

    Commands of both are `lost`, without an exit code or signal, and what they had written is there
    without a gap. Where the server saw it, that is all of it: no number on stderr without the line
    that stood before it on stdout.

    Seen to fail: with a lost command told as exited with 0.
    """
    crowd = Crowd(caller, dice)
    crowd.house()
    everyone_speaks(crowd)
    seen, unseen = dice.sample(crowd.boxes, 2)
    guests = {box: pid for pid, box in outside.guests().items()}

    kill(guests[seen])
    until(lambda: not is_running(caller, seen), "its end is noticed")
    server.kill()
    kill(guests[unseen])
    server.start()
    until(lambda: not is_running(caller, unseen), "its end is found")

    for box in (seen, unseen):
        sandbox = caller.good("GET", f"/v1/sandboxes/{box}")
        assert (sandbox["state"], sandbox["reason"]) == ("failed", "lost"), sandbox
        crowd.boxes.remove(box)
    for voice in [voice for voice in crowd.voices if voice.sandbox in (seen, unseen)]:
        lines, numbers = lost(caller, voice)
        assert lines >= numbers or voice.sandbox == unseen, (voice.name, lines, numbers)
        crowd.voices.remove(voice)
    crowd.dismiss(list(crowd.voices))
    for box in (*crowd.boxes, seen, unseen):
        caller.destroy(box)
    outside.check_nothing_left()


def is_running(caller: Caller, box: str) -> bool:
    """Whether the record of a sandbox says so."""
    return bool(caller.good("GET", f"/v1/sandboxes/{box}")["state"] == "running")


def lost(caller: Caller, voice: Voice) -> tuple[int, int]:
    """Nobody knows how it ended, and its output is what it was; how many lines of each stream."""
    assert voice.reader is not None
    reader = voice.reader.join()
    for told in (reader.end, caller.command(reader.command)):
        assert told is not None
        assert (told["state"], told["exit_code"], told["signal"]) == ("lost", None, None), told
    talks.check_kept(caller, reader)
    return talks.check_broken_off(voice.name, reader.stdout, reader.stderr)


def test_killed_commands_end_by_their_signal_with_every_byte_that_they_wrote(
    server: Server, caller: Caller, outside: Outside, dice: random.Random
) -> None:
    """Some die under the server's eyes, some while there is none, from outside and without a word.

    Each keeps count inside of the lines that it has written for sure: so many have to be there.

    Seen to fail: with output read into memory and written 2 ms later instead of spliced.
    """
    crowd = Crowd(caller, dice)
    crowd.house()
    everyone_speaks(crowd)
    victims = dice.sample(crowd.voices, 20)
    speakers = outside.speakers()
    for voice in victims[:10]:
        kill(speakers[voice.name])
    server.kill()
    for voice in victims[10:]:
        kill(speakers[voice.name])
    server.start()
    for voice in victims:
        assert voice.reader is not None
        reader = voice.reader.join()
        for told in (reader.end, caller.command(reader.command)):
            assert told is not None
            ending = (told["state"], told["exit_code"], told["signal"])
            assert ending == ("exited", None, 9), told
        talks.check_kept(caller, reader)
        said = caller.sh(voice.sandbox, f"cat {voice.name}.count")["stdout"]
        lines, numbers = talks.check_broken_off(voice.name, reader.stdout, reader.stderr)
        counted = int(said)
        assert counted <= numbers <= lines <= counted + 1, (voice.name, lines, numbers, counted)
        crowd.voices.remove(voice)
    crowd.dismiss(list(crowd.voices))
    for box in crowd.boxes:
        caller.destroy(box)
    outside.check_nothing_left()
