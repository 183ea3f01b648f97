#!/usr/bin/env python3
"""Several answers to a request of `choir serve`, several prompts in one, and llama.cpp's /completion."""

import json
import time
import unittest

from serve_tools import PROMPT, TIMEOUT, Daemon, post_bytes, read_all

FREE = {"prompt": "Once upon a time", "max_tokens": 12, "temperature": 1, "seed": 7}
CHAT = {"messages": [{"role": "user", "content": "Once upon a time"}], "max_tokens": 12, "temperature": 1, "seed": 7}


class WithDaemon(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon("--context-tokens", 512))

    def whole(self, path, body):
        status, reply = self.daemon.post(path, body)
        self.assertEqual(status, 200, reply)
        return reply

    def chunks(self, path, body):
        """The events of a stream of OpenAI, without its end."""
        events = self.daemon.events(path, body)
        self.assertEqual(events[-1], "[DONE]")
        self.assertNotIn("[DONE]", events[:-1])
        return [json.loads(event) for event in events[:-1]]

    def wait_for_requests(self, count):
        end = time.monotonic() + TIMEOUT
        while len(rows := self.daemon.get("/choir/v1/requests")[1]["requests"]) != count:
            self.assertLess(time.monotonic(), end, rows)
            time.sleep(0.01)
        return rows


class Choices(WithDaemon):
    def test_draw_other_tokens_from_one_seed(self):
        reply = self.whole("/v1/completions", FREE | {"n": 3})
        self.assertEqual([choice["index"] for choice in reply["choices"]], [0, 1, 2])
        texts = [choice["text"] for choice in reply["choices"]]
        self.assertEqual(len(set(texts)), 3, texts)
        self.assertEqual({choice["finish_reason"] for choice in reply["choices"]}, {"length"})
        alone = self.whole("/v1/completions", FREE)
        self.assertEqual(texts[0], alone["choices"][0]["text"])
        self.assertEqual(reply["usage"]["prompt_tokens"], alone["usage"]["prompt_tokens"])
        self.assertEqual(reply["usage"]["completion_tokens"], 36)
        self.assertEqual(texts, [c["text"] for c in self.whole("/v1/completions", FREE | {"n": 3})["choices"]])

    def test_in_a_stream_are_those_without(self):
        whole = self.whole("/v1/completions", FREE | {"n": 2})
        chunks = self.chunks("/v1/completions", FREE | {"n": 2, "stream_options": {"include_usage": True}})
        self.assertEqual(chunks[-1]["choices"], [])
        self.assertEqual(chunks[-1]["usage"]["completion_tokens"], 24)
        texts, ends = ["", ""], []
        for chunk in chunks[:-1]:
            (choice,) = chunk["choices"]
            texts[choice["index"]] += choice["text"]
            if choice["finish_reason"]:
                ends.append((choice["index"], choice["finish_reason"]))
        self.assertEqual(texts, [choice["text"] for choice in whole["choices"]])
        self.assertEqual(sorted(ends), [(0, "length"), (1, "length")])

    def test_of_a_chat_have_each_its_role(self):
        whole = self.whole("/v1/chat/completions", CHAT | {"n": 2})
        texts, roles = ["", ""], []
        for chunk in self.chunks("/v1/chat/completions", CHAT | {"n": 2}):
            (choice,) = chunk["choices"]
            texts[choice["index"]] += choice["delta"].get("content") or ""
            if "role" in choice["delta"]:
                roles.append(choice["index"])
        self.assertEqual(roles, [0, 1])
        self.assertEqual(texts, [choice["message"]["content"] for choice in whole["choices"]])
        self.assertNotEqual(*texts)

    def test_are_more_than_run_at_once(self):
        reply = self.whole("/v1/completions", PROMPT | {"n": 16})
        self.assertEqual([choice["index"] for choice in reply["choices"]], list(range(16)))
        self.assertEqual(len({choice["text"] for choice in reply["choices"]}), 1, "greedy")

    def test_all_end_when_the_client_leaves(self):
        with self.daemon.connect() as connection:
            connection.sendall(post_bytes("/v1/completions", FREE | {"n": 12, "max_tokens": 400, "stream": True,
                                                                     "ignore_eos": True}))
            connection.recv(1)
        self.wait_for_requests(0)

    def test_fail_together_before_the_first_text(self):
        for stream in (False, True):
            self.daemon.admin("POST", "/choir/v1/models/stories260K/suspend")
            with self.daemon.connect() as connection:
                connection.sendall(post_bytes("/v1/completions", FREE | {"n": 2, "stream": stream},
                                              more="Connection: close\r\n"))
                rows = self.wait_for_requests(2)
                self.daemon.admin("DELETE", "/choir/v1/requests/" + rows[1]["id"])
                self.assertIn(b" 503 ", read_all(connection).split(b"\r\n")[0])
            self.wait_for_requests(0)
            self.daemon.admin("POST", "/choir/v1/models/stories260K/resume")

    def test_fail_together_after_the_first_text(self):
        with self.daemon.connect() as connection:
            # Half of them wait until the others have ended.
            connection.sendall(post_bytes("/v1/completions", FREE | {"n": 16, "stream": True, "max_tokens": 480,
                                                                     "ignore_eos": True},
                                          more="Connection: close\r\n"))
            begun = connection.recv(1)
            self.daemon.admin("POST", "/choir/v1/models/stories260K/suspend")
            rows = self.daemon.get("/choir/v1/requests")[1]["requests"]
            self.daemon.admin("DELETE", "/choir/v1/requests/" + rows[-1]["id"])
            reply = (begun + read_all(connection)).decode()
        self.assertIn(" 200 ", reply.split("\r\n")[0])
        self.assertIn('"code":"cancelled"', reply)
        self.assertNotIn("[DONE]", reply)
        self.wait_for_requests(0)
        self.daemon.admin("POST", "/choir/v1/models/stories260K/resume")


class Prompts(WithDaemon):
    TEXTS = ["Once upon a time", "A dog"]

    def test_in_a_list_are_answered_as_alone(self):
        alone = [self.daemon.complete(prompt) for prompt in self.TEXTS]
        tokens = [self.whole("/tokenize", {"content": prompt, "add_special": True})["tokens"] for prompt in self.TEXTS]
        for prompts in (self.TEXTS, tokens):
            reply = self.daemon.complete(prompts)
            self.assertEqual([(c["index"], c["text"]) for c in reply["choices"]],
                             [(i, one["choices"][0]["text"]) for i, one in enumerate(alone)])
            self.assertEqual(reply["usage"]["prompt_tokens"], sum(one["usage"]["prompt_tokens"] for one in alone))

    def test_have_each_their_choices(self):
        reply = self.whole("/v1/completions", FREE | {"prompt": self.TEXTS, "n": 2})
        texts = [choice["text"] for choice in reply["choices"]]
        self.assertEqual(len(set(texts)), 4, texts)
        for i, prompt in enumerate(self.TEXTS):
            alone = self.whole("/v1/completions", FREE | {"prompt": prompt, "n": 2})
            self.assertEqual(texts[2 * i:2 * i + 2], [choice["text"] for choice in alone["choices"]])

    def test_come_in_one_stream(self):
        texts = ["", ""]
        for chunk in self.chunks("/v1/completions", PROMPT | {"prompt": self.TEXTS}):
            (choice,) = chunk["choices"]
            texts[choice["index"]] += choice["text"]
        self.assertEqual(texts, [self.daemon.complete(prompt)["choices"][0]["text"] for prompt in self.TEXTS])

    def test_are_all_accepted_or_none(self):
        self.daemon.complete()  # of a model that is not in memory, prompts are checked after its load
        rows = [({"prompt": ["a", "word " * 2000]}, "prompt.1", "n_prompt_tokens"),
                ({"prompt": ["a", [999999999]]}, "prompt.1.0", "vocabulary"),
                ({"prompt": ["a"] * 129}, "prompt", "at most 128"),
                ({"prompt": ["a"] * 9, "n": 16}, "prompt", "at most 128"),
                ({"prompt": "a", "best_of": 2}, "best_of", "'n'")]
        for body, param, says in rows:
            with self.subTest(param=param, says=says):
                status, reply = self.daemon.post("/v1/completions", body)
                self.assertEqual((status, reply["error"]["param"]), (400, param))
                self.assertIn(says, json.dumps(reply))
                self.assertEqual(self.wait_for_requests(0), [])


class Completion(WithDaemon):
    """llama.cpp's route."""

    BODY = {"prompt": "Once upon a time", "n_predict": 12, "temperature": 0}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.text = cls.daemon.complete()["choices"][0]["text"]

    def test_is_whole(self):
        for path in ("/completion", "/completions"):
            reply = self.whole(path, self.BODY)
            self.assertEqual(reply["content"], self.text)
            self.assertEqual((reply["index"], reply["stop"], reply["stop_type"]), (0, True, "limit"))
            self.assertEqual((reply["tokens"], reply["tokens_predicted"], reply["model"]), ([], 12, "stories260K"))
            self.assertEqual(reply["prompt"], "<s> " + self.BODY["prompt"])
            self.assertEqual(reply["generation_settings"]["n_predict"], 12)
            self.assertEqual(reply["timings"]["predicted_n"], 12)
            self.assertFalse(reply["truncated"])

    def test_gives_tokens(self):
        reply = self.whole("/completion", self.BODY | {"return_tokens": True, "response_fields": ["tokens"]})
        self.assertEqual(list(reply), ["tokens"])
        text = self.whole("/detokenize", {"tokens": reply["tokens"]})["content"]
        self.assertEqual(text, self.text)

    def test_is_a_stream(self):
        events = [json.loads(event) for event in self.daemon.events("/completion", self.BODY)]
        self.assertEqual([event["stop"] for event in events], [False] * (len(events) - 1) + [True])
        self.assertEqual("".join(event["content"] for event in events), self.text)
        self.assertEqual(sum(len(event["tokens"]) for event in events), 12)
        self.assertEqual((events[-1]["content"], events[-1]["stop_type"]), ("", "limit"))

    def test_names_the_word_that_stopped_it(self):
        word = self.text.split()[2]
        reply = self.whole("/completion", self.BODY | {"stop": ["no such word", word]})
        self.assertEqual((reply["stop_type"], reply["stopping_word"]), ("word", word))
        self.assertEqual(reply["content"], self.text[:self.text.index(word)])
        events = self.daemon.events("/completion", self.BODY | {"stop": word})
        self.assertEqual(json.loads(events[-1])["stopping_word"], word)

    def test_ends_at_the_context(self):
        reply = self.whole("/completion", {"prompt": "Once", "ignore_eos": True, "temperature": 0})
        self.assertEqual((reply["stop_type"], reply["truncated"]), ("limit", True))
        self.assertEqual(reply["generation_settings"]["n_predict"], -1)

    def test_takes_tokens_and_lists(self):
        tokens = self.whole("/tokenize", {"content": self.BODY["prompt"], "add_special": True})["tokens"]
        self.assertEqual(self.whole("/completion", self.BODY | {"prompt": tokens})["content"], self.text)
        reply = self.whole("/completion", self.BODY | {"prompt": [tokens, {"prompt_string": self.BODY["prompt"]}]})
        self.assertEqual([(one["index"], one["content"]) for one in reply], [(0, self.text), (1, self.text)])

    def test_says_the_seed_that_it_drew(self):
        body = self.BODY | {"temperature": 1}
        reply = self.whole("/completion", body)
        again = self.whole("/completion", body | {"seed": reply["generation_settings"]["seed"]})
        self.assertEqual(again["content"], reply["content"])

    def test_refuses_in_its_own_form(self):
        rows = [({"n_predict": 5}, "prompt"), ({"n_keep": 5}, "n_keep"), ({"n_probs": 5}, "n_probs"),
                ({"samplers": ["top_k"]}, "samplers"), ({"id_slot": 0}, "id_slot"),
                ({"prompt": [1, "a"]}, "prompt.1"), ({"prompt": {"prompt_string": "a", "multimodal_data": ["a"]}},
                                                   "prompt.multimodal_data")]
        for more, param in rows:
            body = ({} if param == "prompt" else self.BODY) | more
            for stream in (False, True):
                with self.subTest(more=more, stream=stream):
                    status, reply = self.daemon.post("/completion", body | {"stream": stream})
                    self.assertEqual((status, reply["error"]["code"], reply["error"]["param"]), (400, 400, param))
                    self.assertEqual(reply["error"]["pointer"], "/" + param.replace(".", "/"))
                    self.assertEqual(reply["error"]["type"], "invalid_request_error")
        status, reply = self.daemon.post("/completion", self.BODY | {"prompt": "word " * 2000})
        self.assertEqual((status, reply["error"]["type"]), (400, "exceed_context_size_error"))
        self.assertGreater(reply["error"]["n_prompt_tokens"], reply["error"]["n_ctx"])


if __name__ == "__main__":
    unittest.main()
