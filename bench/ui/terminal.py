"""A program on a terminal of 80x24."""
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

from browser import cpu_between, cpu_seconds
from ending import end

COLUMNS, ROWS = 80, 24


class Terminal:
    """Ended by its process id at the end of a `with` block."""

    def __init__(self, words):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        env = os.environ | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        env.pop("NO_COLOR", None)
        self.began = time.monotonic()
        self.process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True)
        os.close(theirs)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process, 5)
        os.close(self.ours)

    def read(self, seconds):
        """What comes within so many seconds, at most."""
        if not select.select([self.ours], [], [], max(0, seconds))[0]:
            return b""
        try:
            return os.read(self.ours, 65536)
        except OSError as error:
            raise RuntimeError(f"{self.process.args[1]} ended with {self.process.wait()}") from error

    def read_for(self, seconds):
        """Bytes that came, and percent of a core that the program took meanwhile."""
        before, count = cpu_seconds({self.process.pid}), 0
        began = time.monotonic()
        while (left := began + seconds - time.monotonic()) > 0:
            count += len(self.read(left))
        return count, 100 * cpu_between(before, cpu_seconds({self.process.pid})) / (time.monotonic() - began)


def first_picture_ms(words, text):
    """From the start of the program until this text stands on its terminal."""
    with Terminal(words) as shown:
        seen = b""
        while text.encode() not in seen:
            if time.monotonic() - shown.began > 20:
                raise RuntimeError(f"no picture in 20 s: {seen[-300:]!r}")
            seen += shown.read(1)
        return 1000 * (time.monotonic() - shown.began)
