#!/usr/bin/env python3
"""Several models at once: Choir beside llama-server's router, the same files and the same load in one run.

    ./dev bench router [--json] [--check] [--runs 3] [--only NAME]

llama-server is built from Choir's own engine source on demand. Every load is 64 output tokens a request with
the end of text ignored, all requests sent at once, models loaded and warm; tokens per second over the whole
load, the median of alternating runs. Needs `choir pull smollm2-135m`.

Choir is driven through `choir parallel`, the peer through its HTTP API; at these rates HTTP costs under 1 %.
Loopback only; stops by itself.
"""
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(REPO, "bench", "report"))
import report  # noqa: E402

CHOIR = os.path.join(REPO, "build", "bin", "choir")
TOKENS = 64
PROMPTS = ["Write a short poem about the sea.", "Explain how a bicycle stays upright.",
           "What is the difference between a lake and a pond?", "Give three tips for a good night's sleep.",
           "Tell a short story about a lighthouse keeper.", "Why is the sky blue?",
           "Describe how bread is baked.", "What makes a good friend?"]
TEMPLATE = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"

# name, models, requests of each, peer's extra arguments, peer's name, goal
LOADS = [
    ("4 models x 2 requests, router as it comes", 4, 2, [], "llama-server router", 8.0),
    ("4 models x 2 requests, router tuned", 4, 2, ["-t", "1", "-tb", "1"], "router, 1 thread a model", 6.0),
    ("4 models x 8 requests, router tuned", 4, 8, ["-t", "1", "-tb", "1", "-np", "8"], "router, 1 thread a model", 15.0),
    ("1 model x 8 requests", 1, 8, ["-np", "8"], "llama-server", 1.5),
]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """llama-server with the models of one folder, or with one model; ended by its process id."""

    def __init__(self, program, models, folder, extra):
        self.port = free_port()
        words = [program, "--host", "127.0.0.1", "--port", str(self.port), "-c", "4096", *extra]
        words += ["--models-dir", folder, "--models-max", "8"] if len(models) > 1 else ["-m", models[0]]
        self.log = open(os.path.join(folder, "server.log"), "a", encoding="utf-8")
        self.process = subprocess.Popen(words, stdout=self.log, stderr=self.log, start_new_session=True)
        self.names = [os.path.basename(m).removesuffix(".gguf") for m in models]

    def post(self, name, prompt, tokens, timeout=900):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        body = {"model": name, "prompt": TEMPLATE.format(prompt), "n_predict": tokens, "ignore_eos": True,
                "cache_prompt": False, "temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05}
        connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = json.loads(answer.read())
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"llama-server said {answer.status}: {data}")
        return data["tokens_predicted"]

    def wait_ready(self):
        for _ in range(600):
            if self.process.poll() is not None:
                raise RuntimeError(f"llama-server ended with {self.process.returncode}; see {self.log.name}")
            try:
                for name in self.names:  # the first request to a model loads it
                    self.post(name, "Hello", 2, timeout=120)
                return
            except (ConnectionError, OSError, RuntimeError):
                time.sleep(0.5)
        raise RuntimeError("llama-server did not become ready in five minutes")

    def load(self, requests_each):
        jobs = [(name, PROMPTS[(i * len(self.names) + m) % len(PROMPTS)])
                for i in range(requests_each) for m, name in enumerate(self.names)]
        counts = [0] * len(jobs)
        errors = []

        def work(index):
            try:
                counts[index] = self.post(*jobs[index], TOKENS)
            except Exception as error:  # noqa: BLE001: told below, with all others
                errors.append(error)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(jobs))]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return sum(counts) / (time.monotonic() - began)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def choir_load(models, requests_each):
    words = [CHOIR, "parallel", "--json", "--ignore-eos", "--max-tokens", str(TOKENS), "--temperature", "0.8",
             "--sessions", str(requests_each), "--raw"]
    for model in models:
        words += ["--model", model]
    for prompt in PROMPTS:
        words += ["--prompt", TEMPLATE.format(prompt)]  # the same tokens as the peer's
    done = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"choir parallel failed: {done.stderr.strip()}")
    answer = json.loads(done.stdout)
    wanted = TOKENS * requests_each * len(models)
    if answer["total_tokens"] != wanted:
        raise RuntimeError(f"choir generated {answer['total_tokens']} tokens, wanted {wanted}")
    return answer["throughput"]


def main():
    arguments = report.parser(__doc__).parse_args()

    pulled = subprocess.run([CHOIR, "pull", "smollm2-135m"], capture_output=True, text=True, check=False)
    models = json.loads(subprocess.run([CHOIR, "models", "--json"], capture_output=True, text=True, check=True).stdout)
    found = [m["path"] for m in models["local"] if m["name"] == "smollm2-135m"]
    if pulled.returncode != 0 or not found:
        sys.exit(f"bench router: smollm2-135m is needed: {pulled.stderr.strip()}")
    server_program = report.peer_program(REPO, "llama-server")

    rows = []
    with tempfile.TemporaryDirectory(prefix="choir-router-") as folder:
        copies = []
        for i in range(4):  # four files, so that neither side can share their weights
            copies.append(os.path.join(folder, f"model-{i + 1}.gguf"))
            shutil.copyfile(found[0], copies[-1])
        for name, models_count, each, extra, peer_name, goal in LOADS:
            if arguments.only not in name:
                continue
            ours, theirs = [], []
            for run in range(arguments.runs):
                server = Server(server_program, copies[:models_count], folder, extra)
                try:
                    server.wait_ready()
                    theirs.append(server.load(each))
                finally:
                    server.stop()
                ours.append(choir_load(copies[:models_count], each))
                print(f"{name}: run {run + 1}: choir {ours[-1]:.1f}, peer {theirs[-1]:.1f} tok/s", file=sys.stderr)
            rows.append(report.row(name, "tok/s", statistics.median(ours), statistics.median(theirs), peer_name, goal))
    sys.exit(report.finish("router", rows, arguments.json, arguments.check))


if __name__ == "__main__":
    main()
