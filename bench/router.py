#!/usr/bin/env python3
"""Several models at once: Choir beside llama-server's router and OpenVINO GenAI's pipelines, the same files and the same load in one run.

    ./dev bench router [--json] [--check] [--runs 3] [--only NAME] [--without-openvino] [--no-peers]

llama-server is built from Choir's own engine source on demand. Every load is 64 output tokens a request with
the end of text ignored, all requests sent at once, models loaded and warm; tokens per second over the whole
load, the median of alternating runs. Needs `choir pull smollm2-135m`.

Choir is driven through `choir parallel`, the peer through its HTTP API; at these rates HTTP costs under 1 %.
Loopback only; stops by itself.
"""
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(REPO, "bench", "report"), os.path.join(REPO, "bench", "peers")]
import llama_server  # noqa: E402
import openvino_venv  # noqa: E402
import peer_check  # noqa: E402
import report  # noqa: E402

CHOIR = os.environ.get("CHOIR_BIN") or os.path.join(REPO, "build", "bin", "choir")
TOKENS = 64
PROMPTS = ["Write a short poem about the sea.", "Explain how a bicycle stays upright.",
           "What is the difference between a lake and a pond?", "Give three tips for a good night's sleep.",
           "Tell a short story about a lighthouse keeper.", "Why is the sky blue?",
           "Describe how bread is baked.", "What makes a good friend?"]
TEMPLATE = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
TEXTS = [TEMPLATE.format(prompt) for prompt in PROMPTS]

# name, requests of each of 4 models, goal beside OpenVINO GenAI's pipelines
OPENVINO_LOADS = [("4 models x 2 requests", 2, 3.0), ("4 models x 8 requests", 8, 2.5)]

# name, models, requests of each, peer's extra arguments, peer's name, goal
LOADS = [
    ("4 models x 2 requests, router as it comes", 4, 2, [], "llama-server router", 8.0),
    ("4 models x 2 requests, router tuned", 4, 2, ["-t", "1", "-tb", "1"], "router, 1 thread a model", 6.0),
    ("4 models x 8 requests, router tuned", 4, 8, ["-t", "1", "-tb", "1", "-np", "8"], "router, 1 thread a model", 15.0),
    ("1 model x 8 requests", 1, 8, ["-np", "8"], "llama-server", 1.5),
]


def choir_load(models, requests_each):
    words = [CHOIR, "parallel", "--json", "--ignore-eos", "--max-tokens", str(TOKENS), "--temperature", "0.8",
             "--sessions", str(requests_each), "--raw"]
    for model in models:
        words += ["--model", model]
    for text in TEXTS:
        words += ["--prompt", text]  # the same tokens as the peer's
    done = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"choir parallel failed: {done.stderr.strip()}")
    answer = json.loads(done.stdout)
    wanted = TOKENS * requests_each * len(models)
    if answer["total_tokens"] != wanted:
        raise RuntimeError(f"choir generated {answer['total_tokens']} tokens, wanted {wanted}")
    return answer["throughput"]


def openvino_load(python, models, requests_each):
    """The better of one and of all threads a pipeline."""
    script = os.path.join(REPO, "bench", "peers", "openvino_peer.py")
    wanted = [{"batch": requests_each, "prompt_tokens": 18, "tokens": TOKENS}]
    rates = []
    for threads in {1, len(os.sched_getaffinity(0))}:
        done = subprocess.run([python, script, ",".join(models), str(threads)], input=json.dumps(wanted),
                              capture_output=True, text=True, check=True)
        rates.append(json.loads(done.stdout)[0]["all"])
    return max(rates)


def alone(arguments, copies):
    """Choir's side of every load, each once."""
    rows = []
    for count, each in sorted({(count, each) for _, count, each, *_ in LOADS}):
        name = f"{count} model{'s' if count > 1 else ''} x {each} requests"
        if not report.wants(arguments, name):
            continue
        rates = [choir_load(copies[:count], each) for _ in range(arguments.runs)]
        rows.append(report.row(name, "tok/s", statistics.median(rates), None, "", None))
    return rows


@contextlib.contextmanager
def four_copies(bench):
    """Four files of SmolLM2-135M in a folder of their own, so that neither side can share their weights."""
    pulled = subprocess.run([CHOIR, "pull", "smollm2-135m"], capture_output=True, text=True, check=False)
    models = json.loads(subprocess.run([CHOIR, "models", "--json"], capture_output=True, text=True, check=True).stdout)
    found = [m["path"] for m in models["local"] if m["name"] == "smollm2-135m"]
    if pulled.returncode != 0 or not found:
        sys.exit(f"bench {bench}: smollm2-135m is needed: {pulled.stderr.strip()}")
    with tempfile.TemporaryDirectory(prefix=f"choir-{bench}-") as folder:
        copies = [os.path.join(folder, f"model-{i + 1}.gguf") for i in range(4)]
        for copy in copies:
            shutil.copyfile(found[0], copy)
        yield copies


def main():
    parser = report.parser(__doc__)
    parser.add_argument("--without-openvino", action="store_true")
    arguments = parser.parse_args()

    rows = []
    with four_copies("router") as copies:
        folder = os.path.dirname(copies[0])
        if arguments.no_peers:
            rows = alone(arguments, copies)
            sys.exit(report.finish("router", rows, arguments.json, arguments.check))
        server_program = peer_check.trusted_program(REPO, "llama-server", copies[:1])
        for name, models_count, each, extra, peer_name, goal in LOADS:
            if not report.wants(arguments, name):
                continue
            ours, theirs = [], []
            for run in range(arguments.runs):
                server = llama_server.Server(server_program, copies[:models_count], folder, extra)
                try:
                    server.wait_ready()
                    theirs.append(server.load(each, TEXTS, TOKENS))
                finally:
                    server.stop()
                ours.append(choir_load(copies[:models_count], each))
                print(f"{name}: run {run + 1}: choir {ours[-1]:.1f}, peer {theirs[-1]:.1f} tok/s", file=sys.stderr)
            rows.append(report.row(name, "tok/s", statistics.median(ours), statistics.median(theirs), peer_name, goal))
        for name, each, goal in OPENVINO_LOADS:
            if arguments.without_openvino or not report.wants(arguments, name):
                continue
            python = openvino_venv.python()
            ours, theirs = [], []
            for run in range(arguments.runs):
                theirs.append(openvino_load(python, copies, each))
                ours.append(choir_load(copies, each))
                print(f"{name}: run {run + 1}: choir {ours[-1]:.1f}, OpenVINO {theirs[-1]:.1f} tok/s", file=sys.stderr)
            rows.append(report.row(name, "tok/s", statistics.median(ours), statistics.median(theirs), "OpenVINO GenAI", goal))
    sys.exit(report.finish("router", rows, arguments.json, arguments.check))


if __name__ == "__main__":
    main()
