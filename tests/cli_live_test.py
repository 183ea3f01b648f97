"""The built program under Ctrl-C, at the end of a pipe, and at a terminal.

    CHOIR_BIN=build/bin/choir CHOIR_TEST_MODELS=models python3 tests/cli_live_test.py [-v] [Case.test]
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time
import unicodedata
import unittest
from pathlib import Path

from cli_tools import CACHE, CHOIR, RAW, STORIES, TIMEOUT, environment

# The model never ends by itself; this takes from half a second to minutes.
LONG = ["run", STORIES, "Once upon a time", *RAW, "--max-tokens", "100000", "--temperature", "1"]
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def start(args, **kwargs):
    return subprocess.Popen([CHOIR, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=environment(), **kwargs)


class Interrupt(unittest.TestCase):
    def interrupted(self, args, when):
        """The result of a run that got Ctrl-C after `when` had come on standard output or error.

        A machine may be done before the signal comes: then again.
        """
        for _ in range(10):
            process = start(args)
            stream = process.stderr if when.startswith("stderr:") else process.stdout
            seen = self.read_until(stream, when.removeprefix("stderr:").encode())
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=TIMEOUT)
            out, err = (out, seen + err) if stream is process.stderr else (seen + out, err)
            if process.returncode != 0:
                return process.returncode, out.decode(), err.decode()
        self.fail("every run had ended before Ctrl-C came")

    def read_until(self, stream, wanted):
        seen = b""
        while wanted not in seen:
            piece = os.read(stream.fileno(), 4096)
            self.assertTrue(piece, f"ended before {wanted!r}: {seen!r}")
            seen += piece
        return seen

    def test_run_keeps_what_there_is(self):
        code, out, err = self.interrupted(LONG, " ")
        self.assertEqual((code, err), (130, ""))
        self.assertGreater(len(out), 5)
        self.assertTrue(out.endswith("\n"))
        self.assertNotIn("\ufffd", out)

    def test_run_as_json_tells_it(self):
        process = start([*LONG, "--json"])
        time.sleep(0.1)  # anywhere: while loading, or while generating
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT)
        self.assertIn(process.returncode, (0, 130))
        self.assertTrue(out == b"" or b'"finish"' in out)
        self.assertEqual(err, b"")

    def test_tune_keeps_nothing(self):
        for _ in range(10):  # as above, and a run that was done has kept its result
            Path(CACHE.name, "tuning.json").unlink(missing_ok=True)
            process = start(["tune", "--model", STORIES])
            self.read_until(process.stderr, b"Measuring")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=TIMEOUT)
            if process.returncode != 0:
                self.assertEqual((process.returncode, out), (130, b""))
                self.assertIn(b"choir: interrupted", err)
                return self.assertEqual(list(Path(CACHE.name).glob("tuning*")), [])
        return self.fail("every run had ended before Ctrl-C came")

    def test_parallel_reports_what_there_is(self):
        args = ["parallel", "-m", STORIES, *RAW, "-n", "8", "--max-tokens", "1900", "--ignore-eos", "--compare"]
        code, out, err = self.interrupted(args, "stderr:Starting session 7")
        self.assertEqual(code, 130)
        self.assertIn("PARALLEL EVALUATION RESULTS", out)
        self.assertIn("⛔ Stopped early", out)
        self.assertNotIn("Speedup", out)
        self.assertNotIn("🐢", err)
        self.assertNotIn("choir:", err)

    def test_bench(self):
        args = ["bench", STORIES, "--tokens", "1900", "--batch", "2", "--repeat", "100"]
        code, out, _ = self.interrupted(args, "stderr:Measuring")
        self.assertEqual((code, out), (130, ""))

    def test_before_there_is_anything_to_keep(self):
        process = subprocess.Popen([CHOIR, "run", STORIES], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=environment())
        time.sleep(0.2)  # it waits for standard input, or is about to
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT)
        self.assertIn(process.returncode, (130, -signal.SIGINT))  # the latter before main() began
        self.assertEqual((out, err), (b"", b""))

    def test_the_second_ends_it_at_once(self):
        # Nobody reads the pipe, which is made as small as it can be: the first Ctrl-C has to wait.
        for _ in range(10):
            process = start(LONG)
            fcntl.fcntl(process.stdout.fileno(), fcntl.F_SETPIPE_SZ, 4096)
            end = time.monotonic() + TIMEOUT
            while time.monotonic() < end and self.unread(process.stdout) < 2048:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            code = process.wait(timeout=TIMEOUT)
            process.communicate()
            if code == 130:
                self.assertLess(time.monotonic() - began, 5)
                return
        self.fail("it never ended with 130")

    @staticmethod
    def unread(stream):
        return struct.unpack("i", fcntl.ioctl(stream.fileno(), termios.FIONREAD, b"\0\0\0\0"))[0]


class ClosedPipe(unittest.TestCase):
    def test_ends_as_other_tools_do(self):
        rows = {
            "run": LONG,
            "parallel": ["parallel", "-m", STORIES, *RAW, "-n", "8", "--max-tokens", "1900", "--ignore-eos"],
        }
        for name, args in rows.items():
            with self.subTest(name):
                process = start(args)
                os.read(process.stdout.fileno(), 1)
                process.stdout.close()
                err = process.stderr.read().decode()
                self.assertEqual(process.wait(timeout=TIMEOUT), -signal.SIGPIPE)
                process.stderr.close()
                self.assertNotIn("choir:", err)
                if name == "run":
                    self.assertEqual(err, "")

    def test_closed_before_anything_is_written(self):
        for args in (["version"], ["models", "--json"], ["run", "--help"]):
            with self.subTest(args):
                reader, writer = os.pipe()
                os.close(reader)
                done = subprocess.run([CHOIR, *args], stdout=writer, stderr=subprocess.PIPE, timeout=TIMEOUT,
                                      check=False, env=environment())
                os.close(writer)
                self.assertEqual((done.returncode, done.stderr), (-signal.SIGPIPE, b""))

    def test_head(self):
        command = f"'{CHOIR}' {' '.join(LONG[:1])} '{STORIES}' 'Once' --raw --max-tokens 100000 | head -1 | wc -l"
        done = subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT,
                              check=False, env=environment())
        self.assertEqual((done.returncode, done.stdout.strip(), done.stderr), (0, b"1", b""))


class Terminal:
    """The program with a terminal for all three streams."""

    def __init__(self, args, rows=24, columns=100, **env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(CHOIR, [CHOIR, *args], environment(TERM="xterm", **env))
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.text = ""

    def until(self, wanted):
        """Reads on until `wanted` comes; what came before it. None: to the end."""
        end = time.monotonic() + TIMEOUT
        while wanted is None or wanted not in self.text:
            if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"no {wanted!r} in {self.text!r}")
            try:
                piece = os.read(self.fd, 65536)
            except OSError:  # how a terminal says that the other side has gone
                piece = b""
            if not piece:
                break
            self.text += piece.decode(errors="replace")
        if wanted is None:
            before, self.text = self.text, ""
        else:
            if wanted not in self.text:
                raise AssertionError(f"ended before {wanted!r}: {self.text!r}")
            before, self.text = self.text.split(wanted, 1)
        return before

    def send(self, keys):
        os.write(self.fd, keys.encode())

    def ended(self):
        """The exit code; all that was left to read stays in `rest`."""
        self.rest = self.until(None)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return code


PROMPT = "\x1b[1m>>> \x1b[0m"


class Chat(unittest.TestCase):
    def chat(self, *args, **env):
        terminal = Terminal(["run", STORIES, "--max-tokens", "8", *args], **env)
        terminal.until(PROMPT)
        return terminal

    def test_answers_and_leaves_with_ctrl_d(self):
        chat = self.chat()
        chat.send("Once upon a time\n")
        self.assertRegex(chat.until(PROMPT), r"\w+[^\r]*\r\n\x1b\[2m\[8 tokens")
        chat.send("\x04")
        self.assertEqual(chat.ended(), 0)

    def test_commands(self):
        chat = self.chat()
        rows = {"/help": "/clear", "/claer": "did you mean /clear?", "/system Be brief": "", "/clear": ""}
        for command, says in rows.items():
            chat.send(command + "\n")
            self.assertIn(says, chat.until(PROMPT))
        chat.send("\n")
        chat.until(PROMPT)
        chat.send("/exit\n")
        self.assertEqual(chat.ended(), 0)

    def answers_to(self, text):
        """How many messages the chat takes `text` for."""
        chat = self.chat("--max-tokens", "4")
        chat.send(text)
        chat.send("/exit\n")
        self.assertEqual(chat.ended(), 0)
        return chat.rest.count("tok/s")

    def test_a_pasted_text_is_one_message(self):
        self.assertEqual(self.answers_to("One\nday\n"), 2)  # typed
        self.assertEqual(self.answers_to("\x1b[200~One\n\n/day\nhe\x1b[201~ went\n"), 1)

    def test_lines_between_quotes_are_one_message(self):
        self.assertEqual(self.answers_to('"""One\nday\n\nhe"""\n'), 1)
        self.assertEqual(self.answers_to('"""/exit"""\n'), 1)

    def test_outgrown_conversations_go_on(self):
        chat = self.chat("--context-tokens", "64")
        for i in range(6):
            chat.send(f"Once upon a time there was a dog number {i}\n")
            self.assertIn("tok/s", chat.until(PROMPT))
        chat.send("too long " * 60 + "\n")
        self.assertIn("choir: prompt has", chat.until(PROMPT))
        chat.send("Still here\n")
        self.assertIn("tok/s", chat.until(PROMPT))
        chat.send("/exit\n")
        self.assertEqual(chat.ended(), 0)

    def test_ctrl_c_ends_an_answer_and_not_the_chat(self):
        chat = self.chat("--max-tokens", "100000", "--temperature", "1")
        for _ in range(10):
            chat.send("Once upon a time\n")
            chat.until("Once upon a time\r\n")
            chat.until(" ")
            chat.send("\x03")
            if "interrupted]" in chat.until(PROMPT):
                break
        else:
            self.fail("every answer had ended before Ctrl-C came")
        chat.send("/exit\n")
        self.assertEqual(chat.ended(), 0)

    def test_ctrl_c_at_the_prompt_leaves(self):
        chat = self.chat()
        chat.send("\x03")
        self.assertEqual(chat.ended(), 130)

    def test_no_color(self):
        terminal = Terminal(["run", STORIES, "--max-tokens", "8"], NO_COLOR="1")
        terminal.until(">>> ")
        terminal.send("Once\n")
        self.assertNotRegex(terminal.until(">>> "), r"\x1b\[\d*m")
        terminal.send("/exit\n")
        self.assertEqual(terminal.ended(), 0)

    def test_json_needs_a_prompt(self):
        terminal = Terminal(["run", STORIES, "--json"])
        self.assertEqual(terminal.ended(), 2)
        self.assertIn("choir: --json needs a prompt", terminal.rest)


class LiveProgress(unittest.TestCase):
    def test_sessions_are_redrawn_in_place(self):
        terminal = Terminal(["parallel", "-m", STORIES, *RAW, "-n", "3", "--max-tokens", "64", "--ignore-eos"])
        self.assertEqual(terminal.ended(), 0)
        self.assertRegex(terminal.rest, r"\x1b\[3A")
        last = ESCAPES.sub("", terminal.rest.split("\x1b[3A")[-1])
        self.assertEqual(len(re.findall(r"^\r* +[012]  stories260K +done +64 tokens +[\d.]+ tok/s", last, re.MULTILINE)), 3)
        self.assertIn("PARALLEL EVALUATION RESULTS", last)

    def test_more_sessions_than_lines(self):
        terminal = Terminal(["parallel", "-m", STORIES, *RAW, "-n", "40", "--max-tokens", "8", "--ignore-eos"],
                            rows=10, columns=30)
        self.assertEqual(terminal.ended(), 0)
        self.assertIn("and 33 more sessions", terminal.rest)

    def test_lines_with_wide_names_fit_the_window(self):
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / f"{'模型' * 5}.gguf"
            model.symlink_to(STORIES)
            terminal = Terminal(["parallel", "-m", str(model), *RAW, "-n", "2", "--max-tokens", "8"], columns=30)
            self.assertEqual(terminal.ended(), 0)
        lines = re.findall(r"^\r* +[01]  模型.*$", ESCAPES.sub("", terminal.rest).replace("\r\n", "\n"), re.MULTILINE)
        self.assertTrue(lines)
        for line in lines:
            wide = sum(1 + (unicodedata.east_asian_width(c) == "W") for c in line.strip("\r"))
            self.assertLessEqual(wide, 29, line)


if __name__ == "__main__":
    unittest.main()
