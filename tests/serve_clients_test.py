#!/usr/bin/env python3
"""Unmodified clients talk to `choir serve`. They come from their registries, in pinned versions, once."""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

from cli_tools import choir
from serve_tools import PROMPT, Daemon, post_bytes, read_reply, wait_until

CLIENTS = Path(os.environ["CHOIR_REPO"]) / "tests" / "clients"
PAGE = Path(os.environ["CHOIR_REPO"]) / "docs" / "clients.md"
CHOIR_CACHE = Path(os.environ.get("CHOIR_CACHE") or
                   Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "choir")
MODELS = Path(os.environ.get("CHOIR_MODELS") or CHOIR_CACHE / "models")
SLOW = MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"  # its streams take seconds
ENCODER = MODELS / "all-minilm-l6-v2.gguf"
MODEL = "stories260K"
CLIENT_SECONDS = 300  # one takes a few seconds, a busy machine multiplies it


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=540, check=False,
                          **options)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.stdout[-2000:]} {done.stderr[-4000:]}")
    return done.stdout


def installed(kind, wanted, install):
    """A folder of the cache with what is wanted. Without a network it must be there already."""
    folder = CHOIR_CACHE / "clients" / f"{kind}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        began = time.monotonic()
        install(folder)
        (folder / "ready").touch()
        size = sum(file.lstat().st_size for file in folder.rglob("*"))
        print(f"installed {folder.name} in {time.monotonic() - began:.0f} s, {size >> 20} MiB", flush=True)
    return folder


def packages(requirements):
    """A folder with these packages, for PYTHONPATH."""
    return installed("python", (CLIENTS / requirements).read_text(), lambda folder: run(
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
        "--only-binary=:all:", "--target", folder, "-r", CLIENTS / requirements))


def node_modules():
    """A folder with the packages of package.json, and our scripts."""
    def install(folder):
        shutil.copy(CLIENTS / "package.json", folder)
        run("npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)

    folder = installed("node", (CLIENTS / "package.json").read_text(), install)
    for script in CLIENTS.glob("*.mjs"):
        shutil.copy(script, folder)
    return folder


class OfClients(unittest.TestCase):
    """A daemon with keys, on two or three models."""

    @classmethod
    def setUpClass(cls):
        keys = Path(cls.enterClassContext(tempfile.TemporaryDirectory())) / "keys.json"
        # Beside the big tenant, the clients' tenant may have 8 requests in a queue.
        cls.big = choir("key", "new", "big", "--keys", keys, "--weight", 1000, "--scope", "infer", "--scope",
                        "metrics").stdout.strip()
        cls.key = choir("key", "new", "clients", "--keys", keys, "--weight", 0.001).stdout.strip()
        cls.slow, cls.encoder = [file.stem if file.exists() else None for file in (SLOW, ENCODER)]
        more = [word for file in (SLOW, ENCODER) if file.exists() for word in ("--model", file)]
        cls.daemon = cls.enterClassContext(Daemon("--keys", keys, *more))


class Clients(OfClients):
    def count(self, name, label):
        """The sum of a counter over its series with this label."""
        text = self.daemon.request("GET", "/metrics", headers={"authorization": "Bearer " + self.big})[2]
        return sum(float(line.split()[-1]) for line in text.split("\n") if line.startswith(name + "{") and label in line)

    def full_queue(self, go_on):
        """The queue of the clients' tenant is full until one request was refused."""
        self.daemon.admin("POST", f"/choir/v1/models/{MODEL}/suspend")
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(self.daemon.connect()) for _ in range(9)]
            for connection, key in zip(connections, [self.big] + [self.key] * 8):
                connection.sendall(post_bytes("/v1/completions", PROMPT | {"model": MODEL}, f"Authorization: Bearer {key}\r\n"))
            wait_until(lambda: len(self.daemon.admin("GET", "/choir/v1/requests")[1]["requests"]) == 9)
            refused = self.count("choir_request_total", 'code="429"')
            go_on()
            wait_until(lambda: self.count("choir_request_total", 'code="429"') > refused)
            self.daemon.admin("POST", f"/choir/v1/models/{MODEL}/resume")
            self.assertEqual({read_reply(connection)[0] for connection in connections}, {200})

    def talk(self, *command, **variables):
        """Runs a script of ours to its end, with a full queue when it asks for one."""
        arguments = [self.daemon.url + "/v1", self.key, MODEL]
        for option, name in (("--slow", self.slow), ("--embeds", self.encoder)):
            if name:
                arguments += [option, name]
            else:
                print(f"[ PARTLY   ] without a model for {option}")
        left = self.count("choir_requests_total", 'finished_reason="cancelled"')
        began = time.monotonic()
        with tempfile.TemporaryFile("w+") as complaints, subprocess.Popen(
                [str(word) for word in (*command, *arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=complaints, text=True, env=os.environ | variables) as process:
            watch = threading.Timer(CLIENT_SECONDS, process.kill)
            watch.start()
            said = []
            for line in process.stdout:
                said.append(line)
                if line == "a full queue, please\n":
                    self.full_queue(lambda: print(file=process.stdin, flush=True))
            process.wait()
            watch.cancel()
            complaints.seek(0)
            self.assertEqual(process.returncode, 0, "".join(said) + complaints.read()[-6000:])
        print(f"{said[-1].strip()}, {time.monotonic() - began:.1f} s", flush=True)
        self.assertTrue(said[-1].startswith("ok: "), said)
        self.assertIn("a full queue, please\n", said)
        if self.slow:  # the one that left in the middle; a small model may be done before
            self.assertEqual(self.count("choir_requests_total", 'finished_reason="cancelled"'), left + 1)
        self.assertEqual(self.daemon.get("/health")[0], 200)

    def python(self, script, requirements="requirements.txt", **variables):
        self.talk(sys.executable, CLIENTS / script, PYTHONPATH=str(packages(requirements)), **variables)

    def node(self, script):
        self.talk("node", node_modules() / script)

    def test_openai_for_python(self):
        self.python("python_openai.py")

    def test_openai_for_python_of_the_major_version_before(self):
        self.python("python_openai.py", "requirements-old.txt")

    def test_langchain_openai(self):
        self.python("python_langchain.py")

    def test_litellm(self):
        self.python("python_litellm.py")

    def test_llm(self):
        self.python("python_llm.py")

    @unittest.skipUnless(shutil.which("npm"), "needs npm")
    def test_openai_for_node(self):
        self.node("node_openai.mjs")

    @unittest.skipUnless(shutil.which("npm"), "needs npm")
    def test_ai_sdk(self):
        self.node("node_ai.mjs")


class Page(OfClients):
    """What docs/clients.md shows is run as it stands there, but with this daemon's address, key and models."""

    def shown(self, section):
        text = PAGE.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
        for there, here in (("http://127.0.0.1:8411", self.daemon.url), ("smollm2-135m", MODEL), ("KEY", self.key)):
            text = text.replace(there, here)
        text = re.sub(r"(?<=[\"' ])any(?=[\"'\n])", self.key, text)
        return re.findall(r"^```\w+\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)

    def says(self, *command, **options):
        variables = {name: options.pop(name) for name in list(options) if name.isupper()}
        said = run(*command, env=os.environ | variables, **options)
        self.assertGreater(len(said.strip()), 1, command)
        return said

    def python(self, code):
        return self.says(sys.executable, "-c", code, PYTHONPATH=str(packages("requirements.txt")),
                         LITELLM_LOCAL_MODEL_COST_MAP="True")

    def node(self, code):
        return self.says("node", "--input-type=module", "--eval", code, cwd=node_modules())

    def test_openai_for_python(self):
        self.python(*self.shown("openai for Python"))

    def test_langchain(self):
        [code] = self.shown("LangChain")
        self.python(code + "print(chat.invoke('Once upon a time').content)\n")
        if self.encoder:
            self.assertEqual(self.python(code + "print(len(embeddings.embed_query('a dog')))\n"), "384\n")

    def test_litellm(self):
        [code] = self.shown("litellm")
        self.python(code.replace("litellm.completion", "answer = litellm.completion") +
                    "print(answer.choices[0].message.content)\n")

    def test_llm(self):
        settings, commands = self.shown("llm")
        with tempfile.TemporaryDirectory(prefix="choir-llm-") as folder:
            Path(folder, "extra-openai-models.yaml").write_text(settings)
            commands = re.sub("^llm ", f"{sys.executable} -m llm ", commands, flags=re.MULTILINE)
            self.says("sh", "-ec", commands, PYTHONPATH=str(packages("requirements.txt")), LLM_USER_PATH=folder,
                      stdin=subprocess.DEVNULL)

    @unittest.skipUnless(shutil.which("npm"), "needs npm")
    def test_openai_for_node(self):
        self.node(*self.shown("openai for Node"))

    @unittest.skipUnless(shutil.which("npm"), "needs npm")
    def test_ai_sdk(self):
        self.node(*self.shown("AI SDK"))

    @unittest.skipUnless(shutil.which("curl"), "needs curl")
    def test_curl(self):
        [commands] = self.shown("curl")
        without_key, with_key = commands.split("\ncurl -N ")
        self.assertIn("a key is needed", self.says("sh", "-ec", without_key))
        self.assertTrue(self.says("sh", "-ec", "curl -N " + with_key).endswith("data: [DONE]\n\n"))


if __name__ == "__main__":
    unittest.main()
