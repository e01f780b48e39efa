"""Many commands that speak at once, started under keys until each start is answered."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import talks
from reader import PATIENCE, Reader
from wire import BROKEN, Answer, Caller

SIZE = 50
SANDBOXES = 5


def insist(send: Callable[[], Answer]) -> Answer:
    """Repeats one request, as clients do, until it is answered: whatever breaks on the way."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            answer = send()
            # An answer whose head was cut off has no value.
            if answer.status < 500 and answer.json is not None:
                return answer
        except (*BROKEN, ValueError):
            pass
        assert time.monotonic() < deadline, "no answer"
        time.sleep(0.1)


@dataclass
class Voice:
    """One command."""

    name: str
    sandbox: str
    started: Future[dict[str, Any]]
    reader: Reader | None = None


@dataclass
class Crowd:
    """`SIZE` commands in `SANDBOXES` sandboxes, each with a reader from its beginning."""

    caller: Caller
    dice: random.Random
    boxes: list[str] = field(default_factory=list)
    voices: list[Voice] = field(default_factory=list)
    answered: int = 0
    _made: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(SIZE))

    def house(self) -> None:
        """Makes the sandboxes; the last has a network."""
        networks = ["none"] * (SANDBOXES - 1) + ["open"]
        self.boxes = [self.caller.create(network=network) for network in networks]
        for box in self.boxes:
            talks.bring(self.caller, box)

    def fill(self) -> None:
        """Starts as many as are missing, and does not wait for the answers."""
        self.answered = 0
        for _ in range(SIZE - len(self.voices)):
            self._made += 1
            name = f"voice{self._made}"
            box = self.boxes[self._made % len(self.boxes)]
            voice = Voice(name, box, self._pool.submit(self._start, name, box))
            self.voices.append(voice)

    def _start(self, name: str, box: str) -> dict[str, Any]:
        path = f"/v1/sandboxes/{box}/commands"
        value = {"argv": talks.argv(name)}
        answer = insist(lambda: self.caller.call("POST", path, value, once=name))
        assert answer.status in (200, 201), (answer.status, answer.body)
        with self._lock:
            self.answered += 1
        return dict(answer.json)

    def listen(self) -> None:
        """Waits until all are answered, and gives each its reader."""
        for voice in self.voices:
            command = voice.started.result(PATIENCE)["id"]
            if voice.reader is None:
                voice.reader = Reader(lambda: self.caller, command).start()

    def heard(self) -> int:
        """Records that readers have got until now."""
        return sum(voice.reader.last for voice in self.voices if voice.reader)

    def dismiss(self, leaving: list[Voice]) -> None:
        """Lets these come to their ends, and checks all that they have left."""
        for box in self.boxes:
            names = [voice.name for voice in leaving if voice.sandbox == box]
            if names:
                talks.finish(self.caller, box, names)
        for voice in leaving:
            assert voice.reader is not None
            reader = voice.reader.join()
            assert reader.end is not None
            assert (reader.end["state"], reader.end["exit_code"]) == ("exited", 7), reader.end
            assert not reader.truncated
            talks.check_whole(voice.name, reader.stdout, reader.stderr)
            talks.check_kept(self.caller, reader)
            self.voices.remove(voice)

    def check_each_ran_once(self) -> None:
        """Inside by what they left there, and outside by what is recorded."""
        names = {box: [] for box in self.boxes}
        for number in range(1, self._made + 1):
            names[self.boxes[number % len(self.boxes)]].append(f"voice{number}")
        for box, spoke in names.items():
            talks.check_ran_once(self.caller, box, spoke)
            path = f"/v1/sandboxes/{box}/commands?limit=500"
            listed = self.caller.good("GET", path)["items"]
            told = sorted(each["argv"][4] for each in listed if each["argv"])
            assert told == sorted(spoke)
