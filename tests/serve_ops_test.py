#!/usr/bin/env python3
"""What an operator of `choir serve` relies on: access log, request ids, limits, metrics, the service manager."""

import contextlib
import json
import os
import re
import resource
import select
import shutil
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from cli_tools import CHOIR, choir
from serve_tools import PROMPT, TIMEOUT, Daemon, lines_of, post_bytes, read_all, read_reply, wait_until

REPO = Path(os.environ["CHOIR_REPO"])
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def keys_in(folder, *names):
    """A file of keys, and the key of each name."""
    file = Path(folder) / "keys.json"
    return file, {name: choir("key", "new", name, "--keys", file).stdout.strip() for name in names}


class AccessLog(unittest.TestCase):
    def line(self, file, **fields):
        return wait_until(lambda: [line for line in lines_of(file) if fields.items() <= line.items()])[0]

    def test_has_a_line_for_each_request(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "access.log"
            with Daemon("--access-log", file) as daemon:
                daemon.complete()
                _, headers, _ = daemon.request("POST", "/v1/completions?token=secret", PROMPT,
                                               {"x-request-id": "my-1", "traceparent": TRACE, "x-api-key": "sk-any"})
                self.assertEqual(headers["x-request-id"], "my-1")
                self.assertRegex(headers["traceparent"], "^" + TRACE[:36] + "[0-9a-f]{16}-01$")
                self.assertNotEqual(headers["traceparent"], TRACE)
                line = self.line(file, id="my-1")
                self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
                self.assertGreater(line["seconds"], 0)
                self.assertGreater(line["first_token_seconds"], 0)
                self.assertGreater(line["bytes"], 100)
                self.assertEqual(line["traceparent"], headers["traceparent"])
                self.assertEqual({k: line[k] for k in ("client", "method", "path", "status", "tenant", "model", "output_tokens")},
                                 {"client": "127.0.0.1", "method": "POST", "path": "/v1/completions", "status": 200,
                                  "tenant": "local", "model": "stories260K", "output_tokens": 12})
                usage = daemon.complete()["usage"]
                self.assertEqual(line["prompt_tokens"], usage["prompt_tokens"])
                self.assertLess(line["reused_tokens"], usage["prompt_tokens"])

                _, headers, _ = daemon.request("GET", "/nothing")
                self.assertRegex(headers["x-request-id"], "^[0-9a-f]{32}$")
                self.assertIsNone(headers["traceparent"])
                self.assertEqual(self.line(file, id=headers["x-request-id"])["status"], 404)
                reply = daemon.raw(b"hello\r\n\r\n").decode()
                found = re.search("x-request-id: (\\w+)", reply)
                self.assertEqual(self.line(file, id=found[1])["status"], 400)
                daemon.admin("GET", "/health")
                self.line(file, client="unix")
                status, headers, _ = daemon.request("POST", "/v1/embeddings", {"model": "stories260K", "input": "a"})
                self.assertEqual((status, self.line(file, id=headers["x-request-id"])["model"]), (400, "stories260K"))
                status, headers, _ = daemon.request("POST", "/v1/completions", PROMPT | {"model": "nothing"})
                self.assertEqual((status, self.line(file, id=headers["x-request-id"]).get("model")), (404, None))
            text = file.read_text()
            for secret in ("Once upon", "secret", "sk-any"):
                self.assertNotIn(secret, text)
            self.assertEqual(len(lines_of(file)), 8)

    def test_tells_of_clients_that_have_gone(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "access.log"
            with Daemon("--access-log", file, "--context-tokens", 512) as daemon:
                daemon.complete()
                with daemon.connect() as connection:
                    connection.sendall(post_bytes("/v1/completions", PROMPT | {"max_tokens": 100000, "ignore_eos": True,
                                                                               "stream": True}))
                    connection.recv(1)
                line = self.line(file, status=499)
                self.assertEqual(line["model"], "stories260K")
                self.assertGreater(line["prompt_tokens"], 0)

    def test_goes_on_in_a_new_file(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "access.log"
            with Daemon("--access-log", file) as daemon:
                daemon.request("GET", "/health", headers={"x-request-id": "one"})
                self.line(file, id="one")
                file.rename(file.with_suffix(".1"))
                daemon.request("GET", "/health", headers={"x-request-id": "two"})
                self.line(file, id="two")
            self.assertEqual(len(lines_of(file)), 1)

    def test_goes_to_stderr(self):
        with Daemon("--access-log", "-") as daemon:
            daemon.request("GET", "/health", headers={"x-request-id": "one"})
            self.assertEqual(json.loads(daemon.process.stderr.readline())["id"], "one")

    def test_that_cannot_be_written_is_an_error_at_once(self):
        done = choir("serve", "--port", 0, "--access-log", "/nowhere/access.log")
        self.assertEqual(done.returncode, 1)
        self.assertIn("'/nowhere/access.log'; there is no folder '/nowhere'", done.stderr)
        with tempfile.TemporaryDirectory() as folder:
            done = choir("serve", "--port", 0, "--access-log", folder)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"'{folder}' cannot be written", done.stderr)


class Limits(unittest.TestCase):
    def test_wrong_keys_are_slowed_down(self):
        with tempfile.TemporaryDirectory() as folder:
            file, keys = keys_in(folder, "alice")
            with Daemon("--keys", file) as daemon:
                def ask(key):
                    return daemon.request("GET", "/v1/models", headers={"authorization": "Bearer " + key})

                answers = [ask(f"sk-choir-{i}") for i in range(60)]
                statuses = [status for status, _, _ in answers]
                self.assertEqual(set(statuses), {401, 429})
                self.assertEqual(statuses[:10], [401] * 10)
                status, headers, text = answers[statuses.index(429)]
                self.assertEqual((headers["retry-after"], headers["retry-after-ms"]), ("1", "1000"))
                self.assertEqual(json.loads(text)["error"]["type"], "rate_limit_error")
                self.assertEqual(ask(keys["alice"])[0], 200)

    def test_tenants_have_so_many_requests_beside_others(self):
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            file, keys = keys_in(folder, "alice", "zoe")
            daemon = stack.enter_context(Daemon("--keys", file))

            def begin(name):
                connection = stack.enter_context(daemon.connect())
                connection.sendall(post_bytes("/v1/completions", PROMPT, f"Authorization: Bearer {keys[name]}\r\n"))
                return connection

            def at_work():
                return len(daemon.admin("GET", "/choir/v1/requests")[1]["requests"])

            daemon.admin("POST", "/choir/v1/models/stories260K/load")
            daemon.admin("POST", "/choir/v1/models/stories260K/suspend")
            alone = [begin("alice") for _ in range(66)]
            wait_until(lambda: at_work() == 66)
            other = begin("zoe")
            wait_until(lambda: at_work() == 67)
            reply = read_all(begin("alice"))
            self.assertIn(b" 429 ", reply[:20])
            self.assertIn(b"retry-after-ms: 1000\r\n", reply)
            daemon.admin("POST", "/choir/v1/models/stories260K/resume")
            for connection in [*alone, other]:
                self.assertEqual(read_reply(connection)[0], 200)
            self.assertEqual(read_reply(begin("alice"))[0], 200)

    def test_a_full_queue_says_where_one_would_stand(self):
        queue, most = 1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, most), most))
        body = PROMPT | {"max_tokens": 400, "ignore_eos": True}
        with contextlib.ExitStack() as stack:
            daemon = stack.enter_context(Daemon("--sequences", 2, "--context-tokens", 512))
            daemon.complete(max_tokens=50, ignore_eos=True)
            connections = [stack.enter_context(daemon.connect()) for _ in range(queue + 100)]
            for connection in connections:
                connection.sendall(post_bytes("/v1/completions", body, "Connection: close\r\n"))
            replies = select.poll()
            for connection in connections:
                replies.register(connection, select.POLLIN)
            by_number = {connection.fileno(): connection for connection in connections}

            def refused():
                for number, _ in replies.poll(TIMEOUT * 1000):
                    replies.unregister(number)
                    if b" 429 " in (reply := read_all(by_number[number]))[:20]:
                        return reply
                return None

            head, _, text = wait_until(refused).decode().partition("\r\n\r\n")
            error = json.loads(text)["error"]
            self.assertEqual((error["waiting"], error["queue_max"]), (queue, queue))
            self.assertGreater(error["position"], 100)
            self.assertGreater(error["estimated_wait_ms"], 0)
            self.assertGreaterEqual(int(re.search(r"retry-after: (\d+)\r", head)[1]), 1)
            self.assertGreaterEqual(int(re.search(r"retry-after-ms: (\d+)\r", head)[1]), 100)


class Metrics(unittest.TestCase):
    def text(self, *arguments):
        with Daemon(*arguments) as daemon:
            daemon.complete()
            return daemon.request("GET", "/metrics")[2]

    def test_are_choirs(self):
        text = self.text()
        self.assertRegex(text, r'\nchoir_build_info\{engine="llama\.cpp [^"]+",version="[0-9.]+"\} 1\n')
        self.assertRegex(text, r'\nchoir_compute_seconds_total\{model_name="stories260K",priority="normal",tenant="local"\} ')
        self.assertNotIn(":", "".join(line.split("{")[0] for line in text.splitlines() if not line.startswith("#")))

    def test_pass_promtool(self):
        if not shutil.which("promtool"):
            self.skipTest("promtool is not installed (Debian: prometheus)")
        done = subprocess.run(["promtool", "check", "metrics"], input=self.text(), text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_have_other_servers_names_where_asked_for(self):
        text = self.text("--metrics-names", "vllm,llamacpp")
        labels = '{model_name="stories260K"} '
        for name in ("vllm:num_requests_running", "vllm:num_requests_waiting", "llamacpp:requests_processing",
                     "llamacpp:requests_deferred"):
            self.assertRegex(text, "\n" + name + re.escape(labels) + "[01]\n")
        for line in ("vllm:generation_tokens_total" + labels + "12", "vllm:time_to_first_token_seconds_count" + labels + "1",
                     'vllm:request_success_total{finished_reason="length",model_name="stories260K"} 1',
                     "vllm:request_decode_time_seconds_count" + labels + "1",
                     "llamacpp:tokens_predicted_total" + labels + "12"):
            self.assertIn("\n" + line + "\n", text)
        for name in ("llamacpp:prompt_seconds_total", "llamacpp:tokens_predicted_seconds_total"):
            self.assertRegex(text, "\n" + name + re.escape(labels) + "0\\.[0-9]+")
        self.assertNotIn("choir_", text)

    def test_have_no_other_names(self):
        done = choir("serve", "--port", 0, "--metrics-names", "choir,tgi")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("takes choir, vllm and llamacpp, with commas between, not 'choir,tgi'", done.stderr)


class Service(unittest.TestCase):
    def test_manager_is_told(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.settimeout(TIMEOUT)
            manager.bind(f"{folder}/notify")
            with mock.patch.dict(os.environ, NOTIFY_SOCKET=f"{folder}/notify"), Daemon() as daemon:
                self.assertEqual(manager.recv(100), b"READY=1")
                self.assertEqual(daemon.get("/health")[0], 200)
            self.assertEqual(manager.recv(100), b"STOPPING=1")

    def test_unit_is_valid(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not installed (Debian: systemd)")
        unit = (REPO / "packaging" / "choir.service").read_text()
        self.assertIn("ExecStart=/usr/local/bin/choir serve ", unit)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "choir.service"
            file.write_text(unit.replace("/usr/local/bin/choir", CHOIR))
            done = subprocess.run(["systemd-analyze", "verify", file], text=True, check=False, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=TIMEOUT)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertNotIn("choir.service:", done.stdout)  # a name that it does not know is only a warning


if __name__ == "__main__":
    unittest.main()
