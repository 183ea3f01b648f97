#!/usr/bin/env python3
"""How `choir serve` starts, what changes it, and with which rights: commands, the unix socket, API keys."""

import os
import socket
import tempfile
import time
import unittest
from pathlib import Path

from cli_tools import STORIES, choir
from serve_tools import PROMPT, TIMEOUT, Daemon, post_bytes, read_all, read_reply


class Models(unittest.TestCase):
    """What changes the daemon, over its unix socket."""

    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon())
        cls.text = cls.daemon.complete()["choices"][0]["text"]

    def model(self):
        return self.daemon.get("/choir/v1/models/stories260K")[1]

    def act(self, action, body=None):
        return self.daemon.admin("POST", f"/choir/v1/models/stories260K/{action}", body)

    def tearDown(self):
        self.assertEqual(self.daemon.complete()["choices"][0]["text"], self.text)

    def test_leave_and_come_back(self):
        self.assertEqual(self.act("unload")[1]["state"], "unloaded")
        self.assertEqual(self.model()["state"], "unloaded")
        self.assertEqual(self.act("load")[1]["state"], "loaded")

    def test_are_pinned_and_resized(self):
        self.assertTrue(self.act("pin")[1]["pinned"])
        self.assertFalse(self.act("unpin")[1]["pinned"])
        status, model = self.act("resize", {"sequences_max": 3})
        self.assertEqual((status, model["sequences_max"]), (200, 3), model)

    def test_are_suspended_and_go_on(self):
        self.assertEqual(self.act("suspend")[1]["state"], "suspended")
        with self.daemon.connect() as connection:
            connection.sendall(post_bytes("/v1/completions", PROMPT))
            while not (requests := self.daemon.get("/choir/v1/requests")[1]["requests"]):
                time.sleep(0.01)
            self.assertEqual(requests[0]["waits_for"], "resume")
            self.assertEqual(requests[0]["why"], {"reason": "suspended", "text": "The model stories260K is suspended."})
            self.assertEqual(self.act("resume")[1]["state"], "loaded")
            self.assertEqual(read_reply(connection)[0], 200)

    def test_are_held_by_a_lease(self):
        self.daemon.complete(keep_alive="10m")
        lease = self.model()["leases"][0]
        self.assertEqual(lease["tenant"], "local")
        self.assertGreater(lease["seconds_left"], 590)
        self.daemon.complete(keep_alive=-1)
        self.assertIsNone(self.model()["leases"][0]["seconds_left"])
        self.daemon.complete(keep_alive=0)
        end = time.monotonic() + TIMEOUT
        while self.model()["state"] != "unloaded":
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def test_requests_are_cancelled_by_their_id(self):
        self.act("suspend")
        with self.daemon.connect() as connection:
            connection.sendall(post_bytes("/v1/completions", PROMPT))
            while not (requests := self.daemon.get("/choir/v1/requests")[1]["requests"]):
                time.sleep(0.01)
            status, _ = self.daemon.admin("DELETE", "/choir/v1/requests/" + requests[0]["id"])
            self.assertEqual(status, 200)
            self.assertEqual(read_reply(connection)[0], 503)
        self.act("resume")
        self.assertEqual(self.daemon.admin("DELETE", "/choir/v1/requests/12")[0], 404)

    def test_wrong_changes_have_their_answer(self):
        rows = [("fly", None, 404, "there is no action"), ("load", {"now": True}, 400, "'now' is no field"),
                ("resize", {"sequences": 3}, 400, "did you mean 'sequences_max'?"),
                ("resize", {"sequences_max": 0}, 400, "from 1"), ("resize", {"sequences_max": 100000}, 400, "")]
        for action, body, expected, says in rows:
            with self.subTest(action=action, body=body):
                status, reply = self.act(action, body)
                self.assertEqual(status, expected, reply)
                self.assertIn(says, reply["error"]["message"])
        self.assertEqual(self.daemon.admin("POST", "/choir/v1/models/nothing/load")[0], 404)
        self.assertEqual(self.daemon.post("/choir/v1/models/stories260K/unload", {})[0], 403)

    def test_wrong_declarations_name_their_field(self):
        model = {"model": "stories260K", "name": "other"}
        for more, status, field in (({"name": "a/../b"}, 400, "name"), ({"name": "a\u0007"}, 400, "name"),
                                    ({"kv_type": "f8"}, 400, "kv_type"), ({"priority": "no"}, 400, "priority"),
                                    ({"sequence_tokens_max": 100000}, 400, "sequence_tokens_max"),
                                    ({"model": "none"}, 404, "model")):
            with self.subTest(more):
                got, reply = self.daemon.admin("POST", "/choir/v1/models", model | more)
                self.assertEqual((got, reply["error"]["param"], reply["error"]["pointer"]), (status, field, "/" + field), reply)
        status, reply = self.daemon.admin("POST", "/choir/v1/pulls", {"model": "smollm2-135n"})
        self.assertEqual((status, reply["error"]["pointer"]), (404, "/model"), reply)
        status, reply = self.daemon.admin("DELETE", "/choir/v1/models/stories260K?requests=all")
        self.assertEqual((status, reply["error"]["param"], reply["error"].get("pointer")), (400, "requests", None), reply)

    def test_names_may_have_a_slash(self):
        name = "org/tales"
        self.assertEqual(self.daemon.admin("POST", "/choir/v1/models", {"model": "stories260K", "name": name})[1]["name"], name)
        for path in (name, "org%2Ftales"):
            self.assertEqual(self.daemon.get(f"/v1/models/{path}")[1]["id"], name)
            self.assertEqual(self.daemon.get(f"/choir/v1/models/{path}")[1]["name"], name)
            self.assertEqual(self.daemon.admin("POST", f"/choir/v1/models/{path}/pin")[1]["pinned"], True)
        self.assertEqual(self.daemon.complete(model=name)["model"], name)
        self.assertEqual(self.daemon.admin("DELETE", "/choir/v1/models/org%2Ftales")[0], 200)

    def test_commands_talk_to_the_daemon(self):
        for there in (["--unix-socket", self.daemon.socket], ["--host", self.daemon.socket],
                      ["--host", f"unix:{self.daemon.socket}"]):
            with self.subTest(there=there):
                self.assertRegex(choir("ps", *there).stdout, r"MODEL .*\nstories260K +loaded ")
                self.assertEqual(choir("unload", "stories260K", *there).stdout, "stories260K is unloaded\n")
                self.assertEqual(choir("load", "stories260K", *there).stdout, "stories260K is loaded\n")
                wrong = choir("load", "stories260L", *there)
                self.assertEqual(wrong.returncode, 1)
                self.assertIn("did you mean 'stories260K'?", wrong.stderr)

    def test_commands_without_rights_show_and_change_nothing(self):
        for address in (self.daemon.url, self.daemon.url.removeprefix("http://")):
            self.assertRegex(choir("ps", "--host", address).stdout, r"MODEL .*\nstories260K +loaded ")
            for command in (["unload", "stories260K"], ["load", "stories260K"], ["stop"]):
                with self.subTest(address=address, command=command):
                    refused = choir(*command, "--host", address)
                    self.assertEqual((refused.returncode, refused.stdout), (1, ""), refused.stderr)
                    self.assertIn("over its unix socket only", refused.stderr)

    def test_commands_that_are_no_good_say_so(self):
        for command, says in ((["load", ""], "the name of the model is empty"),
                              (["ps", "--host", "http://127.0.0.1:1", "--port", 1], "excludes"),
                              (["stop", "--unix-socket", "a", "--host", "http://127.0.0.1:1"], "excludes")):
            with self.subTest(command=command):
                refused = choir(*command)
                self.assertEqual((refused.returncode, refused.stdout), (2, ""), refused.stderr)
                self.assertIn(says, refused.stderr)

    def test_commands_say_that_no_daemon_answers(self):
        for command in (["ps"], ["load", "a"], ["unload", "a"], ["stop"]):
            for there, says in ((["--port", 1], "no daemon answers"),
                                (["--host", "http://127.0.0.1:1"], "no daemon answers at 'http://127.0.0.1:1'"),
                                (["--host", "nowhere"], "neither http://HOST:PORT nor")):
                with self.subTest(command=command, there=there):
                    nobody = choir(*command, *there)
                    self.assertNotEqual(nobody.returncode, 0)
                    self.assertIn(says, nobody.stderr)


class WithKeys(unittest.TestCase):
    def test_requests_need_one_and_have_its_rights(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "keys.json"
            made = {name: choir("key", "new", name, "--keys", file, *more).stdout.strip()
                    for name, more in (("alice", []), ("boss", ["--scope", "admin", "--scope", "view"]),
                                       ("batch", ["--class", "low", "--tenant", "nightly"]))}
            listed = choir("key", "list", "--keys", file).stdout
            self.assertRegex(listed, r"batch +nightly +1 +low +view infer\n")
            with Daemon("--keys", file) as daemon:
                def ask(key, body, path="/v1/completions", **headers):
                    headers = headers | ({"authorization": "Bearer " + key} if key else {})
                    return daemon.request("POST", path, body, headers)[0]

                self.assertEqual(daemon.get("/health")[0], 200)
                self.assertEqual(ask(None, PROMPT), 401)
                self.assertEqual(ask("sk-choir-wrong", PROMPT), 401)
                self.assertEqual(ask(made["alice"], PROMPT), 200)
                self.assertEqual(ask(made["boss"], PROMPT), 403)
                self.assertEqual(ask(made["batch"], PROMPT | {"priority": "high"}), 403)
                self.assertEqual(ask(made["batch"], PROMPT, **{"x-priority": "normal"}), 403)
                self.assertEqual(ask(made["batch"], PROMPT | {"priority": "low"}), 200)
                self.assertEqual(ask(made["batch"], PROMPT), 200)
                self.assertEqual(ask(made["alice"], {}, "/choir/v1/models/stories260K/pin"), 403)
                self.assertEqual(ask(made["boss"], {}, "/choir/v1/models/stories260K/pin"), 200)

                def command(key, *args):
                    done = choir(*args, "--host", daemon.url, CHOIR_API_KEY=made.get(key, key))
                    return done.returncode, done.stdout + done.stderr

                self.assertRegex(command("boss", "ps")[1], r"\nstories260K +loaded ")
                self.assertEqual(command("sk-choir-wrong", "ps")[0], 1)
                self.assertEqual(command("alice", "unload", "stories260K")[0], 1)
                self.assertEqual(command("boss", "unload", "stories260K"), (0, "stories260K is unloaded\n"))
                self.assertEqual(command("boss", "load", "stories260K"), (0, "stories260K is loaded\n"))
                self.assertEqual(command("alice", "stop")[0], 1)
                self.assertEqual(command("boss", "stop")[0], 0)
                self.assertEqual(daemon.process.wait(TIMEOUT), 0)
            self.assertEqual(choir("key", "remove", "alice", "--keys", file).returncode, 0)
            self.assertNotIn("alice", choir("key", "list", "--keys", file).stdout)

    def test_that_are_wrong_say_so(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "keys.json"
            for arguments, says in ((["new", "a b"], "no name of a key"), (["new", "a", "--scope", "all"], "--scope"),
                                    (["new", "a", "--class", "best"], "--class"), (["remove", "a"], "no key 'a'"),
                                    (["new", "a", "--weight", "0"], "--weight")):
                done = choir("key", *arguments, "--keys", file)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(says, done.stderr)
            self.assertIn("no file of keys", choir("serve", "--keys", Path(folder) / "none").stderr)


class Starts(unittest.TestCase):
    def test_refuse_what_is_wrong(self):
        rows = [
            (["--model", "nothing"], 1, "nothing"),
            (["--bind", "0.0.0.0"], 2, "--i-know-this-is-open"),
            (["--bind", "somewhere"], 2, "--bind"),
            (["--sequences", "0"], 2, "--sequences"),
            (["--drain-seconds", "-1"], 2, "--drain-seconds"),
            (["--port", "70000"], 2, "65535"),
        ]
        for arguments, code, says in rows:
            with self.subTest(arguments=arguments):
                done = choir("serve", *arguments)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(says, done.stderr)

    def test_refuse_a_port_that_is_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            done = choir("serve", "--bind", "127.0.0.1", "--port", taken.getsockname()[1])
            self.assertEqual(done.returncode, 1)
            self.assertIn("another program has it", done.stderr)

    def test_refuse_two_files_of_one_name(self):
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / name / "x.gguf" for name in "ab"]
            for file in files:
                file.parent.mkdir()
                file.write_bytes(Path(STORIES).read_bytes())
            done = choir("serve", "--port", 0, "--model", files[0], "--model", files[1])
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"two files have the name 'x': '{files[0]}' and '{files[1]}'", done.stderr)

    def test_take_a_model_that_is_given_twice_once(self):
        with Daemon("--model", STORIES) as daemon:
            self.assertEqual([row["id"] for row in daemon.get("/v1/models")[1]["data"]], ["stories260K"])
            self.assertEqual(daemon.process.stdout.readline(), "  models    stories260K\n")

    def test_listen_on_localhost(self):
        with Daemon("--bind", "LocalHost") as daemon:
            self.assertEqual(daemon.get("/health")[0], 200)

    def test_of_an_empty_folder_name_a_real_command(self):
        with tempfile.TemporaryDirectory() as folder, Daemon(model=None, models=folder) as daemon:
            self.assertIn("`choir pull smollm2-135m`", daemon.process.stdout.readline())
            self.assertIn('"model": "smollm2-135m"', daemon.process.stdout.readline())

    def test_listen_on_a_unix_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "choir.sock"
            with Daemon("--unix-socket", path):
                self.assertEqual(path.stat().st_mode & 0o777, 0o600)
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(str(path))
                    connection.sendall(b"GET /health HTTP/1.1\r\nHost: anything\r\nConnection: close\r\n\r\n")
                    self.assertIn(b"200 OK", read_all(connection))
                again = choir("serve", "--port", 0, "--unix-socket", path)
                self.assertIn("another daemon answers there", again.stderr)
            self.assertFalse(path.exists())

    def test_serve_any_model_of_the_folder_by_its_name(self):
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(STORIES, Path(folder) / "tiny.gguf")
            with Daemon(model=None, models=folder) as daemon:
                self.assertEqual(daemon.get("/v1/models")[1]["data"][0]["status"], {"value": "unloaded"})
                self.assertTrue(daemon.complete(model="tiny")["choices"][0]["text"])
                loaded = daemon.get("/v1/models")[1]["data"][0]
                self.assertEqual(loaded["status"], {"value": "loaded"})
                daemon.admin("POST", "/choir/v1/models/tiny/unload")
                unloaded = daemon.get("/v1/models")[1]["data"][0]
                self.assertEqual(unloaded["status"], {"value": "unloaded"})
                for known in ("meta", "capabilities"):  # from the file
                    self.assertEqual(unloaded[known], loaded[known])


    def test_serve_no_file_outside_of_the_folder(self):
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as models:
            os.symlink(STORIES, Path(folder) / "near.gguf")
            with Daemon(model=None, models=models, cwd=folder) as daemon:
                for name in ("near.gguf", "near", "./near.gguf", str(Path(folder) / "near.gguf"), "../near"):
                    self.assertEqual(daemon.post("/v1/completions", PROMPT | {"model": name})[0], 404)
                status, reply = daemon.post("/v1/completions", PROMPT | {"model": "smollm2-135m"})
                self.assertEqual(status, 404)
                self.assertIn("`choir pull` or POST /choir/v1/pulls fetches it", reply["error"]["message"])


if __name__ == "__main__":
    unittest.main()
