"""Whether the peer computes right, before its rates count: several prompt rows in one pass against one row at a time.

Its kernels of several rows are other code than those of one (tile instructions, where the CPU has AMX). A compiler that breaks
them makes a peer that dies, or is fast and wrong.
"""
import http.client
import json
import math
import os
import sys
import tempfile

import llama_server
import report

# More rows than a tile has.
TEXT = ("The lighthouse keeper wrote a letter to his sister every evening, and told her about the ships that had passed, "
        "the weather that came in from the sea, and what he had cooked for dinner.")
ROWS = 32
TOP = 5
# Both ways round activations to 8 bits, in blocks of other sizes; what is broken is off by whole units.
NATS_MAX = 0.3


class PeerError(Exception):
    """The peer is not to be compared with; the sentence says why."""


def ask(server, path, body):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    data = json.loads(answer.read())
    connection.close()
    if answer.status != 200:
        raise PeerError(f"llama-server said {answer.status}: {data}")
    return data


def next_token(server, tokens, cache_prompt):
    """The logarithms of the probabilities of the tokens that may follow, by token."""
    data = ask(server, "/completion", {"prompt": tokens, "n_predict": 1, "n_probs": TOP, "temperature": 0,
                                       "cache_prompt": cache_prompt, "ignore_eos": True})
    return {t["id"]: t["logprob"] for t in data["completion_probabilities"][0]["top_logprobs"]}


def differ(together, one_by_one):
    """What is wrong with the first beside the second; empty: nothing."""
    best = max(one_by_one, key=one_by_one.get)
    if not all(math.isfinite(value) for value in together.values()):
        return "it gives no numbers"
    if best not in together:
        return f"token {best}, the likeliest one, is not among the first {TOP}"
    off = abs(together[best] - one_by_one[best])
    return "" if off <= NATS_MAX else f"the likeliest token is off by {off:.2f} nats, allowed {NATS_MAX}"


def uses_amx(log):
    with open(log, encoding="utf-8", errors="replace") as lines:
        return any("AMX_INT8 = 1" in line for line in lines)


def cpu_has_amx():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        return any("amx_int8" in line.split() for line in lines if line.startswith("flags"))


def check(program, model):
    """Raises PeerError with a sentence where llama-server computes `model` wrong, or not at all."""
    with tempfile.TemporaryDirectory(prefix="choir-peer-") as folder:
        server = llama_server.Server(program, [model], folder, ["-np", "1", "-v"])
        try:
            server.wait_ready()
            tokens = ask(server, "/tokenize", {"content": TEXT, "add_special": True})["tokens"][:ROWS]
            together = next_token(server, tokens, cache_prompt=False)
            for count in range(1, len(tokens)):  # each computes the one token that the cache has not
                next_token(server, tokens[:count], cache_prompt=True)
            wrong = differ(together, next_token(server, tokens, cache_prompt=True))
        except (RuntimeError, OSError, http.client.HTTPException, KeyError, IndexError) as error:
            raise PeerError(f"llama-server does not compute {os.path.basename(model)}: {error}") from error
        finally:
            server.stop()
        if wrong:
            raise PeerError(f"llama-server computes {os.path.basename(model)} wrong: of {len(tokens)} rows in one pass, "
                            f"beside the same rows one at a time, {wrong}")
        if cpu_has_amx() and not uses_amx(server.log.name):
            raise PeerError("llama-server was built without AMX, which this CPU has; its rates would be too low")


def trusted_program(repo, name, models):
    """A program of llama.cpp, after llama-server, which is built with it, has computed each of the models right."""
    program = report.peer_program(repo, name)
    try:
        for model in models:
            check(report.peer_program(repo, "llama-server"), model)
    except PeerError as error:
        sys.exit(f"bench: no comparison with this peer: {error}")
    return program
