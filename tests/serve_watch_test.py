#!/usr/bin/env python3
"""The events of a daemon over sockets, and its last turns."""

import contextlib
import json
import tempfile
import unittest
from pathlib import Path

from cli_tools import choir
from serve_tools import TIMEOUT, Daemon, post_bytes

MODEL = "stories260K"


class Reader:
    """Reads events of a stream, until the end of a `with` block."""

    def __init__(self, daemon, topics, key=None):
        self.connection = daemon.connect()
        more = f"Authorization: Bearer {key}\r\n" if key else ""
        self.connection.sendall(f"GET /choir/v1/events?topics={topics} HTTP/1.0\r\nHost: localhost\r\n{more}\r\n".encode())
        self.text = b""
        self.head = self.part(b"\r\n\r\n").decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def part(self, end):
        while end not in self.text:
            data = self.connection.recv(65536)
            if not data:
                return None
            self.text += data
        part, _, self.text = self.text.partition(end)
        return part

    def next(self):
        """(event, data); None at the end."""
        part = self.part(b"\n\n")
        if part is None:
            return None
        fields = dict(line.split(": ", 1) for line in part.decode().split("\n"))
        return fields["event"], json.loads(fields["data"])

    def until(self, holds):
        while (frame := self.next()) and (frame[0] == "ping" or not holds(*frame)):
            pass
        if not frame:
            raise AssertionError("the stream has ended")
        return frame[1]


def told(data):
    """Rows that are new, and parts of rows that have changed."""
    return data["set"] + data.get("changed", [])


class Events(unittest.TestCase):
    def test_begin_with_all_there_is_and_go_on_with_changes(self):
        with Daemon() as daemon, Reader(daemon, "state,requests") as reader:
            self.assertIn("text/event-stream", reader.head)
            event, hello = reader.next()
            self.assertEqual((event, hello["tenant"], hello["topics"]), ("hello", "local", ["state", "requests"]))
            event, state = reader.next()
            self.assertEqual((event, state["topic"], state["rows"][0]["state"]), ("snapshot", "state", "unloaded"))
            self.assertEqual(reader.next()[1]["rows"], [])
            daemon.complete()
            reader.until(lambda _, data: data["topic"] == "state" and any(row.get("state") == "loaded" for row in told(data)))
            daemon.admin("POST", f"/choir/v1/models/{MODEL}/suspend")
            with daemon.connect() as connection:
                connection.sendall(post_bytes("/v1/completions", {"prompt": "a"}))
                # A look may have seen the request before, too.
                data = reader.until(lambda _, data: data["topic"] == "requests" and any("why" in row for row in told(data)))
                row = next(row for row in told(data) if "why" in row)
                row = {"model": MODEL} | row  # a look may have told of the rest before
                self.assertEqual((row["model"], row["why"]["reason"]), (MODEL, "suspended"))
                while "ahead" not in row:
                    data = reader.until(lambda _, data: data["topic"] == "requests" and told(data))
                    row |= told(data)[0]
                self.assertEqual((row["ahead"], row["expected_seconds"]), (0, None), row)
            reader.until(lambda _, data: data["topic"] == "requests" and row["id"] in data["gone"])
            daemon.process.terminate()
            reader.until(lambda event, _: event == "bye")
            self.assertIsNone(reader.next())
            daemon.process.wait(TIMEOUT)  # a second SIGTERM would come in the middle of its end

    def test_of_turns_tell_what_the_lanes_compute(self):
        with Daemon() as daemon, Reader(daemon, "turns") as reader:
            reader.until(lambda event, _: event == "hello")
            event, first = reader.next()
            self.assertEqual((event, [lane["blocks"] for lane in first["lanes"] if lane["blocks"]]), ("turns", []))
            usage = daemon.complete(max_tokens=5, ignore_eos=True)["usage"]
            seen = {}

            def count(lanes, rows):
                for lane in lanes:
                    for _, length, model, prompt_rows, decode_rows, priority, last, *threads in lane[rows]:
                        self.assertEqual((model, priority), (MODEL, "normal"))
                        self.assertGreater(length, 0)
                        self.assertGreater(last, 0)
                        self.assertEqual(threads[-1], 0, "nothing else had work")
                        self.assertEqual(len(threads), 1 + (rows == "blocks"))
                        yield prompt_rows, decode_rows

            def add(prompt_rows, decode_rows):
                seen["prompt"] = seen.get("prompt", 0) + prompt_rows
                seen["decode"] = seen.get("decode", 0) + decode_rows

            def complete(event, data):
                self.assertEqual(event, "turns")
                for rows in count(data["lanes"], "blocks"):
                    add(*rows)
                return seen.get("decode", 0) >= 4

            reader.until(complete)
            self.assertEqual(seen, {"prompt": usage["prompt_tokens"], "decode": 4})
            exact = daemon.get("/choir/v1/turns")[1]
            rows = list(count(exact["lanes"], "turns"))
            self.assertEqual([sum(column) for column in zip(*rows, strict=True)], [usage["prompt_tokens"], 4])
            self.assertEqual(len(rows), 5)
            for query, count_of in ((f"to_us={exact['now_us']}", 5), (f"from_us={exact['now_us']}", 0)):
                lanes = daemon.get("/choir/v1/turns?" + query)[1]["lanes"]
                self.assertEqual(sum(len(lane["turns"]) for lane in lanes), count_of, query)
            trace = daemon.get("/choir/v1/turns?format=chrome")[1]["traceEvents"]
            self.assertEqual([event["name"] for event in trace if event["ph"] == "X"], [MODEL] * 5)
            for query, says in (("from_us=-1", "from 0 to"), ("to_us=1000000000000001", "from 0 to 1000000000000000"),
                                ("format=xml", "choir and chrome"), ("form_us=1", "from_us")):
                status, reply = daemon.get("/choir/v1/turns?" + query)
                self.assertEqual(status, 400)
                self.assertIn(says, reply["error"]["message"])

    def test_of_requests_are_the_tenants_own(self):
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            file = Path(folder) / "keys.json"
            keys = {name: choir("key", "new", name, "--keys", file, *more).stdout.strip()
                    for name, more in (("alice", []), ("bob", []), ("boss", ["--scope", "admin", "--scope", "view"]))}
            daemon = stack.enter_context(Daemon("--keys", file))
            readers = {name: stack.enter_context(Reader(daemon, "requests", key)) for name, key in keys.items()}
            daemon.admin("POST", f"/choir/v1/models/{MODEL}/load")
            daemon.admin("POST", f"/choir/v1/models/{MODEL}/suspend")
            for name in ("alice", "bob"):
                connection = stack.enter_context(daemon.connect())
                connection.sendall(post_bytes("/v1/completions", {"prompt": "a"}, f"Authorization: Bearer {keys[name]}\r\n"))

            def tenants(name, count):
                seen = set()
                readers[name].until(lambda _, data: seen.update(row["tenant"] for row in data.get("set", data.get("rows", []))) or
                                    len(seen) == count)
                return seen

            self.assertEqual(tenants("boss", 2), {"alice", "bob"})
            self.assertEqual(tenants("alice", 1), {"alice"})
            self.assertEqual(tenants("bob", 1), {"bob"})
            for name, expected in (("alice", ["alice"]), ("boss", ["alice", "bob"])):
                _, _, text = daemon.request("GET", "/choir/v1/requests", headers={"x-api-key": keys[name]})
                self.assertEqual(sorted(row["tenant"] for row in json.loads(text)["requests"]), expected)
            daemon.admin("POST", f"/choir/v1/models/{MODEL}/resume")

    def test_refuse_what_is_wrong(self):
        with Daemon() as daemon:
            for query, expected, says in (("topics=log", 403, "admin"), ("topics=stat", 400, "did you mean 'state'?"),
                                          ("topic=state", 400, "did you mean 'topics'?")):
                status, reply = daemon.get("/choir/v1/events?" + query)
                self.assertEqual(status, expected)
                self.assertIn(says, reply["error"]["message"])


if __name__ == "__main__":
    unittest.main()
