"""What `choir doctor` says about model files that were tried.

    CHOIR_BIN=build/bin/choir CHOIR_TEST_MODELS=models python3 tests/cli_doctor_test.py
"""

import json
import tempfile
import unittest
from pathlib import Path

from cli_tools import STORIES, choir


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.bad = Path(folder.name) / "bad.gguf"
        self.bad.write_bytes(Path(STORIES).read_bytes()[:100_000])

    def doctor(self, *args):
        done = choir("doctor", *args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_are_listed_and_forgotten(self):
        self.doctor("--forget-files")
        self.assertIn("No model file was tried", self.doctor("--files"))
        self.assertEqual(choir("show", STORIES).returncode, 0)
        self.assertEqual(choir("show", self.bad).returncode, 1)
        files = json.loads(self.doctor("--files", "--json"))["files"]
        self.assertEqual({Path(f["path"]).name: f["refused"] for f in files},
                         {"bad.gguf": True, "stories260K.gguf": False})
        self.assertRegex(self.doctor("--files"), r"problem +'.*bad\.gguf' ")
        self.assertIn("2 model files tried, 1 refused", choir("doctor").stdout)
        self.assertEqual(json.loads(self.doctor("--forget-files", "--json")), {"forgotten": 2})
        self.assertEqual(json.loads(self.doctor("--files", "--json")), {"files": []})


if __name__ == "__main__":
    unittest.main()
