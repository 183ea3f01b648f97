#!/usr/bin/env python3
"""Embeddings over HTTP: of a real encoder, where it is in the models folder."""

import base64
import json
import os
import re
import struct
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cli_tools import STORIES
from serve_tools import Daemon

MODELS = Path(os.environ.get("CHOIR_MODELS") or Path.home() / ".cache/choir/models")
MINILM = MODELS / "all-minilm-l6-v2.gguf"
NAME = "all-minilm-l6-v2"
SIZE = 384
TEXTS = ["The weather is lovely today.", "It's so sunny outside!", "cat"]


@unittest.skipUnless(MINILM.exists(), "tools/convert_minilm.py makes all-minilm-l6-v2.gguf")
class Embeddings(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon("--model", STORIES, model=MINILM))

    def setUp(self):
        self.unload()

    def tearDown(self):
        self.assertEqual(self.daemon.get("/health")[0], 200)

    def unload(self):
        for model in (NAME, "stories260K"):
            self.assertEqual(self.daemon.admin("POST", f"/choir/v1/models/{model}/unload")[0], 200)
            self.assertEqual(self.daemon.get(f"/v1/models/{model}")[1]["status"]["value"], "unloaded")

    def test_are_what_a_daemon_of_encoders_shows_how_to_ask_for(self):
        with Daemon(model=MINILM) as daemon:
            shown = [daemon.process.stdout.readline() for _ in range(2)][-1]
            self.assertIn("/v1/embeddings -d '{\"model\": \"" + NAME + "\", \"input\"", shown)
        with Daemon("--model", STORIES, model=MINILM) as daemon:
            shown = [daemon.process.stdout.readline() for _ in range(2)][-1]
            self.assertIn("/v1/chat/completions -d '{\"model\": \"stories260K\", \"messages\"", shown)

    def ask(self, given, **more):
        status, headers, text = self.daemon.request("POST", "/v1/embeddings", {"model": NAME, "input": given} | more)
        return status, headers, json.loads(text)

    def vectors(self, given, **more):
        status, _, reply = self.ask(given, **more)
        self.assertEqual(status, 200, reply)
        self.assertEqual([row["index"] for row in reply["data"]], list(range(len(reply["data"]))))
        return [row["embedding"] for row in reply["data"]]

    def tokens(self, text):
        return self.daemon.post("/tokenize", {"model": NAME, "content": text, "add_special": True})[1]["tokens"]

    def loads(self):
        text = self.daemon.request("GET", "/metrics")[2]
        found = re.search(rf'choir_load_seconds_count{{model_name="{NAME}"}} (\d+)', text)
        return int(found[1]) if found else 0

    def test_clients_of_a_model_that_is_not_in_memory_share_its_load(self):
        before = self.loads()
        with ThreadPoolExecutor(8) as clients:
            several = list(clients.map(lambda _: self.vectors(TEXTS), range(8)))
        self.assertEqual(self.loads(), before + 1)
        for vectors in several:
            self.assertEqual(vectors, several[0])
        self.assertEqual([len(vector) for vector in several[0]], [SIZE] * 3)
        for vector in several[0]:
            self.assertAlmostEqual(sum(x * x for x in vector), 1, places=5)

    def test_lists_of_tokens_are_embedded_as_their_texts_are(self):
        lists = [self.tokens(text) for text in TEXTS]
        self.unload()
        of_tokens = self.vectors(lists)
        self.assertEqual(of_tokens, self.vectors(TEXTS))
        self.assertEqual(self.vectors(lists[0]), of_tokens[:1])

    def test_usage_counts_the_tokens_of_all_texts(self):
        count = sum(len(self.tokens(text)) for text in TEXTS)
        self.assertEqual(self.ask(TEXTS)[2]["usage"], {"prompt_tokens": count, "total_tokens": count})
        self.assertEqual(self.ask([[101, 102], [101]])[2]["usage"]["prompt_tokens"], 3)

    def test_base64_has_the_same_numbers(self):
        [plain] = self.vectors("cat")
        [packed] = self.vectors("cat", encoding_format="base64", dimensions=SIZE)
        self.assertEqual(list(struct.unpack(f"<{SIZE}f", base64.b64decode(packed))),
                         [struct.unpack("<f", struct.pack("<f", x))[0] for x in plain])

    def test_ignored_fields_are_named(self):
        self.assertIsNone(self.ask("cat", user="me")[1]["x-choir-ignored"])
        self.assertEqual(self.ask("cat", habit=1, other_habit="b")[1]["x-choir-ignored"], "habit, other_habit")

    def test_what_is_wrong_is_said_before_and_after_the_load(self):
        rows = [
            ({"input": "cat", "dimensions": 3}, "dimensions", "have 384"),
            ({"input": ["cat", "word " * 600]}, "input.1", "embeds at most 512 tokens"),
            ({"input": [[101] * 600]}, "input.0", "embeds at most 512 tokens"),
            ({"input": [101, 999999]}, "input.1", "'input.1': token 999999 is not in the vocabulary"),
            ({"input": "word " * 600}, "input", "embeds at most 512 tokens"),
            ({"input": [[101], [999999]]}, "input.1.0", "token 999999 is not in the vocabulary"),
            ({"input": ["cat", ""]}, "input.1", "'input.1' is empty"),
            ({"input": ["cat", " "]}, "input.1", "'input.1': text to embed is empty"),
            ({"input": "cat", "model": "stories260K"}, "model", "does not embed"),
            ({"input": []}, "input", "input"),
            ({}, "input", "is missing"),
        ]
        for body, param, message in rows:
            for state in ("cold", "warm"):
                with self.subTest(body=str(body)[:60], state=state):
                    status, reply = self.daemon.post("/v1/embeddings", {"model": NAME} | body)
                    self.assertEqual(status, 400, reply)
                    self.assertEqual(reply["error"]["param"], param)
                    self.assertEqual(reply["error"]["pointer"], "/" + param.replace(".", "/"))
                    self.assertIn(message, reply["error"]["message"])
            self.unload()


if __name__ == "__main__":
    unittest.main()
