"""Runs inside: writes numbered lines until it is told to finish, then their number and their hash.

    talk.py NAME PAUSE_SECONDS LINES_AT_MOST

It leaves beside itself `NAME.ran`, a line for each time it was run, and `NAME.count`, how many lines
it has written for sure. Behind each line to stdout stands the line's number on stderr.
"""

import hashlib
import os
import random
import sys
import time

name, pause, most = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
with open(f"{name}.ran", "a") as ran:
    ran.write("ran\n")
dice = random.Random(name)
digest = hashlib.sha256()
tally = os.open(f"{name}.count", os.O_RDWR | os.O_CREAT)
count = 0


def say(stream: int, line: bytes) -> None:
    while line:
        line = line[os.write(stream, line) :]


while count < most and not os.path.exists(f"{name}.finish"):
    # Most are short; some fill more than a pipe.
    length = dice.choice((0, 10, 100, 1000)) if dice.random() < 0.995 else dice.randrange(90_000)
    line = b"%s %d %s\n" % (name.encode(), count, dice.randbytes(length).hex().encode())
    digest.update(line)
    say(1, line)
    say(2, b"%d\n" % count)
    count += 1
    os.pwrite(tally, b"%d" % count, 0)
    time.sleep(pause * dice.random())
say(1, b"end %d %s\n" % (count, digest.hexdigest().encode()))
sys.exit(7)
