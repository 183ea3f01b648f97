"""`choir top` beside a daemon on a small model: as lines, and on a terminal of tmux.

    CHOIR_BIN=build/bin/choir CHOIR_TEST_MODELS=models python3 tests/cli_top_test.py [-v] [Case.test]
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

from cli_tools import CHOIR, choir, environment
from serve_tools import TIMEOUT, Daemon

NAME = "stories260K"


class Between:
    """Carries the connections of a client to a daemon's port, and can cut them; `asked` and `answered` have the
    beginning of each."""

    def __init__(self, daemon_port):
        self.daemon_port = daemon_port
        self.asked, self.answered, self.open = [], [], []

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.cut()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                pair = self.listener.accept()[0], socket.create_connection(("127.0.0.1", self.daemon_port))
                self.open += pair
                for source, target, said in ((*pair, self.asked), (*reversed(pair), self.answered)):
                    threading.Thread(target=self.carry, args=(source, target, said), daemon=True).start()

    def carry(self, source, target, said):
        with contextlib.suppress(OSError):
            data = source.recv(65536)
            said.append(data.decode(errors="replace"))
            while data:
                target.sendall(data)
                data = source.recv(65536)

    def cut(self):
        while self.open:
            end = self.open.pop()
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Lines(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon())
        cls.at = ["--unix-socket", cls.daemon.socket]

    def test_once_is_a_picture(self):
        done = choir("top", "--once", *self.at, TERM="dumb")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        self.assertRegex(lines[0], r"^choir \S+ .*tok/s  running 0  waiting 0  memory .+ of .+")
        self.assertIn(NAME, done.stdout)
        self.assertIn(" no request", lines)
        self.assertNotIn("\x1b", done.stdout)

    def test_once_over_tcp(self):
        done = choir("top", "--once", "--host", self.daemon.url)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn(NAME, done.stdout)

    def test_json_is_a_line_each_second(self):
        with subprocess.Popen([CHOIR, "top", "--json", *self.at], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=environment()) as top:
            first, second = (json.loads(top.stdout.readline()) for _ in range(2))
            self.assertTrue(first["live"])
            self.assertIsInstance(first["lanes"], list)
            self.assertEqual([model["name"] for model in first["models"]], [NAME])
            self.assertGreater(second["now_ms"], first["now_ms"])
            top.send_signal(signal.SIGINT)
            top.communicate(timeout=TIMEOUT)
        self.assertEqual(top.returncode, 130)

    def test_a_pipe_gets_lines(self):
        with subprocess.Popen([CHOIR, "top", *self.at], stdout=subprocess.PIPE, env=environment()) as top:
            line = top.stdout.readline().decode()
            top.stdout.close()  # its reader goes: it ends as other programs do
            self.assertEqual(top.wait(TIMEOUT), -signal.SIGPIPE)
        self.assertRegex(line, rf"^live \S+ tok/s running 0 waiting 0 \| {NAME} ")

    def test_after_a_break_it_goes_on_behind_the_last_frame(self):
        with Between(self.daemon.port) as between:
            with subprocess.Popen([CHOIR, "top", "--json", "--host", f"http://127.0.0.1:{between.port}"],
                                  stdout=subprocess.PIPE, env=environment()) as top:
                def until(holds):
                    for line in top.stdout:
                        if holds(shown := json.loads(line)):
                            return shown
                    return self.fail("choir top has ended")
                until(lambda shown: shown["live"] and shown["models"])
                self.daemon.complete()  # changes that are told in frames with numbers
                until(lambda shown: shown["models"][0]["state"] == "loaded")
                between.cut()
                until(lambda _: len(between.asked) == 2)
                shown = until(lambda shown: shown["live"])
                self.assertEqual([model["name"] for model in shown["models"]], [NAME])
                top.kill()
        self.assertNotIn("since=", between.asked[0])
        self.assertRegex(between.asked[1], r"&since=\d+-\d+ ")
        self.assertIn('"resumed":true', between.answered[1])

    def test_without_a_daemon_it_says_so(self):
        done = choir("top", "--once", "--unix-socket", "/nowhere/choir.sock")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no daemon answers at '/nowhere/choir.sock'", done.stderr)


@unittest.skipUnless(shutil.which("tmux"), "tmux is not installed")
class Terminal(unittest.TestCase):
    """A shell in a terminal of tmux, in which `choir top` is started."""

    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="choir-top-"))
        self.socket = str(Path(self.folder, "tmux"))
        self.daemon_socket = str(Path(self.folder, "choir.sock"))
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "env", "PS1=ready: ", "sh")
        self.addCleanup(self.tmux, "kill-server")

    def tmux(self, *arguments):
        env = environment() | {"LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
        env.pop("TMUX", None)
        return subprocess.run(["tmux", "-u", "-S", self.socket, *arguments], env=env, check=True, timeout=TIMEOUT,
                              capture_output=True, text=True).stdout

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def shows(self, *wanted, without=()):
        """The screen, once it has these texts and none of those."""
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            screen = self.screen()
            if all(text in screen for text in wanted) and not any(text in screen for text in without):
                return screen
            time.sleep(0.05)
        self.fail(f"{wanted} without {without} did not come:\n{screen}")

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def daemon(self):
        return Daemon("--unix-socket", self.daemon_socket)

    def top(self):
        self.keys("-l", f"{shlex.quote(CHOIR)} top --unix-socket {self.daemon_socket}; echo code $?; stty -a")
        self.keys("Enter")

    def back_at_the_shell(self, code):
        """The terminal is as it was: it echoes, and lines are edited."""
        screen = self.shows(f"code {code}", "extproc")  # stty has said all
        self.assertRegex(screen, r"(?<!-)icanon")
        self.assertRegex(screen, r"(?<!-)\becho\b")

    def test_looks_help_and_quits(self):
        with self.daemon():
            self.top()
            self.shows("choir ", "MODEL", NAME, "no request", "q quit")
            self.keys("?")
            self.shows("cancel the marked request", without=["MODEL"])
            self.keys("Escape")
            self.shows("MODEL")
            self.keys("q")
            self.back_at_the_shell(0)

    def test_follows_the_size_of_the_terminal(self):
        with self.daemon():
            self.top()
            self.shows("cells in use")
            self.tmux("resize-window", "-x", "40", "-y", "12")
            screen = self.shows("MODEL", without=["cells in use"])
            self.assertLessEqual(max(map(len, screen.splitlines())), 40)
            self.tmux("resize-window", "-x", "120", "-y", "40")
            screen = self.shows("cells in use")
            self.assertEqual([len(screen.splitlines()), screen.splitlines()[39][:6]], [40, "q quit"])
            self.keys("C-c")
            self.back_at_the_shell(130)

    def test_changes_the_daemon_after_a_question(self):
        with self.daemon() as daemon:
            daemon.complete()
            self.top()
            self.shows(" loaded")
            self.keys("u")
            self.shows(f"Unload {NAME}?")
            self.keys("n")
            self.shows(" loaded", without=["Unload"])
            self.keys("p")
            self.shows("in memory? y/n")
            self.keys("y")
            self.shows("loaded*")
            self.keys("p")
            self.keys("y")
            self.shows(" loaded", without=["loaded*"])
            self.keys("u")
            self.keys("y")
            self.shows(" unloaded")
            self.keys("q")

    def test_cancels_a_request(self):
        with self.daemon() as daemon:
            def ask():
                daemon.post("/v1/completions", {"prompt": "Once", "max_tokens": 400, "temperature": 1, "n": 1,
                                                "ignore_eos": True})
            daemon.admin("POST", f"/choir/v1/models/{NAME}/suspend")  # so that it waits
            asks = threading.Thread(target=ask)
            asks.start()
            self.top()
            self.shows("suspended", without=["no request"])
            self.keys("k")
            self.shows("Cancel request")
            self.keys("y")
            self.shows("no request")
            asks.join(TIMEOUT)
            self.assertFalse(asks.is_alive())
            self.keys("q")

    def test_says_that_it_is_not_live_and_finds_the_next_daemon(self):
        with self.daemon() as first:
            self.top()
            self.shows(NAME, without=["not live"])
            first.process.kill()
            first.process.wait(TIMEOUT)
            self.shows("not live", NAME)  # what was known stays
            first.process.returncode = 0
        Path(self.daemon_socket).unlink(missing_ok=True)
        with self.daemon():
            self.shows(NAME, without=["not live"])
            self.keys("q")
            self.back_at_the_shell(0)

    def test_gives_the_terminal_back_when_it_is_ended(self):
        with self.daemon():
            self.top()
            self.shows(NAME)
            os.kill(self.process_of_top(), signal.SIGTERM)
            self.back_at_the_shell(128 + signal.SIGTERM)

    def test_gives_the_terminal_back_while_it_is_stopped(self):
        with self.daemon():
            self.keys("-l", "set -m")
            self.keys("Enter")
            self.keys("-l", f"{shlex.quote(CHOIR)} top --unix-socket {self.daemon_socket}")
            self.keys("Enter")
            self.shows(NAME, "q quit")
            self.keys("C-z")
            self.shows("Stopped", without=["q quit"])
            self.keys("-l", "stty -a; fg")
            self.keys("Enter")
            self.shows(NAME, "q quit")
            self.keys("q")
            self.shows("icanon", without=["-icanon"])

    def process_of_top(self):
        shell = int(self.tmux("display-message", "-p", "#{pane_pid}"))
        children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        return int(children[-1])


if __name__ == "__main__":
    unittest.main()
