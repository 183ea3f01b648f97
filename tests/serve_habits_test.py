#!/usr/bin/env python3
"""Requests as programs send them (clients/habits/*.json), to `choir serve`.

A file has `stands_for`, `path`, `body` and the `status` of the answer. `param` is the field that an error names, `says` a
part of its message, `ignored` the fields that the answer names in x-choir-ignored. With `answers_without` the same request
without these fields is answered. The files are written for this test, after the documentation of the programs.
"""

import json
import os
import unittest
from pathlib import Path

from serve_tools import Daemon

HABITS = sorted((Path(os.environ["CHOIR_REPO"]) / "tests" / "clients" / "habits").glob("*.json"))


class Habits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon("--context-tokens", 1024))

    def send(self, path, body):
        """The headers and the text of an answer, which must be 200 and complete."""
        status, headers, text = self.daemon.request("POST", path, body)
        self.assertEqual(status, 200, text)
        if body.get("stream"):
            *events, done = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
            self.assertEqual(done, "[DONE]")
            choices = [choice for event in events for choice in json.loads(event)["choices"]]
            counts = [event for event in map(json.loads, events) if event.get("usage")]
            self.assertEqual(len(counts), bool((body.get("stream_options") or {}).get("include_usage")))
        else:
            choices = json.loads(text)["choices"]
        self.assertIn(choices[-1]["finish_reason"], ("stop", "length"))
        return headers

    def test_have_their_answers(self):
        self.assertGreater(len(HABITS), 30)
        for file in HABITS:
            with self.subTest(file.stem):
                self.check(json.loads(file.read_text()))

    def check(self, habit):
        path, body = habit["path"], habit["body"]
        if habit["status"] == 200:
            headers = self.send(path, body)
            named = headers["x-choir-ignored"]
            self.assertEqual(sorted(named.split(", ")) if named else [], sorted(habit.get("ignored", [])))
            return
        status, reply = self.daemon.post(path, body)
        self.assertEqual((status, reply["error"]["param"]), (habit["status"], habit["param"]), reply)
        self.assertIn(habit.get("says", habit["param"]), reply["error"]["message"])
        if without := habit.get("answers_without"):
            self.send(path, {name: value for name, value in body.items() if name not in without})


if __name__ == "__main__":
    unittest.main()
