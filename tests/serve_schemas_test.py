#!/usr/bin/env python3
"""What Choir's own routes and their events send is what the schemas of docs/openapi.json say, and no more."""

import json
import unittest

from schema_tools import SCHEMAS, faults, reply_faults
from serve_own_test import JOBS, MODEL
from serve_tools import Daemon, post_bytes, wait_until


class Schemas(unittest.TestCase):
    def setUp(self):
        self.daemon = self.enterContext(Daemon("--preload"))

    def assert_declared(self, method, path, reply, operation=None):
        status, value = reply
        self.assertEqual(status, 200, value)
        self.assertEqual(reply_faults(value, method, operation or path), [], path)
        return value

    def test_replies(self):
        daemon = self.daemon
        daemon.complete()
        for path in ("models", "requests", "requests/ended", "pulls", "catalogue", "history", "session", "turns"):
            self.assert_declared("get", f"/choir/v1/{path}", daemon.get(f"/choir/v1/{path}"))
        self.assert_declared("get", "/choir/v1/turns", daemon.get("/choir/v1/turns?format=chrome"))
        self.assert_declared("get", "/choir/v1/models", daemon.get(f"/choir/v1/models/{MODEL}"), "/choir/v1/models/{model}")
        self.assert_declared("get", "/choir/v1/cells", daemon.get(f"/choir/v1/cells/{MODEL}"), "/choir/v1/cells/{cell}")
        self.assert_declared("get", "/v1/models", daemon.get("/v1/models"))
        self.assert_declared("get", "/v1/models", daemon.get(f"/v1/models/{MODEL}"), "/v1/models/{model}")
        self.assert_declared("post", "/choir/v1/estimate", daemon.post("/choir/v1/estimate", {"model": MODEL}))
        report = self.assert_declared("post", "/choir/v1/parallel", daemon.post("/choir/v1/parallel", JOBS))
        alone = JOBS | {"order": "one_at_a_time", "against": report}
        self.assertIn("comparison", self.assert_declared("post", "/choir/v1/parallel", daemon.post("/choir/v1/parallel", alone)))
        self.assert_declared("post", "/choir/v1/session", daemon.admin("POST", "/choir/v1/session", {}))
        self.assert_declared("post", "/choir/v1/session/link", daemon.admin("POST", "/choir/v1/session/link"))
        self.assert_declared("post", "/choir/v1/models", daemon.admin("POST", f"/choir/v1/models/{MODEL}/clone", {"name": "b"}),
                             "/choir/v1/models/{model}/clone")
        self.assert_declared("delete", "/choir/v1/models", daemon.admin("DELETE", "/choir/v1/models/b"),
                             "/choir/v1/models/{model}")

    def test_requests_that_run_and_that_wait(self):
        daemon = self.daemon
        daemon.admin("POST", f"/choir/v1/models/{MODEL}/suspend")
        with daemon.connect() as connection:
            connection.sendall(post_bytes("/v1/completions", {"model": MODEL, "prompt": "a", "max_tokens": 4}))
            rows = wait_until(lambda: daemon.get("/choir/v1/requests")[1]["requests"])
            self.assertIn("why", rows[0])
            self.assert_declared("get", "/choir/v1/requests", (200, {"requests": rows}))
            cancelled = daemon.admin("DELETE", f"/choir/v1/requests/{rows[0]['id']}")
            self.assert_declared("delete", "/choir/v1/requests", cancelled, "/choir/v1/requests/{request}")

    def test_events_of_a_parallel_call(self):
        kinds = set()
        alone = {"order": "one_at_a_time", "against": {"total_tokens": 16, "total_seconds": 0.5}}
        for text in self.daemon.events("/choir/v1/parallel", JOBS | alone):
            event = json.loads(text)
            kinds.add(event["type"])
            self.assertEqual(faults(event, SCHEMAS["ParallelEvent"]), [], event)
        self.assertEqual(kinds, {"begin", "begun", "text", "end", "report"})

    def test_events_of_the_node(self):
        frames = {"state": "StateFrame", "requests": "RequestsFrame", "turns": "TurnsFrame"}
        told = set()
        self.daemon.admin("POST", f"/choir/v1/models/{MODEL}/suspend")  # so that the request is seen
        with self.daemon.connect() as events, self.daemon.connect() as asking:
            events.sendall(b"GET /choir/v1/events?topics=state,requests,turns HTTP/1.1\r\nHost: localhost\r\n\r\n")
            event = None
            for line in events.makefile("rb"):
                name, _, value = line.strip().partition(b": ")
                if name == b"event":
                    event = value.decode()
                    self.assertNotEqual(event, "ping", f"nothing more comes; so far {told}")
                if name != b"data":
                    continue
                data = json.loads(value)
                schema = "HelloEvent" if event == "hello" else frames[data["topic"]]
                self.assertEqual(faults(data, SCHEMAS[schema]), [], data)
                told.add((event, data.get("topic")))
                if (event, data.get("topic")) == ("snapshot", "requests"):
                    asking.sendall(post_bytes("/v1/completions", {"model": MODEL, "prompt": "a", "max_tokens": 4}))
                if (event, data.get("topic")) == ("delta", "requests") and data.get("set"):
                    self.daemon.admin("POST", f"/choir/v1/models/{MODEL}/resume")
                if told >= {("hello", None), ("snapshot", "state"), ("snapshot", "requests"), ("delta", "state"),
                            ("delta", "requests"), ("turns", "turns")}:
                    break


class Faults(unittest.TestCase):
    """The check itself."""

    def test_finds_what_is_missing_more_or_of_another_kind(self):
        row = {"name": "a", "removed": True}
        self.assertEqual(faults(row, SCHEMAS["Removed"]), [])
        self.assertEqual(faults({"name": "a"}, SCHEMAS["Removed"]), [": 'removed' is missing"])
        self.assertEqual(faults(row | {"more": 1}, SCHEMAS["Removed"]), [": 'more' is not in the schema"])
        self.assertEqual(faults(row | {"name": 1}, SCHEMAS["Removed"]), ["/name: 1 is none of ['string']"])
        self.assertEqual(faults(row | {"removed": False}, SCHEMAS["Removed"]), ["/removed: False is not one of its values"])


if __name__ == "__main__":
    unittest.main()
