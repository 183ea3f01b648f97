#!/usr/bin/env python3
"""What people do wrong with `choir serve`, and what it says: files that are broken, a daemon that was killed, Ctrl-C."""

import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

from cli_tools import CHOIR, STORIES, choir, environment
from serve_tools import PROMPT, TIMEOUT, Daemon, post_bytes, read_all


class Start(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def test_by_its_name_finds_the_probe_beside_the_program(self):
        if not Path(CHOIR).with_name("choir-probe").exists():
            self.skipTest("choir-probe is not beside choir")
        variables = environment() | {"CHOIR_CACHE": str(self.folder / "cache")}  # where no file is known yet
        variables.pop("CHOIR_PROBE", None)
        done = subprocess.run(["choir", "run", STORIES, "--raw", "--max-tokens", "1", "Once"], executable=CHOIR,
                              capture_output=True, text=True, timeout=TIMEOUT, check=False, env=variables, cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_with_a_broken_file_names_it(self):
        whole = Path(STORIES).read_bytes()
        for name, data, says in (("half.gguf", whole[:len(whole) // 2], "incomplete"), ("head.gguf", whole[:2000], "cannot be loaded"),
                                 ("empty.gguf", b"", "is empty"), ("text.gguf", b"hello", "is not a GGUF model"),
                                 ("noise.gguf", whole[:100] + bytes(3000) + whole[3100:], "cannot be loaded")):
            with self.subTest(name):
                (self.folder / name).write_bytes(data)
                done = choir("serve", "--port", 0, "--model", self.folder / name)
                self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
                self.assertIn(name, done.stderr)
                self.assertIn(says, done.stderr)

    def test_after_a_daemon_that_was_killed_takes_its_unix_socket(self):
        path = self.folder / "choir.sock"
        with self.assertRaises(AssertionError), Daemon("--unix-socket", path) as daemon:
            daemon.process.kill()
            daemon.process.wait(TIMEOUT)
            self.fail("so that its status is not looked at")
        self.assertTrue(path.exists())
        self.assertIn("no daemon answers", choir("ps", "--unix-socket", path).stderr)
        with Daemon("--unix-socket", path) as daemon:
            self.assertEqual(daemon.admin("GET", "/health")[0], 200)
        self.assertFalse(path.exists())

    def test_with_a_unix_socket_that_cannot_be(self):
        (self.folder / "file").write_text("")
        for path, says in ((self.folder / "file", "a file of that name is there"), ("/proc/none/a.sock", "cannot listen"),
                           (self.folder / ("a" * 120), "at most 107 are allowed")):
            done = choir("serve", "--port", 0, "--unix-socket", path)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(says, done.stderr)
        self.assertTrue((self.folder / "file").exists())

    def test_without_a_folder_for_its_unix_socket_goes_on_without(self):
        with Daemon(CHOIR_CACHE="/proc/none") as daemon:
            self.assertIsNone(daemon.socket)
            self.assertEqual(daemon.complete()["model"], "stories260K")
            complaints = [daemon.process.stderr.readline() for _ in range(2)]  # no file of checks can be written either
            self.assertRegex("".join(complaints),
                             "no unix socket, .*'/proc/none/.*: No such file or directory; --unix-socket names another path")

    def test_of_a_second_daemon_on_the_same_port_says_so(self):
        with Daemon() as daemon:
            done = choir("serve", "--port", daemon.port, "--bind", "127.0.0.1")
            self.assertEqual(done.returncode, 1)
            self.assertIn("--port takes another one", done.stderr)
            self.assertEqual(daemon.admin("GET", "/health")[0], 200)  # its socket is its own still

    def test_ends_at_once_by_ctrl_c_while_it_begins(self):
        process = subprocess.Popen([CHOIR, "serve", "--port", "0", "--model", STORIES, "--preload"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=environment() | {"CHOIR_CACHE": str(self.folder)},
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT)
        self.assertIn(process.returncode, (0, 130, -signal.SIGINT))

    def test_finishes_a_stream_after_ctrl_c(self):
        with Daemon() as daemon, daemon.connect() as connection:
            connection.sendall(post_bytes("/v1/completions", PROMPT | {"stream": True, "max_tokens": 400, "ignore_eos": True}))
            text = connection.recv(1)
            daemon.process.send_signal(signal.SIGINT)
            text += read_all(connection)
            self.assertIn(b"data: [DONE]", text)
            self.assertEqual(daemon.process.wait(TIMEOUT), 0)
            self.assertIn("1 request is in flight, for at most 30 s", daemon.process.stderr.read())

    def test_of_keys_on_a_full_disk_keeps_those_that_are_there(self):
        file = self.folder / "keys.json"
        self.assertEqual(choir("key", "new", "alice", "--keys", file).returncode, 0)
        script = f"trap '' XFSZ; ulimit -f 0; exec '{CHOIR}' key new bob --keys '{file}'"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=TIMEOUT, check=False, env=environment())
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertIn("free some space", done.stderr)
        self.assertFalse((self.folder / "keys.json.new").exists())
        self.assertRegex(choir("key", "list", "--keys", file).stdout, r"\nalice .*\n$")
        self.assertEqual(choir("key", "new", "bob", "--keys", file).returncode, 0)


if __name__ == "__main__":
    unittest.main()
