#!/usr/bin/env python3
"""`choir serve` keeps what its OpenAPI document says: Schemathesis makes requests from it and looks at the answers.

Schemathesis comes from its registry, in a pinned version, once.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from cli_tools import choir
from serve_tools import Daemon

REPO = Path(os.environ["CHOIR_REPO"])
CONTRACT = REPO / "tests" / "contract"
CACHE = Path(os.environ.get("CHOIR_CACHE") or
             Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "choir") / "clients"


def schemathesis():
    """A folder with the packages of requirements.txt, for PYTHONPATH."""
    folder = CACHE / "contract"
    wanted = (CONTRACT / "requirements.txt").read_text()
    ready = folder / "ready"
    if not ready.exists() or ready.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target",
                               folder, "-r", CONTRACT / "requirements.txt"], capture_output=True, text=True, timeout=300,
                              check=False)
        if done.returncode != 0:
            raise AssertionError(f"pip: {done.stdout[-2000:]} {done.stderr[-4000:]}")
        ready.write_text(wanted)
    return folder


class Contract(unittest.TestCase):
    def test_the_document_is_what_the_daemon_does(self):
        packages = schemathesis()
        with tempfile.TemporaryDirectory() as folder:
            keys = Path(folder) / "keys.json"
            scopes = [word for scope in ("view", "infer", "metrics", "admin") for word in ("--scope", scope)]
            key = choir("key", "new", "all", "--keys", keys, *scopes).stdout.strip()
            config = Path(folder) / "serve.yaml"
            config.write_text("limits: {wrong_keys_per_second: 1000000}\n")
            with Daemon("--config", config, "--keys", keys, "--context-tokens", 512) as daemon:
                status, _, text = daemon.request("GET", "/openapi.json")
                self.assertEqual((status, json.loads(text)), (200, json.loads((REPO / "docs" / "openapi.json").read_text())))
                done = subprocess.run(
                    [sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", CONTRACT / "schemathesis.toml",
                     "run", daemon.url + "/openapi.json", "--url", daemon.url, "--checks", "all",
                     "--header", f"Authorization: Bearer {key}"],
                    cwd=folder, env=os.environ | {"PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1",
                                                  "SCHEMATHESIS_HOOKS": str(CONTRACT / "hooks.py")},
                    capture_output=True, text=True, timeout=400, check=False)
                print(done.stdout[-20000:], done.stderr[-4000:])
                self.assertEqual(done.returncode, 0)
                self.assertEqual(daemon.get("/health")[0], 200)


class ContentTypes(unittest.TestCase):
    def test_bodies_of_other_types_than_json_are_refused(self):
        body = json.dumps({"prompt": "a", "max_tokens": 1}).encode()
        with Daemon() as daemon:
            for kind, expected in (("application/json", 200), ("application/x-www-form-urlencoded", 200),
                                   ("text/xml", 415), ("multipart/form-data; boundary=a", 415), ("text/plain", 415)):
                with self.subTest(kind):
                    status, _, text = daemon.request("POST", "/v1/completions", body, {"Content-Type": kind})
                    self.assertEqual(status, expected, text)


if __name__ == "__main__":
    unittest.main()
