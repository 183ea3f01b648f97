#!/usr/bin/env python3
"""Replicas of a model: several executors that share its requests."""

import concurrent.futures
import json
import pathlib
import tempfile
import unittest

from cli_tools import STORIES, choir
from serve_tools import Daemon, post_bytes

NAME = "tales"
PROMPTS = [f"Once upon a time there was a {thing}" for thing in
           ("cat", "dog", "girl", "boy", "bird", "tree", "house", "ball", "fish", "bear", "car", "hat")]
LONG = {"model": NAME, "prompt": "Once", "max_tokens": 60000, "ignore_eos": True, "stream": True}


def settings(folder, *models):
    file = pathlib.Path(folder) / "serve.yaml"
    file.write_text("models:\n" + "".join(f"  - {json.dumps(model)}\n" for model in models))
    return file


def serve(replicas, **more):
    """A daemon with the model NAME; its files are there while it starts."""
    with tempfile.TemporaryDirectory() as folder:
        model = {"model": STORIES, "name": NAME, "aliases": ["fables"], "replicas": replicas, "context_tokens": 65536} | more
        return Daemon("--config", settings(folder, model), model=None)


def rows(daemon):
    return {row["name"]: row for row in daemon.get("/choir/v1/models")[1]["models"]}


def listed(daemon):
    return {row["id"]: row for row in daemon.get("/v1/models")[1]["data"]}


def change(daemon, count, name=NAME):
    return daemon.admin("POST", f"/choir/v1/models/{name}/replicas", {"count": count})


class Streaming:
    """A generation that is under way from the beginning of the `with` block to its end."""

    def __init__(self, daemon, model=NAME):
        self.connection = daemon.connect()
        self.connection.sendall(post_bytes("/v1/completions", LONG | {"model": model}))
        self.head = b""
        while b"data:" not in self.head:
            self.head += self.connection.recv(4096)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


class Requests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(serve(2, preload=True))

    def done(self):
        return [rows(self.daemon)[name]["requests_done"] for name in (NAME, f"{NAME}@2")]

    def test_that_come_together_go_to_both(self):
        with Streaming(self.daemon), Streaming(self.daemon, "fables"):
            running = {request["model"] for request in self.daemon.get("/choir/v1/requests")[1]["requests"]}
        self.assertEqual(running, {NAME, f"{NAME}@2"})

    def test_have_the_texts_of_one_executor(self):
        def text(prompt, model):
            reply = self.daemon.complete(prompt, model=model, max_tokens=24)
            self.assertEqual(reply["model"], model)
            return reply["choices"][0]["text"]

        alone = [text(prompt, f"{NAME}@2") for prompt in PROMPTS]
        before = self.done()
        # So many that the other one gets some, even where a busy machine made it look many times as slow.
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            together = list(pool.map(lambda prompt: text(prompt, NAME), PROMPTS * 4))
        self.assertEqual(together, alone * 4)
        for first, then in zip(before, self.done()):
            self.assertGreater(then, first)

    def test_of_one_chat_go_where_it_was_computed(self):
        def turn(messages):
            status, reply = self.daemon.post("/v1/chat/completions", {
                "model": NAME, "messages": messages, "max_tokens": 8, "temperature": 0})
            self.assertEqual(status, 200, reply)
            return reply["choices"][0]["message"], reply["usage"]["prompt_tokens_details"]["cached_tokens"]

        for about in PROMPTS:  # each begins where there is less to do, whichever that is
            messages = [{"role": "user", "content": f"Tell me about this: {about}."}]
            for _ in range(2):
                answer, _ = turn(messages)
                messages += [answer, {"role": "user", "content": "And then?"}]
            self.assertGreater(turn(messages)[1], 20)

    def test_of_one_name_go_there(self):
        before = self.done()
        self.assertEqual(self.daemon.complete(model=f"{NAME}@2")["model"], f"{NAME}@2")
        self.assertEqual(self.done(), [before[0], before[1] + 1])

    def test_of_one_call_are_shared(self):
        before = self.done()
        status, report = self.daemon.post("/choir/v1/parallel", {"models": ["fables"], "prompts": PROMPTS * 4, "max_tokens": 8})
        self.assertEqual(status, 200, report)
        self.assertEqual(json.dumps(report).count(f"{NAME}@"), 0)
        shares = [then - first for first, then in zip(before, self.done())]
        self.assertEqual(sum(shares), len(PROMPTS * 4))
        self.assertGreater(min(shares), 0)  # not half each: what counts is the measured time

    def test_are_shown_as_those_of_one_model(self):
        models = listed(self.daemon)
        self.assertNotIn(f"{NAME}@2", models)
        self.assertEqual(models[NAME]["replicas"], 2)
        with Streaming(self.daemon), Streaming(self.daemon):
            self.assertEqual(listed(self.daemon)[NAME]["running"], 2)
        self.assertEqual(self.daemon.get(f"/v1/models/{NAME}@2")[1]["id"], f"{NAME}@2")
        self.assertEqual(rows(self.daemon)[f"{NAME}@2"]["replica_of"], NAME)
        self.assertNotIn("replica_of", rows(self.daemon)[NAME])
        shown = choir("ps", "--unix-socket", self.daemon.socket).stdout
        self.assertRegex(shown, rf"(?m)^{NAME} +loaded +[0-9]")
        self.assertRegex(shown, rf"(?m)^{NAME}@2 +loaded +\+ [0-9]")
        self.assertRegex(shown, r"(?m)^in memory: .* of .*; \+: shares the weights of the same file above$")
        metrics = self.daemon.request("GET", "/metrics")[2]
        self.assertIn(f'model_name="{NAME}@2"', metrics)

    def test_that_name_no_model_go_to_the_only_one(self):
        self.assertEqual(self.daemon.complete()["model"], NAME)


class Changes(unittest.TestCase):
    def test_of_the_number_are_live(self):
        with serve(1) as daemon:
            text = daemon.complete(model=NAME)["choices"][0]["text"]
            status, row = change(daemon, 3, "fables")
            self.assertEqual((status, row["replicas"]), (200, 3), row)
            self.assertEqual(daemon.admin("POST", f"/choir/v1/models/{NAME}/load")[0], 200)  # waits for the loads
            self.assertEqual({row["state"] for row in rows(daemon).values()}, {"loaded"})
            weights = {row["weight_bytes"] for row in rows(daemon).values()}
            self.assertEqual(daemon.complete(model=f"{NAME}@3")["choices"][0]["text"], text)
            self.assertEqual(len(weights), 1, weights)
            with Streaming(daemon, f"{NAME}@2"):
                status, reply = change(daemon, 1)
                self.assertEqual(status, 409, reply)
                self.assertIn(f"'{NAME}@2' has 1 requests", reply["error"]["message"])
                self.assertEqual(listed(daemon)[NAME]["replicas"], 3)
                self.assertEqual(change(daemon, 2)[0], 200)
            status, reply = daemon.admin("DELETE", f"/choir/v1/models/{NAME}@2?requests=cancel")
            self.assertEqual(status, 200, reply)
            self.assertEqual(list(rows(daemon)), [NAME])
            self.assertNotIn("replicas", listed(daemon)[NAME])
            self.assertEqual(daemon.complete(model=NAME)["choices"][0]["text"], text)

    def test_that_are_wrong_change_nothing(self):
        with serve(2) as daemon:
            for wrong in (0, 17, "2", None):
                self.assertEqual(change(daemon, wrong)[0], 400, wrong)
            self.assertEqual(change(daemon, 1, f"{NAME}@2")[0], 400)
            self.assertEqual(daemon.admin("POST", "/choir/v1/models/none/replicas", {"count": 2})[0], 404)
            self.assertEqual(daemon.post(f"/choir/v1/models/{NAME}/replicas", {"count": 3})[0], 403)
            status, reply = daemon.admin("POST", f"/choir/v1/models/{NAME}/clone", {"name": f"{NAME}@3"})
            self.assertEqual(status, 200, reply)
            self.assertEqual(change(daemon, 4)[0], 409)
            self.assertEqual(sorted(rows(daemon)), [NAME, f"{NAME}@2", f"{NAME}@3"])
            self.assertEqual(listed(daemon)[NAME]["replicas"], 2)

    def test_do_not_take_the_alias_of_a_model(self):
        with serve(1, aliases=[f"{NAME}@3"]) as daemon:
            self.assertEqual(change(daemon, 3)[0], 409)
            self.assertEqual(list(rows(daemon)), [NAME])

    def test_of_a_model_are_those_of_its_replicas(self):
        with serve(2) as daemon:
            def act(action, body=None):
                status, reply = daemon.admin("POST", f"/choir/v1/models/{NAME}/{action}", body)
                self.assertEqual(status, 200, reply)

            def every(field):
                return [row[field] for row in rows(daemon).values()]

            act("load")
            self.assertEqual(every("state"), ["loaded"] * 2)
            act("pin")
            self.assertEqual(every("pinned"), [True] * 2)
            act("resize", {"sequences_max": 3, "sequence_tokens_max": 64})
            self.assertEqual(every("sequences_max"), [3] * 2)
            act("suspend")
            self.assertEqual(every("state"), ["suspended"] * 2)
            act("resume")
            act("unload")
            self.assertEqual(every("state"), ["unloaded"] * 2)
            self.assertEqual(daemon.admin("POST", "/models/load", {"model": NAME})[0], 200)
            act("load")
            self.assertEqual(daemon.admin("POST", "/models/unload", {"model": NAME})[0], 200)
            self.assertEqual(every("state"), ["unloaded"] * 2)
            self.assertEqual(daemon.admin("DELETE", f"/choir/v1/models/{NAME}")[0], 200)
            self.assertEqual(rows(daemon), {})


class Settings(unittest.TestCase):
    def test_are_checked(self):
        model = {"model": STORIES, "name": NAME}
        for models, complaint in (([model | {"replicas": 0}], "replicas"),
                                  ([model | {"replicas": 17}], "replicas"),
                                  ([model | {"name": f"{NAME}@2"}, model | {"replicas": 2}], f"the name '{NAME}@2' is there twice"),
                                  ([model | {"replicas": 2, "aliases": [f"{NAME}@2"]}], "replicas of a model are named NAME@2")):
            with tempfile.TemporaryDirectory() as folder:
                done = choir("serve", "--port", "0", "--config", settings(folder, *models))
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(complaint, done.stderr)

    def test_keep_all_in_memory_for_as_long(self):
        with serve(2, preload=True, keep_alive="10m") as daemon:
            daemon.complete(model=NAME)
            self.assertEqual([len(row["leases"]) for row in rows(daemon).values()], [1, 1])


if __name__ == "__main__":
    unittest.main()
