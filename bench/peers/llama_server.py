"""llama-server as a peer: started on a free port of loopback, asked through its HTTP API, ended by its process id."""
import functools
import http.client
import json
import os
import socket
import subprocess
import time

from at_once import at_once
from ending import end


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

    def post(self, name, text, tokens, timeout=900, cache_prompt=False):
        """Tokens written behind `text`, which is taken as it stands."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        body = {"model": name, "prompt": text, "n_predict": tokens, "ignore_eos": True,
                "cache_prompt": cache_prompt, "temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05}
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

    def load(self, requests_each, texts, tokens):
        """Tokens a second of all requests at once, each model with the texts in turn."""
        jobs = [functools.partial(self.post, name, texts[(i * len(self.names) + m) % len(texts)], tokens)
                for i in range(requests_each) for m, name in enumerate(self.names)]
        counts, seconds = at_once(jobs)
        return sum(counts) / seconds

    def one_by_one(self, texts, tokens):
        """Tokens a second of one request after the other; the server keeps what prompts have in common."""
        began = time.monotonic()
        count = sum(self.post(self.names[0], text, tokens, cache_prompt=True) for text in texts)
        return count / (time.monotonic() - began)

    def stop(self):
        end(self.process, 30)
        self.log.close()
