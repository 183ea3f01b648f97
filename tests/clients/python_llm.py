#!/usr/bin/env python3
"""An unmodified llm talks to a daemon."""

import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from daemon_side import arguments, fill_the_queue, wait_until_nothing_runs

asked = arguments()
folder = tempfile.TemporaryDirectory(prefix="choir-llm-")
os.environ["LLM_USER_PATH"] = folder.name
Path(folder.name, "extra-openai-models.yaml").write_text(
    "".join(f"- model_id: choir-{name}\n  model_name: {model}\n  api_base: {asked.base_url}\n  api_key_name: choir\n"
            for name, model in (("fast", asked.model), ("slow", asked.slow))))


def command(*words):
    done = subprocess.run([sys.executable, "-m", "llm", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


command("keys", "set", "choir", "--value", asked.key)
assert "choir-fast" in command("models")
options = ["-m", "choir-fast", "-o", "max_tokens", "16", "-o", "temperature", "0", "-o", "seed", "1"]
whole = command("prompt", "Once upon a time", "--no-stream", *options)
assert whole.strip()
assert command("prompt", "Once upon a time", *options) == whole
assert command("prompt", "-c", "And then", *options).strip()  # the conversation goes on

# A client that leaves in the middle.
with subprocess.Popen([sys.executable, "-m", "llm", "prompt", "Once upon a time", "-m", "choir-slow", "-o", "max_tokens", "1500"],
                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as stream:
    assert stream.stdout.read(1)
    stream.terminate()
wait_until_nothing_runs(asked)

fill_the_queue()
assert command("prompt", "Once upon a time", "--no-stream", *options) == whole
print("ok: llm", version("llm"))
