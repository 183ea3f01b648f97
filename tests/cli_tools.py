"""How the command line's tests start the program."""

import os
import subprocess
import tempfile
from pathlib import Path

CHOIR = os.environ["CHOIR_BIN"]
STORIES = str(Path(os.environ["CHOIR_TEST_MODELS"]) / "stories260K.gguf")
RAW = ["--raw"]  # the test model has no chat template

CACHE = tempfile.TemporaryDirectory(prefix="choir-cli-test-")  # not the user's; goes at exit

TIMEOUT = 120  # seconds; a run takes a fraction of one, a busy machine multiplies it


def environment(models=None, **more):
    """Ours, without what would change the output."""
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "CHOIR_LOG", "CHOIR_MODELS")
           and not k.startswith("CHOIR_SERVE_")}
    env["CHOIR_CACHE"] = CACHE.name
    env["XDG_CONFIG_HOME"] = CACHE.name
    if models is not None:
        env["CHOIR_MODELS"] = str(models)
    return env | more


def choir(*args, stdin="", models=None, stdout=subprocess.PIPE, **variables):
    """Runs to the end; stdout and stderr are text."""
    done = subprocess.run([CHOIR, *map(str, args)], input=stdin if isinstance(stdin, bytes) else stdin.encode(),
                          stdout=stdout, stderr=subprocess.PIPE, timeout=TIMEOUT, check=False,
                          env=environment(models, **variables))
    done.stdout = (done.stdout or b"").decode()
    done.stderr = done.stderr.decode()
    return done
