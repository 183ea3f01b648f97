#!/usr/bin/env python3
"""Sessions of browsers with `choir serve`, what pages of other origins may do, and the dashboard's files."""

import contextlib
import gzip
import http.client
import json
import signal
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

from cli_tools import choir
from serve_tools import PROMPT, TIMEOUT, Daemon

SESSION = "/choir/v1/session"
ALL = ["view", "infer", "metrics", "admin"]


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


class WithoutKeys(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.socket = folder / "choir.sock"
        cls.daemon = cls.enterClassContext(Daemon("--unix-socket", cls.socket))
        cls.daemon.complete()

    def loaded(self):
        return self.daemon.get("/choir/v1/models/stories260K")[1]["state"] == "loaded"

    def unload(self, headers):
        status, _, text = self.daemon.request("POST", "/choir/v1/models/stories260K/unload", b"", headers)
        return status, json.loads(text)

    def link(self):
        status, link = self.daemon.admin("POST", SESSION + "/link")
        self.assertEqual((status, link["expires_in_seconds"]), (200, 60), link)
        return link

    def test_a_client_of_this_machine_may_look_and_infer(self):
        self.assertEqual(self.daemon.get(SESSION), (200, {"tenant": "local", "scopes": ALL[:3], "expires_in_seconds": None}))
        self.assertEqual(self.daemon.post(SESSION, {})[0], 401)
        self.assertEqual(self.daemon.post(SESSION + "/link", {})[0], 403)

    def test_a_link_begins_one_session_that_may_change_things_until_it_is_ended(self):
        link = self.link()
        self.assertEqual(link["url"], f"{self.daemon.url}/ui/#code={link['code']}")
        status, headers, text = self.daemon.request("POST", SESSION, {"code": link["code"]})
        session = json.loads(text)
        self.assertEqual((status, headers["cache-control"]), (200, "no-store"), text)
        self.assertEqual((session["scopes"], session["expires_in_seconds"]), (ALL, 43200))
        status, reply = self.daemon.post(SESSION, {"code": link["code"]})
        self.assertEqual((status, reply["error"]["code"]), (401, "invalid_code"), reply)
        token = bearer(session["token"])
        self.assertEqual(self.unload(token)[0], 200)
        self.assertFalse(self.loaded())
        self.daemon.complete()
        who = json.loads(self.daemon.request("GET", SESSION, None, token)[2])
        self.assertTrue(43100 < who["expires_in_seconds"] <= 43200, who)
        self.assertEqual(self.daemon.request("DELETE", SESSION, None, token)[0], 200)
        status, reply = self.unload(token)
        self.assertEqual((status, reply["error"]["code"]), (401, "session_ended"), reply)
        self.assertEqual(self.daemon.request("GET", SESSION, None, token)[0], 401)
        self.assertTrue(self.loaded())

    def test_the_command_prints_a_link_that_works(self):
        done = choir("dashboard", "--unix-socket", self.socket, "--no-open")
        self.assertEqual(done.returncode, 0, done.stderr)
        page, _, code = done.stdout.strip().partition("#code=")
        self.assertEqual(page, self.daemon.url + "/ui/")
        self.assertEqual(self.daemon.post(SESSION, {"code": code})[0], 200)
        self.assertIn("no daemon answers", choir("dashboard", "--unix-socket", self.socket.with_name("none")).stderr)

    def test_a_page_of_another_origin_changes_nothing(self):
        token = bearer(self.daemon.post(SESSION, {"code": self.link()["code"]})[1]["token"])
        for page in ({"Origin": "http://127.0.0.1:3000"}, {"Origin": "https://evil.example"}, {"Origin": "null"},
                     {"Origin": self.daemon.url, "Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site"}):
            with self.subTest(page):
                status, reply = self.unload(token | page)
                self.assertEqual((status, reply["error"]["code"]), (403, "foreign_origin"), reply)
                self.assertTrue(self.loaded())
                for method, path in (("POST", "/v1/completions"), ("POST", SESSION), ("DELETE", SESSION),
                                     ("DELETE", "/choir/v1/models/stories260K"), ("POST", "/choir/v1/stop")):
                    self.assertEqual(self.daemon.request(method, path, b"", token | page)[0], 403, path)
        own = {"Origin": self.daemon.url, "Sec-Fetch-Site": "same-origin"}
        self.assertEqual(self.daemon.request("POST", "/v1/completions", PROMPT, own)[0], 200)
        self.assertEqual(self.unload(token | own)[0], 200)
        self.daemon.complete()


class WithKeys(unittest.TestCase):
    def setUp(self):
        self.keys = Path(self.enterContext(tempfile.TemporaryDirectory())) / "keys.json"
        self.alice = choir("key", "new", "alice", "--tenant", "acme", "--keys", self.keys).stdout.strip()
        self.admin = choir("key", "new", "ops", "--scope", "admin", "--scope", "view", "--keys", self.keys).stdout.strip()
        self.daemon = self.enterContext(Daemon("--keys", self.keys))

    def begin(self, key):
        status, _, text = self.daemon.request("POST", SESSION, b"", bearer(key))
        return status, json.loads(text)

    def test_a_session_has_the_rights_of_its_key_and_ends_with_it(self):
        self.assertEqual(self.daemon.get(SESSION), (200, {"tenant": None, "scopes": [], "expires_in_seconds": None}))
        self.assertEqual(self.begin("sk-choir-" + "a" * 43)[0], 401)
        status, session = self.begin(self.alice)
        self.assertEqual((status, session["tenant"], session["scopes"]), (200, "acme", ["view", "infer"]), session)
        token = bearer(session["token"])
        self.assertEqual(self.daemon.request("POST", "/v1/completions", PROMPT, token)[0], 200)
        self.assertEqual(self.daemon.request("POST", "/choir/v1/models/stories260K/unload", b"", token)[0], 403)
        self.assertEqual(self.begin(session["token"])[0], 401)  # else it would live for ever
        self.assertEqual(choir("key", "remove", "alice", "--keys", self.keys).returncode, 0)
        self.daemon.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + TIMEOUT
        status, code = 200, None
        # What is under way when the daemon reads its keys is cut off, or told that its key is gone.
        while code != "session_ended" and time.monotonic() < deadline:
            with contextlib.suppress(http.client.RemoteDisconnected):
                status, _, text = self.daemon.request("GET", "/v1/models", None, token)
                code = json.loads(text)["error"]["code"] if status != 200 else None
        self.assertEqual((status, code), (401, "session_ended"))

    def test_a_link_of_a_key_has_no_more_rights_than_the_key(self):
        status, _, text = self.daemon.request("POST", SESSION + "/link", b"", bearer(self.admin))
        self.assertEqual(status, 200, text)
        status, session = self.daemon.post(SESSION, {"code": json.loads(text)["code"]})
        self.assertEqual((status, session["tenant"], session["scopes"]), (200, "ops", ["view", "admin"]))
        self.assertEqual(self.daemon.request("POST", SESSION + "/link", b"", bearer(self.alice))[0], 403)


class History(unittest.TestCase):
    """What a page shows when it opens: the daemon has looked while there was work, and nobody was reading."""

    def test_has_what_was_computed_before_anybody_asked(self):
        with Daemon() as daemon:
            for _ in range(3):
                daemon.complete(max_tokens=100, ignore_eos=True)
            deadline = time.monotonic() + TIMEOUT
            tokens = 0
            while tokens < 299 and time.monotonic() < deadline:
                status, history = daemon.get("/choir/v1/history?seconds=60")
                tokens = sum(value or 0 for value in history["totals"]["output_tokens_per_second"])
                time.sleep(0.05)
            self.assertEqual((status, history["step_seconds"]), (200, 1))
            self.assertGreater(tokens, 299)
            own = history["models"]["stories260K"]["output_tokens_per_second"]
            self.assertEqual(len(own), 60)
            self.assertAlmostEqual(sum(value or 0 for value in own), tokens, delta=1)
            self.assertGreater(max(value or 0 for value in history["totals"]["bytes_promised"]), 0)
            self.assertGreater(max(value or 0 for value in history["totals"]["first_token_p95_ms"]), 0)
            self.assertEqual(daemon.get("/choir/v1/history?seconds=86400")[1]["step_seconds"], 10)
            for wrong in ("seconds=0", "seconds=86401", "seconds=a", "second=1"):
                self.assertEqual(daemon.get("/choir/v1/history?" + wrong)[0], 400, wrong)


def event_of(stream):
    """The next one with data: (event, id, data)."""
    event, number = None, None
    while line := stream.readline().decode():
        name, _, value = line.rstrip("\n").partition(": ")
        if name == "event":
            event = value
        elif name == "id":
            number = value
        elif name == "data" and event != "ping":
            return event, number, json.loads(value)
    raise AssertionError("the stream has ended")


class Events(unittest.TestCase):
    def open(self, daemon, query, headers=None):
        request = urllib.request.Request(daemon.url + "/choir/v1/events?topics=state" + query, headers=headers or {})
        return self.enterContext(urllib.request.urlopen(request, timeout=TIMEOUT))

    def test_go_on_where_the_connection_broke(self):
        with Daemon() as daemon:
            stream = self.open(daemon, "")
            _, _, hello = event_of(stream)
            event, number, _ = event_of(stream)
            self.assertEqual((hello["resumed"], event), (False, "snapshot"))
            stream.close()
            status, _ = daemon.admin("POST", "/choir/v1/models/stories260K/clone", {"name": "twin"})
            self.assertEqual(status, 200)
            stream = self.open(daemon, f"&since={hello['epoch']}-{number}")
            _, _, again = event_of(stream)
            self.assertEqual((again["resumed"], again["epoch"]), (True, hello["epoch"]))
            event, _, change = event_of(stream)
            self.assertEqual((event, [row["name"] for row in change["set"]]), ("delta", ["twin"]))
            of_another_daemon = self.open(daemon, f"&since={int(hello['epoch']) - 1}-{number}")
            self.assertFalse(event_of(of_another_daemon)[2]["resumed"])
            self.assertEqual(event_of(of_another_daemon)[0], "snapshot")
            self.assertEqual(daemon.get("/choir/v1/events?since=a")[0], 400)

    def test_end_with_their_session(self):
        with Daemon() as daemon:
            code = daemon.admin("POST", SESSION + "/link")[1]["code"]
            token = bearer(daemon.post(SESSION, {"code": code})[1]["token"])
            stream = self.open(daemon, "", token)
            self.assertEqual([event_of(stream)[0] for _ in range(2)], ["hello", "snapshot"])
            self.assertEqual(daemon.request("DELETE", SESSION, None, token)[0], 200)
            while (event := event_of(stream)[0]) != "bye":
                self.assertEqual(event, "delta")


class Dashboard(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        rows = (("index.html", "text/html; charset=utf-8", "plain", b"<!doctype html><title>t</title>"),
                ("app-0123.js", "text/javascript; charset=utf-8", "hashed", b"export {};\n" * 9))
        for path, _, _, data in rows:
            (self.folder / path).write_bytes(data)
            (self.folder / (path + ".gz")).write_bytes(gzip.compress(data))
        (self.folder / "manifest").write_text("".join("\t".join(row[:3]) + "\n" for row in rows))

    def test_is_served_with_headers_that_forbid_the_rest(self):
        with Daemon("--ui-dir", self.folder, model=None) as daemon:
            lines = [daemon.process.stdout.readline() for _ in range(5)]
            self.assertTrue(any(f"dashboard {daemon.url}/ui/#code=" in line for line in lines), lines)
            for path, kept in (("/ui/", "no-store"), ("/ui/index.html", "no-store"), ("/ui/app-0123.js", "immutable")):
                status, headers, text = daemon.request("GET", path)
                self.assertEqual(status, 200)
                self.assertIn(kept, headers["cache-control"])
                self.assertIn("trusted-types 'none'", headers["content-security-policy"])
                self.assertIn("default-src 'none'", headers["content-security-policy"])
                self.assertEqual(headers["x-content-type-options"], "nosniff")
                self.assertTrue(text)
                head, of_head, nothing = daemon.request("HEAD", path)
                self.assertEqual((head, of_head["content-length"], nothing), (200, headers["content-length"], ""))
            reply = daemon.raw(b"GET /ui/app-0123.js HTTP/1.0\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n")
            head, _, body = reply.partition(b"\r\n\r\n")
            self.assertIn(b"content-encoding: gzip", head)
            self.assertEqual(gzip.decompress(body), b"export {};\n" * 9)

    def test_gives_nothing_but_its_files(self):
        (self.folder / "secret").write_text("no")
        with Daemon("--ui-dir", self.folder, model=None) as daemon:
            for path in ("secret", "manifest", "none.js", "index.html.gz", "..%2fmanifest", "../manifest", "%2e%2e/manifest"):
                status, _, text = daemon.request("GET", "/ui/" + path)
                self.assertIn(status, (400, 404), path)
                self.assertNotIn("app-0123", text)
            self.assertEqual(daemon.request("GET", "/ui/%2e%2e/manifest")[0], 400)  # such a path is refused for all
            self.assertEqual(daemon.request("POST", "/ui/", b"")[0], 405)

    def test_is_where_a_browser_comes_first(self):
        with Daemon("--ui-dir", self.folder, model=None) as daemon:
            for path in ("/", "/ui"):
                reply = daemon.raw(f"GET {path} HTTP/1.0\r\nHost: localhost\r\nAccept: text/html,*/*\r\n\r\n".encode())
                self.assertTrue(reply.startswith(b"HTTP/1.1 302 ") or reply.startswith(b"HTTP/1.0 302 "), reply)
                self.assertIn(b"location: /ui/\r\n", reply)
            status, reply = daemon.get("/")  # a program
            self.assertEqual((status, reply["error"]["type"]), (404, "not_found_error"))

    def test_can_be_left_out(self):
        with Daemon("--no-ui", "--ui-dir", self.folder, model=None) as daemon:
            status, _, text = daemon.request("GET", "/ui/")
            self.assertEqual(status, 404)
            self.assertIn("--no-ui", text)
            self.assertEqual(daemon.request("GET", "/", None, {"Accept": "text/html"})[0], 404)


if __name__ == "__main__":
    unittest.main()
