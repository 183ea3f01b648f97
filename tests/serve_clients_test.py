#!/usr/bin/env python3
"""Unmodified clients talk to `choir serve`. They come from their registries, in pinned versions, once."""

import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

from serve_tools import Daemon

CLIENTS = Path(os.environ["CHOIR_REPO"]) / "tests" / "clients"
CACHE = Path(os.environ.get("CHOIR_CACHE") or
             Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "choir") / "clients"


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, check=False,
                          **options)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.stdout[-2000:]} {done.stderr[-4000:]}")
    return done.stdout


def packages(requirements):
    """A folder with these packages, for PYTHONPATH."""
    pins = (CLIENTS / requirements).read_text()
    folder = CACHE / "-".join(["python", *pins.replace("==", "-").split()])
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        run(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", folder,
            "-r", CLIENTS / requirements)
        (folder / "ready").touch()
    return folder


def node_modules():
    """A folder with the packages of package.json."""
    folder = CACHE / "node"
    wanted = (CLIENTS / "package.json").read_text()
    ready = folder / "ready"
    if not ready.exists() or ready.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy(CLIENTS / "package.json", folder)
        run("npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
        ready.write_text(wanted)
    return folder


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon())

    def tearDown(self):
        self.assertEqual(self.daemon.get("/health")[0], 200)

    def python(self, requirements):
        print(run(sys.executable, CLIENTS / "python_openai.py", self.daemon.url + "/v1", "stories260K",
                  env=os.environ | {"PYTHONPATH": str(packages(requirements))}))

    def test_openai_for_python(self):
        self.python("requirements.txt")

    def test_openai_for_python_of_the_major_version_before(self):
        self.python("requirements-old.txt")

    @unittest.skipUnless(shutil.which("npm"), "needs npm")
    def test_openai_for_node(self):
        folder = node_modules()
        shutil.copy(CLIENTS / "node_openai.mjs", folder)
        print(run("node", folder / "node_openai.mjs", self.daemon.url + "/v1", "stories260K"))


if __name__ == "__main__":
    unittest.main()
