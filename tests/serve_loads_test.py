#!/usr/bin/env python3
"""Models that are not in memory yet, copies of models, deadlines, and who shares what was computed."""

import json
import pathlib
import tempfile
import unittest

from cli_tools import STORIES, choir
from serve_tools import PROMPT, Daemon, post_bytes, read_all

MODEL = "stories260K"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Once"}], "max_tokens": 4}
LONG = {"prompt": "Once upon a time", "max_tokens": 60000, "ignore_eos": True}


class Deadlines(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon("--context-tokens", 65536))
        cls.daemon.complete()

    def ask(self, path, body, deadline):
        return self.daemon.request("POST", path, body, {"x-deadline-ms": str(deadline)})

    def test_end_what_is_not_done(self):
        for path, body in (("/v1/completions", LONG), ("/v1/chat/completions", CHAT | {"max_tokens": 60000, "ignore_eos": True}),
                           ("/completion", LONG)):
            status, _, text = self.ask(path, body, 50)
            self.assertEqual(status, 504, text)
            self.assertIn("deadline", text)

    def test_end_a_stream_with_an_error(self):
        with self.daemon.connect() as connection:
            connection.sendall(post_bytes("/v1/completions", LONG | {"stream": True}, "X-Deadline-Ms: 300\r\nConnection: close\r\n"))
            answer = read_all(connection)
        self.assertIn(b" 200 ", answer[:20])
        self.assertIn(b'"code":"deadline_exceeded"', answer[-400:])
        self.assertNotIn(b'"finish_reason":"', answer)
        self.assertNotIn(b"[DONE]", answer)

    def test_do_not_touch_what_is_done_in_time(self):
        self.assertEqual(self.ask("/v1/completions", PROMPT, 3600000)[0], 200)

    def test_that_are_wrong_are_refused(self):
        for path, body in (("/v1/completions", PROMPT), ("/v1/embeddings", {"model": MODEL, "input": "a"}),
                           ("/choir/v1/parallel", {"prompts": ["a"], "models": [MODEL]})):
            for wrong in ("0", "1.5", "3600001", "soon"):
                status, _, text = self.ask(path, body, wrong)
                self.assertEqual((status, json.loads(text)["error"]["param"]), (400, "x-deadline-ms"), text)


class Cold(unittest.TestCase):
    """What is said of a model that was not in memory is what is said of one that was."""

    def test_answers_have_their_headers(self):
        body = {"model": MODEL, "prompt": "Once", "max_tokens": 1000000, "stop": ["."]}
        with Daemon("--context-tokens", 256) as daemon:
            for path, asked, name in (("/v1/completions", body, "x-choir-max-tokens"),
                                      ("/v1/chat/completions", CHAT, "x-choir-template")):
                daemon.admin("POST", f"/choir/v1/models/{MODEL}/unload")
                cold = daemon.request("POST", path, asked)
                self.assertEqual(cold[0], 200, cold)
                self.assertIsNotNone(cold[1][name])
                warm = daemon.request("POST", path, asked)
                self.assertEqual(cold[1][name], warm[1][name])

    def test_one_that_does_not_fit_beside_others_names_them(self):
        with Daemon("--context-tokens", 256) as daemon:
            bytes_of = daemon.post("/choir/v1/estimate", {"model": MODEL})[1]
        room = bytes_of["weight_bytes"] + bytes_of["kv_bytes"] + bytes_of["compute_bytes"]
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "choir.yaml"
            file.write_text(f"node: {{memory_bytes: {room + 1000}}}\n")
            with Daemon("--config", file, "--context-tokens", 256) as daemon:
                daemon.complete()
                daemon.admin("POST", f"/choir/v1/models/{MODEL}/pin")
                daemon.admin("POST", f"/choir/v1/models/{MODEL}/clone", {"name": "twin"})
                daemon.admin("POST", "/choir/v1/models/twin/unpin")
                status, reply = daemon.post("/v1/completions", PROMPT | {"model": "twin"})
                self.assertEqual(status, 503, reply)
                self.assertRegex(reply["error"]["message"], r"in memory are 'stories260K' \([0-9.]+ [KM]B, pinned\)")
                self.assertEqual(daemon.complete(model=MODEL)["model"], MODEL)

    def test_a_stream_of_one_that_does_not_fit_has_a_status(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "choir.yaml"
            file.write_text("node: {memory_bytes: 1000000}\n")
            daemon = self.enterContext(Daemon("--config", file))
            for stream in (False, True):
                status, headers, text = daemon.request("POST", "/v1/completions", PROMPT | {"stream": stream})
                self.assertEqual(status, 503, text)
                self.assertEqual(headers["x-should-retry"], "false")
                error = json.loads(text)["error"]
                self.assertEqual(error["code"], "out_of_memory")
                self.assertGreater(error["need_bytes"], error["free_bytes"])
                self.assertNotIn("/", error["message"].replace("tok/s", ""), "no path of the machine")


class Copies(unittest.TestCase):
    def test_have_what_the_first_has(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "choir.yaml"
            file.write_text(f"models:\n  - model: {STORIES}\n    aliases: [tale]\n    max_tokens_default: 3\n    sampling: {{temperature: 0}}\n")
            with Daemon("--config", file, "--context-tokens", 256, model=None) as daemon:
                status, reply = daemon.admin("POST", f"/choir/v1/models/{MODEL}/clone", {"name": "twin"})
                self.assertEqual(status, 200, reply)
                asked = {"prompt": "Once upon a time"}
                one = daemon.post("/v1/completions", asked | {"model": MODEL})[1]
                two = daemon.post("/v1/completions", asked | {"model": "twin"})[1]
                self.assertEqual(one["choices"], two["choices"])
                self.assertEqual((one["usage"]["completion_tokens"], two["usage"]["completion_tokens"]), (3, 3))
                self.assertEqual(daemon.admin("POST", "/choir/v1/models", {"name": "third", "model": MODEL})[0], 200)
                rows = {row["id"]: row for row in daemon.get("/v1/models")[1]["data"]}
                for name in ("twin", "third"):
                    self.assertEqual(rows[name]["capabilities"], ["completion", "chat"])
                    self.assertEqual(rows[name]["meta"]["n_ctx_train"], rows[MODEL]["meta"]["n_ctx_train"])
                for path, body in (("/choir/v1/models", {"name": "tale", "model": MODEL}),
                                   (f"/choir/v1/models/{MODEL}/clone", {"name": "tale"})):
                    status, reply = daemon.admin("POST", path, body)
                    self.assertEqual(status, 409, reply)
                    self.assertIn("is a name of 'stories260K' already", reply["error"]["message"])


class Tenants(unittest.TestCase):
    """Nothing that one tenant has computed is found by another."""

    def test_share_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "keys.json"
            keys = {name: choir("key", "new", name, "--tenant", tenant, "--keys", file).stdout.strip()
                    for name, tenant in (("one", "acme"), ("same", "acme"), ("other", "bolt"), ("sly", "acme/x"))}
            with Daemon("--keys", file, "--context-tokens", 512) as daemon:
                def cached(key, **more):
                    status, _, text = daemon.request("POST", "/v1/completions", {"prompt": "Once upon a time there was a dog. " * 8,
                                                                                "max_tokens": 1} | more,
                                                     {"authorization": "Bearer " + keys[key]})
                    self.assertEqual(status, 200, text)
                    return json.loads(text)["usage"]["prompt_tokens_details"]["cached_tokens"]

                self.assertEqual(cached("one"), 0)
                self.assertGreater(cached("same"), 0)
                self.assertEqual(cached("other"), 0)
                self.assertEqual(cached("one", cache_salt="x/y"), 0)
                self.assertGreater(cached("same", cache_salt="x/y"), 0)
                self.assertEqual(cached("sly", cache_salt="y"), 0)
                long = {"cache_salt": "s" * 100, "prompt_cache_key": "k" * 100}
                self.assertEqual(cached("one", **long), 0)
                self.assertGreater(cached("one", **long), 0)


if __name__ == "__main__":
    unittest.main()
