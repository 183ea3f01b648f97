#!/usr/bin/env python3
"""Clients that send slowly, to `choir serve`: they are told so and disconnected, and the others notice nothing."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from serve_tools import TIMEOUT, Daemon, read_all

CONNECTIONS = 50  # of each program
POST = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"


def sockets_of(process):
    """How many sockets the daemon has open."""
    count = 0
    for entry in os.scandir(f"/proc/{process.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(entry.path).startswith("socket:")
    return count


class Slow(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon("--context-tokens", 256))

    def status_count(self, status):
        text = self.daemon.request("GET", "/metrics")[2]
        counts = [line for line in text.split("\n") if line.startswith(f'choir_request_total{{code="{status}"}}')]
        return int(float(counts[0].split()[1])) if counts else 0

    def test_heads_and_bodies_get_408(self):
        rows = {"head": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: ", "body": POST + b"Content-Length: 100\r\n\r\n",
                "chunks": POST + b"Transfer-Encoding: chunked\r\n\r\n"}
        drops = {"head": b"a", "body": b" ", "chunks": b"1\r\n \r\n"}
        with contextlib.ExitStack() as stack:
            idle = stack.enter_context(self.daemon.connect())
            connections = {what: stack.enter_context(self.daemon.connect()) for what in rows}
            for what, connection in connections.items():
                connection.sendall(rows[what])
            end = time.monotonic() + TIMEOUT
            replies = {}
            while len(replies) < len(rows):
                self.assertLess(time.monotonic(), end, replies)
                time.sleep(0.5)
                for what, connection in connections.items():
                    with contextlib.suppress(BlockingIOError, ConnectionError):
                        connection.setblocking(False)
                        connection.sendall(drops[what])
                        if reply := connection.recv(4096):
                            replies.setdefault(what, reply)
            for what, reply in replies.items():
                with self.subTest(what):
                    self.assertEqual(reply.split()[1], b"408", reply)
            idle.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            self.assertIn(b" 200 OK", read_all(idle))

    def test_bodies_keep_out_nobody(self):
        """What is announced takes no room of what `limits.bodies_bytes` has for bodies that come."""
        with contextlib.ExitStack() as stack:
            for head in (b"Content-Length: 8388608\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"):
                for _ in range(CONNECTIONS):
                    stack.enter_context(self.daemon.connect()).sendall(POST + head)
            self.assertEqual(self.daemon.complete()["object"], "text_completion")

    def test_readers_that_take_a_little_are_kept(self):
        """Their machine tells of what they take only now and then, and the socket has room again only after much of it."""
        request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n"
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        settings = folder / "serve.yaml"
        settings.write_text("timeouts: {stalled_seconds: 2}\n")
        with Daemon("--config", settings) as daemon, socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            connection.settimeout(TIMEOUT)
            connection.connect(("127.0.0.1", daemon.port))
            connection.sendall((request + b"\r\n") * 29 + request + b"Connection: close\r\n\r\n")
            text = b""
            end = time.monotonic() + 10
            while time.monotonic() < end:
                text += connection.recv(4096)
                time.sleep(0.05)
            text += read_all(connection)
            self.assertEqual(text.count(b"HTTP/1.1 200 OK"), 30)
            self.assertTrue(text.rstrip().endswith(b"}"))

    @unittest.skipUnless(shutil.which("slowhttptest"), "needs the program slowhttptest (Debian's package of that name)")
    def test_many_at_once_disturb_nobody(self):
        before, refused = sockets_of(self.daemon.process), self.status_count(408)
        common = ["-c", CONNECTIONS, "-r", CONNECTIONS, "-i", 2, "-x", 10, "-p", 5, "-l", 20]
        programs = [["slowhttptest", "-H", *common, "-u", self.daemon.url + "/v1/models"],
                    ["slowhttptest", "-B", *common, "-s", 8192, "-t", "POST", "-u", self.daemon.url + "/v1/completions"]]
        running = [subprocess.Popen([str(word) for word in program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                   for program in programs]
        longest, most = 0.0, 0
        while any(program.poll() is None for program in running):
            began = time.monotonic()
            self.assertEqual(self.daemon.get("/health"), (200, {"status": "ok"}))
            longest = max(longest, time.monotonic() - began)
            most = max(most, sockets_of(self.daemon.process) - before)
            self.daemon.complete(max_tokens=4)
            time.sleep(0.1)
        for program in running:
            print(program.communicate()[0][-600:])
        print(f"slow clients: {most} connections at once, /health took {longest * 1000:.0f} ms at most")
        self.assertGreater(most, CONNECTIONS)  # both programs were there
        self.assertLess(longest, 5)
        self.assertEqual(self.status_count(408) - refused, 2 * CONNECTIONS)
        end = time.monotonic() + TIMEOUT
        while sockets_of(self.daemon.process) > before:
            self.assertLess(time.monotonic(), end, "slow clients are still connected")
            time.sleep(0.1)


if __name__ == "__main__":
    unittest.main()
