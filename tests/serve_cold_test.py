#!/usr/bin/env python3
"""Models of `choir serve` that are not in memory: what a client is told while one is loaded, and when it cannot be."""

import contextlib
import json
import os
import socket
import tempfile
import time
import unittest
from pathlib import Path

from cli_tools import STORIES, choir
from serve_tools import PROMPT, TIMEOUT, Daemon, lines_of, post_bytes, read_all, read_reply, wait_until

CHAT = {"messages": [{"role": "user", "content": "Once upon a time"}], "max_tokens": 1000000, "temperature": 0}


class Held:
    """A daemon with the models `held`, whose next load stands still until release(), and `free`."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.gate = self.folder / "open"
        self.models = self.folder / "models"
        self.models.mkdir()
        for name in ("held", "free"):
            (self.models / f"{name}.gguf").write_bytes(Path(STORIES).read_bytes())
        program = self.folder / "probe"
        # A file that has changed is tried before it is loaded; the program that tries it waits.
        program.write_text(f"#!/bin/sh\nwhile [ ! -e {self.gate} ]; do sleep 0.02; done\nexec {os.environ['CHOIR_PROBE']} \"$@\"\n")
        program.chmod(0o755)
        self.release()
        real = os.environ["CHOIR_PROBE"]
        os.environ["CHOIR_PROBE"] = str(program)
        try:
            self.daemon = self.stack.enter_context(Daemon("--model", self.models / "held.gguf", *self.arguments,
                                                          model=self.models / "free.gguf", models=self.models))
        finally:
            os.environ["CHOIR_PROBE"] = real
        return self

    def __exit__(self, *what):
        self.release()
        return self.stack.__exit__(*what)

    def release(self):
        self.gate.touch()

    def hold(self):
        """Begins to load `held`; the load does not end before release()."""
        self.gate.unlink()
        with open(self.models / "held.gguf", "ab") as file:
            file.write(os.urandom(16))
        status, reply = self.daemon.admin("POST", "/models/load", {"model": "held"})
        if status != 200:
            raise AssertionError(reply)

    def state(self, name):
        return self.daemon.get(f"/choir/v1/models/{name}")[1]["state"]

    def wait_for(self, name, state):
        end = time.monotonic() + TIMEOUT
        while self.state(name) != state:
            if time.monotonic() > end:
                raise AssertionError(self.state(name))
            time.sleep(0.01)


class Answers(unittest.TestCase):
    """What is known only when the model is loaded."""

    def test_that_come_whole_have_the_headers_of_a_model_in_memory(self):
        with Daemon() as daemon:
            for path, body in (("/v1/chat/completions", CHAT),
                               ("/v1/completions", PROMPT | {"max_tokens": 1000000, "prompt": ["Once", "Once upon a"]})):
                def headers(stream):
                    _, all_headers, text = daemon.request("POST", path, body | {"stream": stream})
                    self.assertNotIn("error", text)
                    return {name: all_headers[name] for name in ("x-choir-max-tokens", "x-choir-template")}

                for stream in (False, True):
                    with self.subTest(path=path, stream=stream):
                        daemon.admin("POST", "/choir/v1/models/stories260K/unload")
                        cold = headers(stream)
                        self.assertTrue(cold["x-choir-max-tokens"])
                        self.assertEqual(cold, headers(stream))

    def test_in_a_stream_that_has_begun_have_them_as_comments(self):
        with Held() as held, held.daemon.connect() as connection:
            warm = held.daemon.request("POST", "/v1/chat/completions", CHAT | {"model": "free"})[1]["x-choir-max-tokens"]
            held.daemon.admin("POST", "/choir/v1/models/free/unload")
            held.hold()
            connection.sendall(post_bytes("/v1/chat/completions", CHAT | {"model": "free", "stream": True}))
            text = b""
            while b": loading 0 %" not in text:
                text += connection.recv(65536)
            held.release()
            while b"[DONE]" not in text:
                text += connection.recv(65536)
            head, _, body = text.decode().partition("\r\n\r\n")
            self.assertNotIn("x-choir-max-tokens", head)
            before = body.partition("data: ")[0]
            self.assertIn(": x-choir-template: default\n\n", before)
            self.assertIn(f": x-choir-max-tokens: {warm}\n\n", before)


class Silence(unittest.TestCase):
    def test_of_a_stream_has_comments(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "choir.yaml"
            file.write_text("ping_seconds: 1\n")
            with Daemon("--config", file) as daemon, daemon.connect() as connection, daemon.connect() as jobs:
                daemon.complete()
                daemon.admin("POST", "/choir/v1/models/stories260K/suspend")
                close = "Connection: close\r\n"
                connection.sendall(post_bytes("/v1/completions", PROMPT | {"stream": True}, close))
                jobs.sendall(post_bytes("/choir/v1/parallel", {"models": ["stories260K"], "prompts": ["Once"], "max_tokens": 4, "stream": True}, close))
                texts = []
                for one in (connection, jobs):
                    text = b""
                    while text.count(b"\n: ping\n\n") < 2:
                        text += one.recv(65536)
                    texts.append(text)
                daemon.admin("POST", "/choir/v1/models/stories260K/resume")
                self.assertIn(b"[DONE]", texts[0] + read_all(connection))
                self.assertIn(b'"type":"report"', texts[1] + read_all(jobs))


class Loads(unittest.TestCase):
    """While one model is loaded."""

    def test_are_waited_for_as_long_as_requests_may(self):
        with Held("--load-wait-seconds", 1) as held:
            held.hold()
            for path, body in (("/tokenize", {"content": "a"}), ("/v1/completions", PROMPT)):
                status, reply = held.daemon.post(path, body | {"model": "held"})
                self.assertEqual((status, reply["error"]["param"]), (503, "model"), path)
                self.assertIn("is still being loaded after", reply["error"]["message"])
            self.assertEqual(held.state("held"), "loading")
            held.release()
            held.wait_for("held", "loaded")

    def test_are_shown_wherever_models_are(self):
        with Held() as held:
            held.hold()
            self.assertEqual(held.state("held"), "loading")
            self.assertEqual(held.daemon.get("/choir/v1/models/held")[1]["load_progress"], 0)
            shown = choir("ps", "--unix-socket", held.daemon.socket).stdout
            self.assertRegex(shown, r"(?m)^held +loading 0 % +- ")
            self.assertRegex(shown, r"(?m)^free +unloaded +- ")
            for path in ("/v1/models", "/models"):
                rows = {row["id"]: row["status"] for row in held.daemon.get(path)[1]["data"]}
                self.assertEqual(rows, {"held": {"value": "loading", "progress": 0}, "free": {"value": "unloaded"}})
            metrics = held.daemon.request("GET", "/metrics")[2]
            for state, value in (("loading", 1), ("unloaded", 0), ("loaded", 0)):
                self.assertIn(f'choir_model_state{{model_name="held",state="{state}"}} {value}', metrics)
            held.release()
            held.wait_for("held", "loaded")
            self.assertIsNone(held.daemon.get("/choir/v1/models/held")[1]["load_progress"])

    def test_hold_up_nothing_else(self):
        with Held() as held, contextlib.ExitStack() as stack:
            daemon = held.daemon
            daemon.complete(model="free")
            held.hold()
            waiting = []
            for path, body in (("/tokenize", {"model": "held", "content": "Once"}), ("/v1/completions", PROMPT | {"model": "held"})):
                waiting.append(stack.enter_context(daemon.connect()))
                waiting[-1].sendall(post_bytes(path, body))
            # The answers to an unload and to loads come after the load; nobody waits behind them.
            for action, model in (("load", "held"), ("unload", "free")):
                waiting.append(stack.enter_context(socket.socket(socket.AF_UNIX)))
                waiting[-1].connect(daemon.socket)
                waiting[-1].settimeout(TIMEOUT)
                waiting[-1].sendall(post_bytes(f"/choir/v1/models/{model}/{action}", {}))
            self.assertEqual(daemon.admin("POST", "/choir/v1/models/free/suspend")[0], 200)
            self.assertEqual(daemon.admin("POST", "/choir/v1/models/free/resume")[0], 200)
            self.assertEqual(daemon.post("/choir/v1/estimate", {"model": "free"})[0], 200)
            for method, path, body in (("POST", "/choir/v1/models/none/load", {}), ("POST", "/choir/v1/models/none/unload", {}),
                                       ("DELETE", "/choir/v1/models/none", None), ("POST", "/choir/v1/estimate", {"model": "none"}),
                                       ("POST", "/tokenize", {"model": "none", "content": "a"}),
                                       ("POST", "/v1/completions", PROMPT | {"model": "none"}),
                                       ("POST", "/models/unload", {"model": "none"})):
                self.assertEqual(daemon.admin(method, path, body)[0], 404, path)
            self.assertEqual(held.state("held"), "loading")
            held.release()
            for connection in waiting:
                self.assertEqual(read_reply(connection)[0], 200)


class Refusals(unittest.TestCase):
    def refused(self, daemon, body, path="/v1/completions"):
        """The same error, with a status, whether a stream is asked for or not."""
        errors = []
        for stream in (True, False):
            status, headers, text = daemon.request("POST", path, body | {"stream": stream})
            self.assertEqual(headers["content-type"], "application/json", text)
            self.assertEqual(headers["x-should-retry"], "false")
            self.assertNotIn("/", text.replace("tok/s", ""), "no path of the machine")
            errors.append((status, json.loads(text)["error"]))
        self.assertEqual(errors[0], errors[1])
        return errors[0]

    def test_of_a_file_that_is_broken_come_before_the_head_of_a_stream(self):
        with Held() as held:
            held.hold()  # the load of another model would wait
            (held.models / "free.gguf").write_bytes(b"nonsense" * 10)
            status, error = self.refused(held.daemon, PROMPT | {"model": "free"})
            self.assertEqual(status, 500)
            self.assertIn("'free.gguf' is not a GGUF model", error["message"])
            held.release()
            for path, body in (("/tokenize", {"model": "free", "content": "a"}),
                               ("/choir/v1/parallel", {"models": ["free"], "prompts": ["a"]})):
                code, _, text = held.daemon.request("POST", path, body)
                self.assertEqual(code, 500, text)
                self.assertNotIn(str(held.models), text)

    def test_of_one_that_does_not_fit_name_who_would_have_to_leave(self):
        with Daemon("--context-tokens", 256) as daemon:
            size = daemon.post("/choir/v1/estimate", {"model": "stories260K"})[1]
        with Held() as sizes:
            folder = sizes.folder
            config = folder / "choir.yaml"
            config.write_text(f"node: {{memory_bytes: {size['need_bytes'] + 1000}}}\n")
            log = folder / "access.log"
            with Daemon("--config", config, "--context-tokens", 256, "--model", sizes.models / "held.gguf",
                        "--access-log", log, model=sizes.models / "free.gguf", models=sizes.models) as daemon:
                daemon.complete(model="free")
                self.assertEqual(daemon.complete(model="held")["model"], "held")  # the idle one left
                daemon.admin("POST", "/choir/v1/models/held/pin")
                status, error = self.refused(daemon, PROMPT | {"model": "free"})
                self.assertEqual((status, error["code"]), (503, "out_of_memory"))
                line = wait_until(lambda: [line for line in lines_of(log) if line["status"] == 503])[0]
                self.assertEqual(line["model"], "free")
                bytes_held = error["would_have_to_leave"][0]["bytes"]
                self.assertEqual(error["would_have_to_leave"], [{"model": "held", "bytes": bytes_held, "state": "pinned"}])
                self.assertGreaterEqual(bytes_held, error["need_bytes"] - error["free_bytes"])
                self.assertIn("in memory are 'held' (", error["message"])
                status, reply = daemon.post("/tokenize", {"model": "free", "content": "a"})
                self.assertEqual((status, reply["error"]["would_have_to_leave"]), (503, error["would_have_to_leave"]))
                status, reply = daemon.admin("POST", "/choir/v1/models/free/load")
                self.assertEqual((status, reply["error"]["would_have_to_leave"]), (503, error["would_have_to_leave"]))
                # One that only works now makes room when it has ended.
                daemon.admin("POST", "/choir/v1/models/held/unpin")
                daemon.admin("POST", "/choir/v1/models/held/suspend")
                with daemon.connect() as connection:
                    connection.sendall(post_bytes("/v1/completions", PROMPT | {"model": "held"}))
                    while not daemon.get("/choir/v1/requests")[1]["requests"]:
                        time.sleep(0.01)
                    status, headers, text = daemon.request("POST", "/v1/completions", PROMPT | {"model": "free"})
                    self.assertEqual(json.loads(text)["error"]["would_have_to_leave"][0]["state"], "busy")
                    self.assertEqual((status, headers["retry-after"], headers["x-should-retry"]), (503, "5", None))
                    daemon.admin("POST", "/choir/v1/models/held/resume")
                    self.assertEqual(read_reply(connection)[0], 200)
                self.assertEqual(daemon.complete(model="free")["model"], "free")


if __name__ == "__main__":
    unittest.main()
