"""How the tests of the dashboard run: scripts of tests/ui for node, which drive Debian's Chromium.

playwright-core and axe-core come from npm, in pinned versions, once.
"""

import os
import shutil
import subprocess
from pathlib import Path

REPO = Path(os.environ["CHOIR_REPO"])
SCRIPTS = REPO / "tests" / "ui"
CHOIR_CACHE = Path(os.environ.get("CHOIR_CACHE") or
                   Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "choir")
BROWSER = Path("/usr/bin/chromium")
TIMEOUT = 280  # seconds; a script takes some 30


def packages():
    """A folder with the packages of package-lock.json."""
    folder = CHOIR_CACHE / "clients" / "ui"
    wanted = (SCRIPTS / "package-lock.json").read_text()
    ready = folder / "ready"
    if not ready.exists() or ready.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SCRIPTS / name, folder)
        done = subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder,
                              capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            raise AssertionError(f"npm: {done.stdout[-2000:]} {done.stderr[-4000:]}")
        ready.write_text(wanted)
    return folder


def run(script, *arguments):
    """Runs tests/ui/SCRIPT and gives what it printed; fails where the script does."""
    folder = packages()
    for file in SCRIPTS.glob("*.*"):  # beside the packages, so that node finds them
        if file.suffix in (".mjs", ".json") and not file.name.startswith("package"):
            shutil.copy(file, folder)
    models = Path(os.environ.get("CHOIR_MODELS") or CHOIR_CACHE / "models")
    real = models if all((models / name).exists() for name in
                         ("SmolLM2-135M-Instruct.Q4_1.gguf", "gemma-3-270m.Q4_K_M.gguf")) else ""
    done = subprocess.run(["node", folder / script, *arguments], env=os.environ | {"UI_REAL_MODELS": str(real)},
                          capture_output=True, text=True, timeout=TIMEOUT, check=False)
    print(done.stdout, flush=True)
    if done.returncode != 0:
        raise AssertionError(f"{script}: {done.returncode}\n{done.stdout}\n{done.stderr[-4000:]}")
    return done.stdout
