#!/usr/bin/env python3
"""`choir serve` ends answers that are not complete: their clients learn it from an error, in the form of their API."""

import json
import os
import shutil
import signal
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from cli_tools import STORIES, choir
from serve_tools import PROMPT, TIMEOUT, Daemon, post_bytes, read_all

MODEL = "stories260K"
LONG = {"max_tokens": 100000, "ignore_eos": True, "stream": True}
CHAT = {"messages": [{"role": "user", "content": "Once"}]}
ROWS = (("/v1/completions", LONG | {"prompt": "Once", "n": 8}),
        ("/v1/chat/completions", LONG | CHAT | {"n": 8}),
        ("/completion", LONG | {"prompt": ["Once"] * 8}),
        ("/choir/v1/parallel", LONG | {"raw": True, "prompts": ["Once"] * 8}))


def whole(reply):
    """(status, body, what follows) of a reply in chunks, which have to be complete."""
    head, _, rest = reply.partition(b"\r\n\r\n")
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        if int(size, 16) == 0:
            return int(head.split()[1]), body.decode(), rest
        body += rest[:int(size, 16)]
        rest = rest[int(size, 16) + 2:]


class Ends(unittest.TestCase):
    def suspend(self, daemon):
        self.assertEqual(daemon.admin("POST", f"/choir/v1/models/{MODEL}/suspend")[0], 200)

    def begun(self, daemon, path, body, more=""):
        """A connection whose stream has begun and stands still, and what has come of it."""
        connection = self.enterContext(daemon.connect())
        connection.sendall(post_bytes(path, body, more))
        came = connection.recv(65536)
        self.suspend(daemon)
        return connection, came

    def error_at_the_end(self, reply):
        status, body, rest = whole(reply)
        self.assertEqual((status, rest), (200, b"\r\n"))
        self.assertNotIn("[DONE]", body)
        self.assertNotIn('"finish_reason":"', body)
        events = [line.removeprefix("data: ") for line in body.split("\n") if line.startswith("data: ")]
        return json.loads(events[-1])["error"]

    def test_at_the_limit_of_the_drain_are_in_the_form_of_the_stream(self):
        for path, body in ROWS:
            with self.subTest(path), Daemon("--drain-seconds", 0) as daemon:
                daemon.complete()
                connection, came = self.begun(daemon, path, body)
                daemon.process.send_signal(signal.SIGTERM)
                error = self.error_at_the_end(came + read_all(connection))
                self.assertEqual(error["code"], 503 if path == "/completion" else "draining")
                self.assertEqual(error["type"], "unavailable_error")
                self.assertEqual(daemon.process.wait(TIMEOUT), 0)

    def test_of_answers_that_have_not_begun_are_in_the_form_of_the_route(self):
        for path, body in ROWS:
            for stream in (False, True):
                with self.subTest(path, stream=stream), Daemon("--drain-seconds", 0) as daemon:
                    daemon.complete()
                    self.suspend(daemon)
                    with daemon.connect() as connection:
                        connection.sendall(post_bytes(path, body | {"stream": stream}))
                        while not daemon.get("/choir/v1/requests")[1]["requests"]:
                            time.sleep(0.01)
                        begins = path == "/choir/v1/parallel" and stream  # with the list of its jobs
                        reply = connection.recv(65536) if begins else b""
                        daemon.process.send_signal(signal.SIGTERM)
                        reply += read_all(connection)
                    self.assertEqual(daemon.process.wait(TIMEOUT), 0)  # a second signal would come in the middle of it
                    if begins:
                        self.assertEqual(self.error_at_the_end(reply)["code"], "draining")
                        continue
                    head, _, text = reply.partition(b"\r\n\r\n")
                    self.assertEqual(head.split()[1], b"503")
                    error = json.loads(text)["error"]
                    self.assertEqual(error["code"], 503 if path == "/completion" else "draining")

    def test_of_the_events_is_their_goodbye(self):
        with Daemon("--drain-seconds", 0) as daemon, daemon.connect() as connection:
            connection.sendall(b"GET /choir/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            came = connection.recv(64)
            daemon.process.send_signal(signal.SIGTERM)
            status, body, rest = whole(came + read_all(connection))
            self.assertEqual((status, rest), (200, b"\r\n"))
            self.assertTrue(body.endswith("event: bye\ndata: {}\n\n"), body[-200:])
            self.assertEqual(daemon.process.wait(TIMEOUT), 0)

    def test_of_a_key_that_is_removed_say_so(self):
        file = Path(self.enterContext(tempfile.TemporaryDirectory())) / "keys.json"
        keys = {name: choir("key", "new", name, "--keys", file).stdout.strip() for name in ("alice", "bob")}
        with Daemon("--keys", file) as daemon:
            for path, body in ROWS:
                with self.subTest(path):
                    key = choir("key", "new", "carol", "--keys", file).stdout.strip()
                    daemon.process.send_signal(signal.SIGHUP)
                    ask = {"authorization": "Bearer " + key}
                    end = time.monotonic() + TIMEOUT
                    while daemon.request("POST", "/v1/completions", PROMPT, ask)[0] != 200:
                        self.assertLess(time.monotonic(), end)
                    connection, came = self.begun(daemon, path, body, f"Authorization: Bearer {key}\r\n")
                    choir("key", "remove", "carol", "--keys", file)
                    daemon.process.send_signal(signal.SIGHUP)
                    error = self.error_at_the_end(came + read_all(connection))
                    self.assertEqual(error["type"], "authentication_error")
                    daemon.admin("POST", f"/choir/v1/models/{MODEL}/resume")
            self.assertEqual(daemon.request("GET", "/v1/models", headers={"authorization": "Bearer " + keys["bob"]})[0], 200)

    def test_of_a_client_that_does_not_read_comes_with_the_end_of_its_connection(self):
        """A removed key holds no connection for the time that slow readers have."""
        file = Path(self.enterContext(tempfile.TemporaryDirectory())) / "keys.json"
        key = choir("key", "new", "carol", "--keys", file).stdout.strip()
        choir("key", "new", "bob", "--keys", file)
        ask = f"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        log = file.with_name("access.log")
        with Daemon("--keys", file, "--access-log", log) as daemon, daemon.connect() as connection:
            connection.sendall(ask * 60)  # more than a socket keeps
            time.sleep(0.5)
            choir("key", "remove", "carol", "--keys", file)
            began = time.monotonic()
            daemon.process.send_signal(signal.SIGHUP)
            while not any(json.loads(line)["status"] == 503 for line in log.read_text().splitlines()):
                self.assertLess(time.monotonic() - began, 10)
                time.sleep(0.1)


class Loads(unittest.TestCase):
    def test_that_take_too_long_are_not_waited_for(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        probe, wait, model = folder / "probe", folder / "wait", folder / f"{MODEL}.gguf"
        probe.write_text(f"#!/bin/sh\nwhile test -e '{wait}'; do sleep 0.05; done\n"
                         f"exec '{os.environ['CHOIR_PROBE']}' \"$@\"\n")
        probe.chmod(0o755)
        shutil.copy(STORIES, model)
        self.addCleanup(wait.unlink, missing_ok=True)
        rows = (("/v1/completions", PROMPT), ("/v1/chat/completions", CHAT | {"max_tokens": 4}), ("/completion", PROMPT),
                ("/v1/embeddings", {"input": "a"}), ("/choir/v1/parallel", {"raw": True, "prompts": ["Once"], "models": [MODEL]}))
        with mock.patch.dict(os.environ, {"CHOIR_PROBE": str(probe)}), Daemon("--load-wait-seconds", 1, model=str(model)) as daemon:
            wait.touch()
            with model.open("ab") as file:  # another file now: it is tried once more before it is loaded
                file.write(bytes(32))
            for path, body in rows:
                with self.subTest(path):
                    status, headers, text = daemon.request("POST", path, body)
                    self.assertEqual(status, 503, text)
                    error = json.loads(text)["error"]
                    self.assertRegex(error["message"], f"'{MODEL}' is still being loaded after [1-9] s")
                    self.assertEqual(headers["retry-after"], "10")
            # Where a comment on the load went out before, the stream has begun.
            status, _, text = daemon.request("POST", "/v1/completions", PROMPT | {"stream": True})
            self.assertIn(status, (200, 503))
            self.assertIn("is still being loaded", json.loads(text[text.index("{"):])["error"]["message"])
            wait.unlink()
            self.assertEqual(daemon.complete()["model"], MODEL)


if __name__ == "__main__":
    unittest.main()
