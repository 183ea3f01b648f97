#!/usr/bin/env python3
"""llama-server's routes of `choir serve` that are not about generating."""

import time
import unittest

from cli_tools import STORIES
from serve_tools import PROMPT, TIMEOUT, Daemon, post_bytes, read_reply

MESSAGES = [{"role": "user", "content": "Hello"}]


class Texts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon())

    def tokens(self, content, **options):
        status, reply = self.daemon.post("/tokenize", {"content": content} | options)
        self.assertEqual(status, 200, reply)
        return reply["tokens"]

    def test_tokenize_has_llama_servers_options(self):
        self.daemon.admin("POST", "/models/unload", {"model": "stories260K"})  # it comes back for this
        bare = self.tokens("Once</s>")
        self.assertEqual(self.tokens("Once</s>", add_special=True), [1] + bare)
        self.assertEqual(bare[-1], 2)
        self.assertNotIn(2, self.tokens("Once</s>", parse_special=False))
        pieces = self.tokens("Once \u5abd", with_pieces=True, add_special=True)
        self.assertEqual(pieces[0], {"id": 1, "piece": "<s>"})
        self.assertEqual(bytes(piece["piece"][0] for piece in pieces[-3:]).decode(), "\u5abd")
        status, reply = self.daemon.post("/detokenize", {"tokens": [1] + bare})
        self.assertEqual((status, reply["content"]), (200, "<s> Once</s>"))

    def test_templates_are_applied(self):
        status, reply = self.daemon.post("/apply-template", {"messages": MESSAGES})
        self.assertEqual((status, reply), (200, {"prompt": "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"}))
        status, reply = self.daemon.post("/apply-template", {"messages": MESSAGES, "add_generation_prompt": False})
        self.assertEqual((status, reply), (200, {"prompt": "<|im_start|>user\nHello<|im_end|>\n"}))

    def test_prompts_are_counted_and_not_computed(self):
        status, reply = self.daemon.post("/v1/chat/completions/input_tokens", {"messages": MESSAGES})
        self.assertEqual(status, 200, reply)
        chat = self.daemon.post("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 1})[1]
        self.assertEqual(reply["input_tokens"], chat["usage"]["prompt_tokens"])
        status, reply = self.daemon.post("/chat/completions/input_tokens",
                                         {"messages": [{"role": "user", "content": "a b " * 4000}]})
        self.assertEqual(status, 200, reply)
        self.assertGreater(reply["input_tokens"], 8000)

    def test_wrong_bodies_have_their_answer(self):
        for path, body, status, param in (
                ("/tokenize", {}, 400, "content"), ("/tokenize", {"content": "a", "add_special": 1}, 400, "add_special"),
                ("/tokenize", {"content": "a", "model": "none"}, 404, "model"), ("/tokenize", [], 400, None),
                ("/detokenize", {"tokens": ["a"]}, 400, "tokens.0"), ("/detokenize", {"tokens": [5, 512]}, 400, "tokens.1"),
                ("/apply-template", {"messages": []}, 400, "messages"),
                ("/apply-template", {"messages": [{"role": "user", "content": ""}]}, 400, "messages.0.content"),
                ("/apply-template", {"messages": MESSAGES, "tools": [{"type": "function"}]}, 400, None),
                ("/apply-template", {"messages": MESSAGES, "tools": {}}, 400, "tools"),
                ("/apply-template", {"messages": MESSAGES, "continue_final_message": True}, 400, "continue_final_message"),
                ("/chat/completions", {"messages": MESSAGES, "continue_final_message": True}, 400, "continue_final_message"),
                ("/chat/completions", {"messages": MESSAGES, "add_generation_prompt": False}, 400, "add_generation_prompt"),
                ("/chat/completions/input_tokens", {"messages": MESSAGES, "tools": [{}]}, 400, "tools")):
            got, reply = self.daemon.post(path, body)
            self.assertEqual((got, reply["error"]["param"]), (status, param), (path, body, reply))
            self.assertEqual(reply["error"].get("pointer"), "/" + param.replace(".", "/") if param else None, reply)


class Models(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon("--sequences", 2, "--context-tokens", 256))

    def row(self):
        rows = self.daemon.get("/models")[1]["data"]
        self.assertEqual([row["id"] for row in rows], ["stories260K"])
        return rows[0]

    def act(self, action, model="stories260K"):
        return self.daemon.admin("POST", f"/models/{action}", {"model": model})

    def wait_for(self, value):
        end = time.monotonic() + TIMEOUT
        while self.row()["status"]["value"] != value:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def test_are_loaded_and_unloaded(self):
        self.daemon.complete()
        self.assertEqual(self.act("unload"), (200, {"success": True}))
        self.assertEqual(self.row()["status"], {"value": "unloaded"})
        self.assertEqual(self.act("unload")[0], 400)
        self.assertEqual(self.act("load"), (200, {"success": True}))
        self.wait_for("loaded")
        self.assertEqual(self.act("load")[0], 400)
        self.assertEqual(self.act("load", "none")[0], 404)
        self.assertEqual(self.act("load", "")[0], 400)
        self.assertEqual(self.daemon.post("/models/load", {"model": "stories260K"})[0], 403)

    def test_have_properties(self):
        self.daemon.complete()
        status, props = self.daemon.get("/props?model=stories260K")
        self.assertEqual(status, 200, props)
        self.assertEqual((props["total_slots"], props["default_generation_settings"]["n_ctx"]), (2, 256))
        self.assertEqual((props["bos_token"], props["eos_token"], props["model_path"]), ("<s>", "</s>", STORIES))
        self.assertEqual(self.daemon.get("/props")[1], props)
        self.assertEqual(self.daemon.get("/props?model=none")[0], 404)
        self.assertEqual(self.daemon.post("/props", {})[0], 405)
        self.assertEqual(self.daemon.get("/v1/health"), (200, {"status": "ok"}))

    def test_have_slots_without_text(self):
        self.daemon.complete()
        self.daemon.admin("POST", "/choir/v1/models/stories260K/suspend")
        with self.daemon.connect() as connection:
            connection.sendall(post_bytes("/v1/completions", PROMPT | {"prompt": "A secret"}))
            end = time.monotonic() + TIMEOUT
            while not self.daemon.get("/choir/v1/requests")[1]["requests"]:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)
            status, slots = self.daemon.get("/slots")
            self.daemon.admin("POST", "/choir/v1/models/stories260K/resume")
            self.assertEqual(read_reply(connection)[0], 200)
        self.assertEqual((status, [(slot["id"], slot["n_ctx"]) for slot in slots]), (200, [(0, 256), (1, 256)]))
        self.assertNotIn("secret", str(slots))
        self.assertEqual(self.daemon.get("/slots?fail_on_no_slot=1")[0], 200)


if __name__ == "__main__":
    unittest.main()
