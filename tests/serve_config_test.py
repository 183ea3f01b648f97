#!/usr/bin/env python3
"""The configuration of `choir serve`: its file, `choir config`, what models have by it, keys that are read again."""

import json
import os
import signal
import tempfile
import time
import unittest
from pathlib import Path

from cli_tools import STORIES, choir
from serve_tools import PROMPT, TIMEOUT, Daemon, post_bytes, read_all

SYSTEM = "Tell a story."
FILE = f"""\
drain_seconds: 20
defaults:
  context_tokens: 256
models:
  - model: {STORIES}
    name: tales
    aliases: [fast, gpt-4o]
    system: {SYSTEM}
    max_tokens_default: 12
    keep_alive: 10m
    sampling:
      temperature: 0
"""


class InAFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, text, name="serve.yaml"):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path


class Commands(InAFolder):
    def test_show_where_each_setting_is_from(self):
        file = self.write("listen:\n  port: 1\n  addresses: [127.0.0.1]\ndrain_seconds: 2\n")
        shown = choir("config", "show", "--json", "--config", file, "--port", 3, CHOIR_SERVE_LISTEN_PORT="4",
                      CHOIR_SERVE_DRAIN_SECONDS="5")
        settings = json.loads(shown.stdout)["settings"]
        self.assertEqual(settings["listen.port"], {"value": 3, "origin": "flag", "where": "--port"})
        self.assertEqual(settings["drain_seconds"],
                         {"value": 5, "origin": "environment", "where": "CHOIR_SERVE_DRAIN_SECONDS"})
        self.assertEqual(settings["listen.addresses"],
                         {"value": ["127.0.0.1"], "origin": "file", "where": f"{file}:3"})
        self.assertEqual(settings["preload"], {"value": False, "origin": "default"})
        self.assertRegex(choir("config", "show", "--config", file).stdout, r"listen.port +1 +\S+serve.yaml:2\n")

    def test_read_the_usual_file_and_that_of_the_environment(self):
        self.write("drain_seconds: 1\n", "choir/serve.yaml")
        other = self.write("drain_seconds: 2\n", "other.yaml")
        for arguments, more, expected in (([], {}, 1), ([], {"CHOIR_SERVE_CONFIG": str(other)}, 2),
                                          (["--config", ""], {}, 30), (["--config", other], {}, 2)):
            shown = choir("config", "show", "--json", *arguments, XDG_CONFIG_HOME=str(self.folder), **more)
            self.assertEqual(json.loads(shown.stdout)["settings"]["drain_seconds"]["value"], expected)

    def test_validate_a_file(self):
        self.assertEqual(choir("config", "validate", self.write(FILE)).returncode, 0)
        self.assertEqual(choir("serve", "--validate", "--config", self.write(FILE)).returncode, 0)
        shown = choir("config", "show", "--validate", "--config", self.write(FILE))
        self.assertEqual((shown.returncode, shown.stdout.split()[0]), (0, "SETTING"))
        wrong = self.write("listen:\n  prot: 1\n")
        for arguments, code in ((["config", "validate", wrong], 1), (["serve", "--config", wrong], 2)):
            done = choir(*arguments)
            self.assertEqual(done.returncode, code)
            self.assertIn("serve.yaml:2: there is no setting 'listen.prot'; did you mean 'listen.port'?", done.stderr)
        self.assertIn("no file of settings", choir("config", "validate", self.folder / "none").stderr)
        self.assertIn("no file of settings", choir("serve", "--config", self.folder).stderr)

    def test_look_for_the_files_that_are_named(self):
        broken = self.write("no model", "broken.gguf")
        for yaml, flags, says in (
                ("models: [./none.gguf]", ["--model", "./none.gguf"], "('models'): no file './none.gguf'"),
                ("models: [nosuchmodel]", ["--model", "nosuchmodel"], "('models'): no model 'nosuchmodel'"),
                ("dashboard: {folder: none}", ["--ui-dir", "none"], "('dashboard.folder') is 'none'; that is no folder"),
                ("access_log: none/log", ["--access-log", "none/log"], "('access_log') is 'none/log'; there is no folder 'none'"),
                ("access: {keys_file: none}", None, "'access.keys_file' is '"),
                (f"models: [{broken}]", ["--model", broken], f"('models'): '{broken}' is not a GGUF model")):
            with self.subTest(yaml):
                done = choir("config", "validate", self.write(yaml))
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn(f"serve.yaml:1: '{yaml.split(':')[0]}", done.stderr)
                if flags is None:
                    continue
                for command in (["serve"], ["config", "show"]):
                    done = choir(*command, "--validate", "--config", "", *flags)
                    self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
                    self.assertIn(says, done.stderr)
        done = choir("serve", "--port", 0, "--config", "", "--model", broken)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(f"'models' (--model): '{broken}' is not a GGUF model", done.stderr)

    def test_refuse_what_is_wrong(self):
        for arguments, more in ((["--drain-seconds", "x"], {}), (["--port", "-1"], {}), (["--kv-type", "f32"], {}),
                                (["--bind", "here"], {}), (["--metrics-names", "prom"], {}),
                                ([], {"CHOIR_SERVE_LISTEN_PORT": "x"})):
            done = choir("serve", *arguments, **more)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("takes ", done.stderr)

    def test_print_the_schema(self):
        committed = Path(os.environ["CHOIR_REPO"]) / "docs" / "serve.schema.json"
        self.assertEqual(choir("config", "schema").stdout, committed.read_text())


class Models(unittest.TestCase):
    """One daemon of FILE."""

    @classmethod
    def setUpClass(cls):
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.file = Path(folder) / "serve.yaml"
        cls.file.write_text(FILE)
        cls.daemon = cls.enterClassContext(Daemon("--config", cls.file, model=None))

    def completion(self, **fields):
        return self.daemon.post("/v1/completions", {"prompt": "Once upon a time"} | fields)[1]

    def chat(self, *messages):
        return self.daemon.post("/v1/chat/completions", {"messages": messages})[1]

    def test_have_their_names_and_aliases(self):
        for name in ("tales", "fast", "gpt-4o"):
            self.assertEqual(self.completion(model=name)["model"], "tales")
            self.assertEqual(self.daemon.get("/v1/models/" + name)[1]["id"], "tales")
            self.assertEqual(self.daemon.get("/choir/v1/models/" + name)[1]["name"], "tales")
        models = self.daemon.get("/v1/models")[1]["data"]
        self.assertEqual(models[0]["aliases"], ["fast", "gpt-4o"])
        status, reply = self.daemon.post("/v1/completions", PROMPT | {"model": "gpt-4"})
        self.assertEqual(status, 404)
        self.assertIn("did you mean 'gpt-4o'?", reply["error"]["message"])

    def test_have_defaults_where_requests_leave_fields_out(self):
        given = self.daemon.complete()
        left_out = self.completion()
        self.assertEqual(left_out["choices"][0]["text"], given["choices"][0]["text"])
        self.assertEqual(left_out["usage"]["completion_tokens"], 12)
        hot = self.completion(temperature=5, top_k=0, top_p=1, min_p=0, seed=1)
        self.assertNotEqual(hot["choices"][0]["text"], given["choices"][0]["text"])
        self.assertEqual(self.completion(max_tokens=3)["usage"]["completion_tokens"], 3)
        self.assertEqual(self.completion(max_tokens=-1, ignore_eos=True)["usage"]["total_tokens"], 256)

    def test_have_a_system_message_where_a_chat_has_none(self):
        user = {"role": "user", "content": "Once"}
        begin = "<|im_start|>system\n{}<|im_end|>\n<|im_start|>user\nOnce<|im_end|>\n<|im_start|>assistant\n"
        for messages, system in (([user], SYSTEM), ([{"role": "system", "content": "Be kind."}, user], "Be kind.")):
            chat = self.chat(*messages)
            text = self.completion(prompt=begin.format(system))
            self.assertEqual(chat["choices"][0]["message"]["content"], text["choices"][0]["text"])
            self.assertEqual(chat["usage"]["prompt_tokens"], text["usage"]["prompt_tokens"])

    def test_have_their_defaults_in_parallel(self):
        user = {"role": "user", "content": "Once"}
        status, report = self.daemon.post("/choir/v1/parallel", {"models": ["tales"], "prompts": ["Once"]})
        self.assertEqual(status, 200, report)
        text = json.dumps(report)
        self.assertIn(json.dumps(self.chat(user)["choices"][0]["message"]["content"]), text)

    def test_are_forgotten_with_their_aliases(self):
        file = self.file.with_name("aliases.yaml")
        file.write_text(FILE)
        with Daemon("--config", file, model=None, models=file.parent) as daemon:
            self.assertEqual(daemon.admin("DELETE", "/choir/v1/models/tales")[0], 200)
            status, reply = daemon.post("/v1/completions", PROMPT | {"model": "fast"})
            self.assertEqual((status, reply["error"]["code"]), (404, "model_not_found"))
            self.assertIn("there is no model 'fast'", reply["error"]["message"])

    def test_are_held_after_each_request(self):
        self.completion()
        end = time.monotonic() + TIMEOUT
        while not (leases := self.daemon.get("/choir/v1/models/tales")[1]["leases"]):
            self.assertLess(time.monotonic(), end)
        self.assertGreater(leases[0]["seconds_left"], 590)

    def test_are_shown_with_the_settings(self):
        status, config = self.daemon.get("/choir/v1/config")
        self.assertEqual((status, config["file"]), (200, str(self.file)))
        self.assertEqual(config["settings"]["drain_seconds"],
                         {"value": 20, "origin": "file", "where": f"{self.file}:1"})
        self.assertEqual(config["settings"]["models"]["value"][0]["name"], "tales")
        self.assertEqual(config["settings"]["listen.port"]["origin"], "flag")


class Keys(InAFolder):
    def new_key(self, name):
        return choir("key", "new", name, "--keys", self.file).stdout.strip()

    def remove_key(self, name):
        self.assertEqual(choir("key", "remove", name, "--keys", self.file).returncode, 0)

    def status(self, daemon, key):
        return daemon.request("GET", "/v1/models", headers={"authorization": "Bearer " + key})[0]

    def wait(self, daemon, key, status):
        end = time.monotonic() + TIMEOUT
        while self.status(daemon, key) != status:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def test_are_read_again_on_a_signal(self):
        self.file = self.folder / "keys.json"
        alice = self.new_key("alice")
        with Daemon("--keys", self.file) as daemon:
            self.assertEqual(self.status(daemon, alice), 200)
            bob = self.new_key("bob")
            self.assertEqual(self.status(daemon, bob), 401)
            daemon.process.send_signal(signal.SIGHUP)
            self.wait(daemon, bob, 200)

            good = self.file.read_text()
            self.file.write_text("{")
            daemon.process.send_signal(signal.SIGHUP)
            line = daemon.process.stderr.readline()
            self.assertIn("the keys stay as they were", line)
            self.assertEqual((self.status(daemon, alice), self.status(daemon, bob)), (200, 200))
            self.file.write_text(good)

            # What is answered to a key that is removed ends.
            daemon.admin("POST", "/choir/v1/models/stories260K/load")
            daemon.admin("POST", "/choir/v1/models/stories260K/suspend")
            with daemon.connect() as connection:
                connection.sendall(post_bytes("/v1/completions", PROMPT, f"Authorization: Bearer {alice}\r\n"))
                while not daemon.admin("GET", "/choir/v1/requests")[1]["requests"]:
                    time.sleep(0.01)
                self.remove_key("alice")
                daemon.process.send_signal(signal.SIGHUP)
                answer = read_all(connection)
            self.assertIn(b" 401 ", answer[:20])
            self.assertIn(b"the key of this request is not one of the daemon's any more", answer)
            self.wait(daemon, alice, 401)
            self.assertEqual(self.status(daemon, bob), 200)
            end = time.monotonic() + TIMEOUT
            while daemon.admin("GET", "/choir/v1/requests")[1]["requests"]:
                self.assertLess(time.monotonic(), end)
            daemon.admin("POST", "/choir/v1/models/stories260K/resume")


if __name__ == "__main__":
    unittest.main()
