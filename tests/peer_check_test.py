#!/usr/bin/env python3
"""What the benchmarks think of their peer: right, wrong, or dead."""

import os
import sys
import tempfile
import unittest
from pathlib import Path

REPO = os.environ["CHOIR_REPO"]
sys.path[:0] = [os.path.join(REPO, "bench", "report"), os.path.join(REPO, "bench", "peers")]
import peer_check  # noqa: E402


class Differ(unittest.TestCase):
    def test_rows(self):
        right = {1: -0.5, 2: -2.0, 3: -3.0}
        rows = [
            ("TheSame", right, ""),
            ("Rounded", {1: -0.6, 2: -1.9, 4: -3.1}, ""),
            ("AnotherOrder", {2: -0.5, 1: -0.7}, ""),
            ("TheBestIsGone", {7: -0.1, 8: -3.0}, "token 1, the likeliest one"),
            ("FarOff", {1: -4.0, 9: -0.1}, "off by 3.50 nats"),
            ("NoNumbers", {1: float("nan"), 2: -1.0}, "no numbers"),
        ]
        for name, together, says in rows:
            with self.subTest(name):
                wrong = peer_check.differ(together, right)
                self.assertTrue(says in wrong if says else wrong == "", wrong)

    def test_a_peer_that_dies_is_said_in_a_sentence(self):
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "llama-server"
            program.write_text("#!/bin/sh\nkill -ILL $$\n")
            program.chmod(0o755)
            with self.assertRaisesRegex(peer_check.PeerError, "does not compute m.gguf: llama-server ended with -4"):
                peer_check.check(str(program), "m.gguf")


if __name__ == "__main__":
    unittest.main()
