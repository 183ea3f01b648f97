"""What the scripts of this folder have in common: their arguments, and what they ask the daemon and their test for."""

import argparse
import json
import sys
import time
import urllib.request

MESSAGES = [{"role": "user", "content": "Once upon a time"}]


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("base_url", help="http://127.0.0.1:8411/v1")
    parser.add_argument("key")
    parser.add_argument("model")
    parser.add_argument("--slow", help="a model whose streams are long enough to be left")
    parser.add_argument("--embeds", help="an encoder")
    found = parser.parse_args()
    found.slow = found.slow or found.model
    return found


def wait_until_nothing_runs(asked):
    """Returns once the daemon has no requests; a client that has left has none any more."""
    request = urllib.request.Request(asked.base_url.removesuffix("/v1") + "/choir/v1/requests",
                                     headers={"authorization": "Bearer " + asked.key})
    end = time.monotonic() + 60
    while True:
        with urllib.request.urlopen(request, timeout=60) as reply:
            if not json.load(reply)["requests"]:
                return
        assert time.monotonic() < end, "the daemon goes on for a client that has left"
        time.sleep(0.01)


def fill_the_queue():
    """Asks the test for a full queue; it makes room again after the first 429."""
    print("a full queue, please", flush=True)
    assert sys.stdin.readline()
