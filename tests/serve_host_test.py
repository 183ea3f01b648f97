#!/usr/bin/env python3
"""`choir run` and `choir parallel` with a daemon that runs already (--host)."""

import json
import re
import unittest

from cli_tools import RAW, STORIES, choir
from serve_own_test import MODEL, PROMPTS, figures_masked
from serve_tools import Daemon


class Host(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon())

    def test_of_run_gives_the_same_output(self):
        options = [*RAW, "--temperature", 0.8, "--seed", 5, "--max-tokens", 12]
        here = choir("run", STORIES, *options, "Once upon a time")
        self.assertEqual(here.returncode, 0, here.stderr)
        for host in (self.daemon.url, self.daemon.socket, "unix:" + self.daemon.socket):
            there = choir("run", MODEL, "--host", host, *options, "Once upon a time")
            self.assertEqual((there.returncode, there.stdout, there.stderr), (0, here.stdout, here.stderr))
        chat = ["--temperature", 0, "--max-tokens", 12, "--json", "--seed", 1, "Once"]
        here, there = (json.loads(choir("run", *model, *chat).stdout) for model in ([STORIES], [MODEL, "--host", self.daemon.url]))
        self.assertEqual(list(here), list(there))
        for field in ("text", "finish", "error", "seed", "prompt_tokens", "output_tokens"):
            self.assertEqual(here[field], there[field])

    def test_of_parallel_gives_the_same_report(self):
        options = [*RAW, "--sessions", 2, "--max-tokens", 8, "--json", "--prompt", PROMPTS[0], "--prompt", PROMPTS[1]]
        here, there = (json.loads(choir("parallel", "--model", *model, *options).stdout)
                       for model in ([STORIES], [MODEL, "--host", self.daemon.socket]))
        self.assertEqual(list(here), list(there))
        self.assertEqual(here["cores"], there["cores"])
        self.assertEqual([s["text"] for s in here["sessions"]], [s["text"] for s in there["sessions"]])
        shown = choir("parallel", "--host", self.daemon.url, "--model", MODEL, *options[:5])
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("PARALLEL EVALUATION RESULTS", shown.stdout)
        self.assertIn("Session 1", shown.stderr)

    def test_of_parallel_compares_as_without_it(self):
        options = ["--compare", *RAW, "--sessions", 3, "--max-tokens", 8, "--prompt", PROMPTS[0]]
        models = ([STORIES], [MODEL, "--host", self.daemon.socket])
        here, there = (json.loads(choir("parallel", "--model", *model, *options, "--json").stdout) for model in models)
        self.assertEqual(list(here), list(there))
        for one in (here, there):
            self.assertEqual([s["text"] for s in one["one_at_a_time"]["sessions"]], [s["text"] for s in here["sessions"]])
            self.assertAlmostEqual(one["speedup"], one["throughput"] / one["one_at_a_time"]["throughput"])
            firsts = [s["first_token_seconds"] for s in one["one_at_a_time"]["sessions"]]
            spans = [s["seconds"] for s in one["one_at_a_time"]["sessions"]]
            for i in (1, 2):  # the one before has ended
                self.assertGreater(firsts[i], sum(spans[:i]))
        here, there = (choir("parallel", "--model", *model, *options) for model in models)
        self.assertEqual(there.returncode, 0, there.stderr)
        self.assertEqual(*(re.sub(" +", " ", figures_masked(done.stdout)) for done in (here, there)))
        self.assertIn("Speedup: ", there.stdout)
        alone = there.stderr[there.stderr.index("one request at a time"):]
        told = re.findall(r"(Starting session \d|Session \d ended)", alone)
        self.assertEqual(told, [f(i) for i in range(3) for f in ("Starting session {}".format, "Session {} ended".format)])

    def test_of_parallel_that_compares_finds_nothing_in_the_prefix_cache(self):
        before = self.daemon.get(f"/choir/v1/models/{MODEL}")[1]["reused_tokens"]
        for _ in range(2):
            choir("parallel", "--model", MODEL, "--host", self.daemon.socket, "--compare", *RAW, "--sessions", 2,
                  "--max-tokens", 2, "--prompt", "Once upon a time there was a little dog " * 4)
        self.assertEqual(self.daemon.get(f"/choir/v1/models/{MODEL}")[1]["reused_tokens"], before)

    def test_that_is_wrong_says_so(self):
        rows = [(["--host", "http://127.0.0.1:1"], 1, "no daemon answers"), (["--host", "127.0.0.1:1"], 1, "no daemon answers"),
                (["--host", "[::1]:1"], 1, "no daemon answers"), (["--host", "nowhere"], 1, "neither"),
                (["--host", self.daemon.url, "--cores", 1], 2, "the daemon's")]
        for options, code, says in rows:
            with self.subTest(options=options):
                done = choir("run", MODEL, *options, "a")
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(says, done.stderr)
        done = choir("run", "stories260L", "--host", self.daemon.url, "a")
        self.assertEqual(done.returncode, 1)
        self.assertIn("did you mean 'stories260K'?", done.stderr)
        done = choir("run", MODEL, "--host", self.daemon.url, "word " * 5000)
        self.assertEqual(done.returncode, 3, done.stderr)


if __name__ == "__main__":
    unittest.main()
