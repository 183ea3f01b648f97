#!/usr/bin/env python3
"""Which model a name is, that of a request without one, and what sizes that were asked for become."""

import json
import shutil
import tempfile
import unittest
from pathlib import Path

from cli_tools import STORIES

from serve_tools import Daemon, wait_until

MODEL = "stories260K"

class Names(unittest.TestCase):
    def setUp(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        shutil.copy(STORIES, folder / "other.gguf")
        self.daemon = self.enterContext(Daemon(models=folder))

    def test_a_file_that_nobody_has_asked_for_is_shown(self):
        for path in ("/props?model=other", "/slots?model=other", "/choir/v1/models/other", "/choir/v1/cells/other"):
            with self.subTest(path):
                daemon = self.daemon
                self.assertEqual(daemon.get(path)[0], 200)
                self.assertEqual(daemon.admin("DELETE", "/choir/v1/models/other")[0], 200)  # not known again
        status, props = self.daemon.get("/props?model=other.gguf")
        self.assertEqual((status, props["is_sleeping"]), (200, True))

    def test_the_list_tells_what_a_file_is_that_nobody_has_asked_for(self):
        def row():
            return next(row for row in self.daemon.get("/v1/models")[1]["data"] if row["id"] == "other")
        listed = wait_until(lambda: (found := row()) and "capabilities" in found and found)  # its head is read at the start
        self.assertEqual(listed["capabilities"], ["completion", "chat"])
        self.assertEqual(listed["status"]["value"], "unloaded")
        self.daemon.complete(model="other")
        for name in ("n_ctx", "n_ctx_train", "n_params", "ftype", "size"):
            self.assertEqual(listed["meta"][name], row()["meta"][name], name)

    def test_a_request_without_a_name_is_for_the_model_that_is_served(self):
        self.assertEqual(self.daemon.complete(model="other")["model"], "other")
        self.assertEqual(self.daemon.complete()["model"], MODEL)
        self.assertEqual(Path(self.daemon.get("/props")[1]["model_path"]).name, f"{MODEL}.gguf")

    def test_a_tag_is_no_part_of_what_is_near(self):
        _, reply = self.daemon.post("/v1/completions", {"model": "othr:latest", "prompt": "a"})
        self.assertIn("did you mean 'other'?", reply["error"]["message"])

    def test_what_is_wrong_in_a_header_is_told_of_the_header(self):
        status, _, text = self.daemon.request("POST", "/v1/completions", {"prompt": "a"}, {"x-priority": "urgent"})
        error = json.loads(text)["error"]
        self.assertEqual((status, error["param"], error.get("pointer")), (400, "x-priority", None), error)
        self.assertTrue(error["message"].startswith("'x-priority' "), error)

    def test_a_model_that_is_not_there_has_one_code(self):
        status, reply = self.daemon.get("/v1/models/nope")
        self.assertEqual((status, reply["error"]["code"], reply["error"]["param"]), (404, "model_not_found", "model"))

    def test_a_path_that_is_near(self):
        status, reply = self.daemon.get("/choir/v1/modles")
        self.assertEqual(status, 404)
        self.assertIn("did you mean '/choir/v1/models'?", reply["error"]["message"])
        self.assertEqual(self.daemon.request("PUT", "/v1/models")[1]["allow"], "GET, HEAD")

class Sizes(unittest.TestCase):
    def setUp(self):
        self.daemon = self.enterContext(Daemon())

    def test_more_tokens_than_the_model_was_trained_for_are_refused(self):
        for path, body in (("/choir/v1/models", {"name": "b", "model": MODEL}), ("/choir/v1/estimate", {"model": MODEL}),
                           (f"/choir/v1/models/{MODEL}/resize", {})):
            status, reply = self.daemon.admin("POST", path, body | {"sequence_tokens_max": 100_000})
            self.assertEqual(status, 400, path)
            self.assertIn("'sequence_tokens_max' is 100000; the model was trained for", reply["error"]["message"])

    def test_fewer_cells_than_a_sequence_may_have_are_its_limit(self):
        self.assertEqual(self.daemon.admin("POST", "/choir/v1/models", {"name": "b", "model": MODEL, "context_tokens": 60})[0], 200)
        status, headers, text = self.daemon.request("POST", "/v1/completions", {
            "model": "b", "prompt": "Once", "max_tokens": 200, "ignore_eos": True})
        usage = json.loads(text)["usage"]
        self.assertEqual((status, usage["total_tokens"]), (200, 60))
        self.assertEqual(int(headers["x-choir-max-tokens"]), usage["completion_tokens"])
        self.assertEqual(self.daemon.get("/v1/models/b")[1]["meta"]["n_ctx"], 60)
        self.assertEqual(self.daemon.get("/props?model=b")[1]["default_generation_settings"]["n_ctx"], 60)

    def test_free_bytes_are_what_is_left(self):
        self.daemon.complete()
        _, estimate = self.daemon.post("/choir/v1/estimate", {"model": MODEL})
        self.assertGreater(estimate["promised_bytes"], 0)
        self.assertLessEqual(estimate["free_bytes"], estimate["limit_bytes"] - estimate["promised_bytes"])

    def test_strict_fields_of_a_route_of_llama(self):
        body = {"content": "Hello", "contnt": 1}
        self.assertEqual(self.daemon.post("/tokenize", body)[0], 200)
        status, reply = self.daemon.post("/tokenize", body | {"strict_fields": True})
        self.assertEqual(status, 400)
        self.assertIn("did you mean 'content'?", reply["error"]["message"])
        self.assertEqual(self.daemon.post("/tokenize", {"content": "Hello", "strict_fields": True})[0], 200)

    def test_fields_that_routes_of_tokens_ignore_are_named(self):
        messages = [{"role": "user", "content": "Hello", "mood": 1}]
        for path, body, named in (("/tokenize", {"content": "Hello"}, "a%2Cb, foo"),
                                  ("/detokenize", {"tokens": [5]}, "a%2Cb, foo"),
                                  ("/apply-template", {"messages": messages}, "a%2Cb, foo, messages.0.mood"),
                                  ("/v1/chat/completions/input_tokens", {"messages": messages}, "a%2Cb, foo, messages.0.mood")):
            with self.subTest(path):
                status, headers, _ = self.daemon.request("POST", path, body | {"a,b": 1, "foo": None})
                self.assertEqual((status, headers["x-choir-ignored"]), (200, named))
                self.assertIsNone(self.daemon.request("POST", "/tokenize", {"content": "a"})[1]["x-choir-ignored"])
        status, reply = self.daemon.post("/apply-template", {"messages": messages, "strict_fields": True})
        self.assertEqual((status, reply["error"]["pointer"]), (400, "/messages/0/mood"))

if __name__ == "__main__":
    unittest.main()
