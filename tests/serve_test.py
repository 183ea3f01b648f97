#!/usr/bin/env python3
"""`choir serve` over sockets of this machine, on a small model."""

import contextlib
import json
import re
import signal
import socket
import time
import unittest

from cli_tools import RAW, STORIES, choir
from serve_tools import PROMPT, TIMEOUT, Daemon, post_bytes, read_all, read_reply, wait_until


CHAT = {"messages": [{"role": "user", "content": "Once upon a time"}], "max_tokens": 12, "temperature": 0}


class Answers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon("--context-tokens", 512))
        cls.text = cls.daemon.complete()["choices"][0]["text"]

    def test_are_those_of_the_command_line(self):
        run = choir("run", STORIES, *RAW, "--json", "--temperature", 0, "--max-tokens", 12, "Once upon a time")
        self.assertEqual(json.loads(run.stdout)["text"], self.text)

    def test_have_counts_and_timings(self):
        reply = self.daemon.complete()
        self.assertEqual(reply["object"], "text_completion")
        self.assertEqual(reply["choices"][0]["finish_reason"], "length")
        self.assertEqual(reply["usage"]["completion_tokens"], 12)
        self.assertEqual(reply["usage"]["total_tokens"], reply["usage"]["prompt_tokens"] + 12)
        self.assertEqual(reply["timings"]["predicted_n"], 12)

    def test_of_a_chat(self):
        status, reply = self.daemon.post("/v1/chat/completions", CHAT)
        self.assertEqual(status, 200)
        self.assertEqual(reply["choices"][0]["message"]["role"], "assistant")
        self.assertTrue(reply["choices"][0]["message"]["content"])
        self.assertTrue(reply["id"].startswith("chatcmpl-"))

    def test_of_a_chat_without_a_template_are_those_of_chatml(self):
        status, headers, text = self.daemon.request("POST", "/v1/chat/completions", CHAT)
        self.assertEqual((status, headers["x-choir-template"]), (200, "default"))
        prompt = "<|im_start|>user\nOnce upon a time<|im_end|>\n<|im_start|>assistant\n"
        reply = self.daemon.complete(prompt)
        self.assertEqual(json.loads(text)["choices"][0]["message"]["content"], reply["choices"][0]["text"])
        self.assertEqual(json.loads(text)["usage"]["prompt_tokens"], reply["usage"]["prompt_tokens"])

    def test_in_a_stream_are_those_without(self):
        events = self.daemon.events("/v1/completions", PROMPT | {"stream_options": {"include_usage": True}})
        self.assertEqual(events[-1], "[DONE]")
        chunks = [json.loads(event) for event in events[:-1]]
        self.assertEqual("".join(c["choices"][0]["text"] for c in chunks[:-1]), self.text)
        self.assertEqual(chunks[-2]["choices"][0]["finish_reason"], "length")
        self.assertEqual(chunks[-1]["choices"], [])
        self.assertEqual(chunks[-1]["usage"]["completion_tokens"], 12)
        self.assertEqual(chunks[-1]["timings"]["predicted_n"], 12)

    def test_of_a_chat_in_a_stream_begin_with_the_role(self):
        events = self.daemon.events("/v1/chat/completions", CHAT)
        first = json.loads(events[0])
        self.assertEqual(first["object"], "chat.completion.chunk")
        self.assertEqual(first["choices"][0]["delta"], {"role": "assistant", "content": None})
        self.assertEqual(len({json.loads(event)["id"] for event in events[:-1]}), 1)

    def test_end_at_the_context_where_max_tokens_is_left_out(self):
        status, reply = self.daemon.post("/v1/completions", {"prompt": "Once", "ignore_eos": True, "temperature": 0})
        self.assertEqual(status, 200)
        self.assertEqual(reply["choices"][0]["finish_reason"], "length")
        context = self.daemon.get("/v1/models")[1]["data"][0]["meta"]["n_ctx"]
        self.assertEqual(reply["usage"]["total_tokens"], context)

    def test_name_max_tokens_that_were_too_many(self):
        status, headers, text = self.daemon.request("POST", "/v1/completions", PROMPT | {"max_tokens": 1000000, "ignore_eos": True})
        self.assertEqual(status, 200)
        self.assertEqual(int(headers["x-choir-max-tokens"]), json.loads(text)["usage"]["completion_tokens"])

    def ignored_fields(self):
        return int(re.search(r"^choir_ignored_fields_total (\d+)", self.daemon.request("GET", "/metrics")[2], re.M)[1])

    def test_name_fields_that_were_ignored(self):
        _, headers, _ = self.daemon.request("POST", "/v1/completions", PROMPT | {"thinking_level": 3, "user": "me"})
        self.assertEqual(headers["x-choir-ignored"], "thinking_level")
        _, headers, _ = self.daemon.request("POST", "/v1/completions",
                                            PROMPT | {"a\r\nx-b: c": 1, "\u00e4": 1, "d\0": 1, "e": 1})
        self.assertEqual(headers["x-choir-ignored"], "a%0D%0Ax-b:%20c, d%00, e, %C3%A4")
        messages = [{"role": "system", "content": "Once", "name": "me", "refusal": None, "mood": 1},
                    {"role": "user", "content": [{"type": "text", "text": "upon", "cache_control": {}}], "mood": 2}]
        body = {"messages": messages, "max_tokens": 2, "stream_options": {"include_usage": True, "every": 1}, "top": 1}
        before = self.ignored_fields()
        _, headers, _ = self.daemon.request("POST", "/v1/chat/completions", body)
        self.assertEqual(headers["x-choir-ignored"],
                         "top, messages.0.mood, messages.1.content.0.cache_control, stream_options.every")
        self.assertEqual(self.ignored_fields() - before, 4)
        status, reply = self.daemon.post("/v1/chat/completions", {"messages": messages, "strict_fields": True})
        self.assertEqual((status, reply["error"]["pointer"]), (400, "/messages/0/mood"))

    def test_of_many_clients_at_once_are_each_its_own(self):
        connections = [self.daemon.connect() for _ in range(40)]
        for connection in connections:
            connection.sendall(post_bytes("/v1/completions", PROMPT))
        for connection in connections:
            status, body, _ = read_reply(connection)
            self.assertEqual((status, json.loads(body)["choices"][0]["text"]), (200, self.text))
            connection.close()

    def test_come_over_one_connection_one_after_another(self):
        with self.daemon.connect() as connection:
            connection.sendall(post_bytes("/v1/completions", PROMPT) + b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            status, body, rest = read_reply(connection)
            self.assertEqual((status, json.loads(body)["choices"][0]["text"]), (200, self.text))
            if not rest:
                status, body, rest = read_reply(connection)
                self.assertEqual((status, json.loads(body)), (200, {"status": "ok"}))

    def test_take_bodies_in_chunks(self):
        data = json.dumps(PROMPT).encode()
        head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        pieces = b"".join(b"%x\r\n%s\r\n" % (len(data[i:i + 7]), data[i:i + 7]) for i in range(0, len(data), 7))
        reply = self.daemon.raw(head + pieces + b"0\r\n\r\n")
        self.assertIn(b"200 OK", reply)
        self.assertIn(json.dumps(self.text).encode(), reply)

    def test_in_many_chunked_bodies_at_once_have_room(self):
        data = json.dumps(PROMPT).encode()
        head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.daemon.admin("POST", "/choir/v1/models/stories260K/suspend")
        connections = [self.daemon.connect() for _ in range(40)]
        for connection in connections:
            connection.sendall(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))
        while len(self.daemon.get("/choir/v1/requests")[1]["requests"]) < len(connections):
            time.sleep(0.01)
        self.daemon.admin("POST", "/choir/v1/models/stories260K/resume")
        for connection in connections:
            self.assertEqual(read_reply(connection)[0], 200)
            connection.close()

    def test_take_bodies_byte_by_byte(self):
        with self.daemon.connect() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in post_bytes("/v1/completions", PROMPT):
                connection.sendall(bytes([byte]))
            self.assertEqual(read_reply(connection)[0], 200)

    def test_wait_for_expect_continue(self):
        data = json.dumps(PROMPT).encode()
        with self.daemon.connect() as connection:
            connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                               b"Content-Length: %d\r\n\r\n" % len(data))
            self.assertEqual(connection.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.sendall(data)
            self.assertEqual(read_reply(connection)[0], 200)

    def test_of_http_1_0_end_the_connection(self):
        reply = self.daemon.raw(post_bytes("/v1/completions", PROMPT | {"stream": True}, version="1.0"))
        self.assertTrue(reply.endswith(b"data: [DONE]\n\n"), reply[-100:])
        self.assertNotIn(b"chunked", reply)

    def test_of_head_have_no_body(self):
        reply = self.daemon.raw(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.assertIn(b"content-length: 15\r\n", reply)
        self.assertTrue(reply.endswith(b"\r\n\r\n"))

    def test_list_models(self):
        status, models = self.daemon.get("/v1/models")
        self.assertEqual((status, models["data"][0]["id"]), (200, "stories260K"))
        self.assertEqual(self.daemon.get("/v1/models/stories260K")[1]["status"]["value"], "loaded")
        self.assertEqual(self.daemon.get("/v1/models/nothing")[0], 404)

    def test_are_counted(self):
        self.daemon.request("GET", "/nothing")
        status, headers, text = self.daemon.request("GET", "/metrics")
        self.assertEqual((status, headers["content-type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        for line in ('choir_model_state{model_name="stories260K",state="loaded"} 1',
                     'choir_request_total{code="404"} ',
                     'choir_requests_total{finished_reason="length",model_name="stories260K"} ',
                     'choir_time_to_first_token_seconds_count{model_name="stories260K"} ',
                     'choir_compute_seconds_total{model_name="stories260K",priority="normal",tenant="local"} '):
            self.assertIn("\n" + line, text)

    def test_tokenize_and_back(self):
        status, reply = self.daemon.post("/tokenize", {"content": "Once upon"})
        self.assertEqual(status, 200)
        status, back = self.daemon.post("/detokenize", {"tokens": reply["tokens"]})
        self.assertEqual((status, back["content"].strip()), (200, "Once upon"))


class Wrong(unittest.TestCase):
    """Each wrong request has its answer, and a good one after it has its own."""

    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon())
        cls.text = cls.daemon.complete()["choices"][0]["text"]

    def tearDown(self):
        self.assertEqual(self.daemon.complete()["choices"][0]["text"], self.text)

    def test_bodies(self):
        rows = [
            ({"prompt": "a", "temperature": "hot"}, 400, "temperature"),
            ({"prompt": ""}, 400, "prompt"),
            ({"max_tokens": 5}, 400, "prompt"),
            ({"prompt": ["a", 1]}, 400, "prompt.1"),
            ({"prompt": [1, 2, "a"]}, 400, "prompt.2"),
            ({"prompt": [1, -1]}, 400, "prompt.1"),
            ({"prompt": ["a", ""]}, 400, "prompt.1"),
            ({"prompt": "a", "n": 17}, 400, "n"),
            ({"prompt": "a", "suffix": "b"}, 400, "suffix"),
            ({"prompt": "a", "model": "stories260L"}, 404, "model"),
            ({"prompt": "a", "model": "../stories260K"}, 404, "model"),
            ({"prompt": [0, 999999999]}, 400, "prompt.1"),
            ({"prompt": [[0, 1, 999999999]]}, 400, "prompt.0.2"),
            ({"prompt": "word " * 5000}, 400, "prompt"),
            ({"prompt": "a", "stop": ["x"] * 17}, 400, "stop"),
            ([], 400, None),
            (b"", 400, None),
            (b"{", 400, None),
            (b"{\"prompt\": \"\xff\"}", 400, None),
            (b"[" * 100000, 400, None),
        ]
        for body, expected, param in rows:
            with self.subTest(body=str(body)[:60]):
                status, reply = self.daemon.post("/v1/completions", body)
                self.assertEqual(status, expected, reply)
                self.assertEqual(reply["error"]["param"], param)
                self.assertEqual(reply["error"].get("pointer"), "/" + param.replace(".", "/") if param else None)
                self.assertTrue(reply["error"]["message"])
                self.assertTrue(reply["error"]["type"])

    def test_the_nearest_model_is_named(self):
        reply = self.daemon.post("/v1/completions", {"prompt": "a", "model": "stories260L"})[1]
        self.assertIn("did you mean 'stories260K'?", reply["error"]["message"])
        self.assertEqual(reply["error"]["code"], "model_not_found")

    def test_prompts_that_are_too_long(self):
        for stream in (False, True):
            status, reply = self.daemon.post("/v1/completions", {"prompt": "word " * 20000, "stream": stream})
            self.assertEqual(status, 400)
            self.assertEqual(reply["error"]["type"], "exceed_context_size_error")
            self.assertGreater(reply["error"]["n_prompt_tokens"], reply["error"]["n_ctx"])

    def test_embeddings_of_a_model_that_writes(self):
        status, reply = self.daemon.post("/v1/embeddings", {"input": "a"})
        self.assertEqual(status, 400)
        self.assertIn("does not embed", reply["error"]["message"])

    def test_heads(self):
        good = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
        post = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
        rows = [
            (b"GET /health HTTP/1.1\nHost: localhost\n\n", 400),
            (b"GET /health HTTP/1.1\r\n\r\n", 400),
            (good + b"Host: b\r\n\r\n", 400),
            (good + b"X: a\r\n b\r\n\r\n", 400),
            (good + b"X: a\0b\r\n\r\n", 400),
            (good + b"A: b\r\n" * 64 + b"\r\n", 431),
            (good + b"A: " + b"b" * 40000 + b"\r\n\r\n", 431),
            (b"GET /" + b"a" * 10000 + b" HTTP/1.1\r\n", 414),
            (b"GET /a%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
            (b"GET /v1/../health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
            (b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
            (b"DELETE /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
            (b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
            (b"GET /health HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
            (post + b"Origin: https://evil.example\r\nContent-Length: 2\r\n\r\n{}", 403),
            (post + b"Content-Length: 9000000\r\n\r\n", 413),
            (post + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
            (post + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            (post + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
            (post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
            (post + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 40000, 400),
            (post + b"Expect: cake\r\nContent-Length: 2\r\n\r\n{}", 417),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
            (b"hello\r\n\r\n", 400),
        ]
        for data, expected in rows:
            with self.subTest(data=data[:80]):
                reply = self.daemon.raw(data)
                self.assertEqual(reply.split()[1:2], [str(expected).encode()], reply[:200])
                self.assertIn(b"connection: close", reply)
                self.assertEqual(self.daemon.get("/health"), (200, {"status": "ok"}))

    def test_what_is_too_much_while_it_comes(self):
        chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
        reply = self.daemon.raw(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                                b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 140)
        self.assertTrue(reply == b"" or b" 413 " in reply[:20], reply[:100])


class Ends(unittest.TestCase):
    LONG = {"prompt": "Once upon a time", "max_tokens": 100000, "ignore_eos": True, "stream": True}

    def test_of_a_client_is_the_end_of_its_request(self):
        with Daemon("--context-tokens", 512) as daemon:
            # Suspended readers keep the request in the node: the socket is not read.
            with daemon.connect() as connection:
                connection.sendall(post_bytes("/v1/completions", self.LONG))
                connection.recv(1)
            wait_until(lambda: daemon.get("/choir/v1/requests")[1]["requests"] == [])
            self.assertEqual(daemon.get("/health")[0], 200)

    def test_of_the_daemon_lets_work_in_flight_finish(self):
        with Daemon() as daemon:
            daemon.complete()
            with daemon.connect() as busy, daemon.connect() as idle:
                busy.sendall(post_bytes("/v1/completions", PROMPT | {"max_tokens": 400, "stream": True}))
                head = busy.recv(64)
                daemon.process.send_signal(signal.SIGTERM)
                rest = read_all(busy)
                self.assertEqual(read_all(idle), b"")
            self.assertIn(b" 200 ", head)
            self.assertIn(b"[DONE]", rest)
            self.assertEqual(daemon.process.wait(TIMEOUT), 0)

    def test_of_the_daemon_says_so_to_what_is_not_finished_in_time(self):
        """An answer that has begun ends with an error in its own form and a whole last chunk, others have a status."""
        chat = {key: value for key, value in self.LONG.items() if key != "prompt"} | {
            "messages": [{"role": "user", "content": "Once"}]}
        parallel = {"models": ["stories260K"], "prompts": ["Once"], "max_tokens": 60000, "stream": True}
        began = [("/v1/completions", self.LONG), ("/v1/chat/completions", chat), ("/choir/v1/parallel", parallel)]
        asked = began + [("/v1/completions", self.LONG | {"stream": False})]
        # As long as this no answer is done in the time of the test.
        with Daemon("--drain-seconds", 1, "--context-tokens", 65536) as daemon:
            daemon.complete()
            with contextlib.ExitStack() as stack:
                connections = [stack.enter_context(daemon.connect()) for _ in asked]
                for connection, (path, body) in zip(connections, asked):
                    connection.sendall(post_bytes(path, body))
                for connection in connections[:len(began)]:
                    self.assertIn(b" 200 ", connection.recv(64))
                wait_until(lambda: len(daemon.get("/choir/v1/requests")[1]["requests"]) == len(asked))
                daemon.process.send_signal(signal.SIGTERM)
                wait_until(lambda: daemon.get("/health") == (503, {"status": "draining"}))
                self.assertEqual(daemon.get("/livez"), (200, {"status": "draining"}))
                self.assertEqual(daemon.get("/v1/models")[0], 503)
                says = b"the daemon is ending and cut this short after 1 s"
                for connection, (path, _) in zip(connections, began):
                    last = read_all(connection)[-400:]
                    self.assertTrue(last.endswith(b"\r\n0\r\n\r\n"), last)
                    self.assertIn(b'"message":"' + says, last, path)
                    self.assertNotIn(b"[DONE]", last)
                whole = read_all(connections[-1])
                self.assertIn(b" 503 ", whole[:20])
                self.assertIn(says, whole)
            self.assertEqual(daemon.process.wait(TIMEOUT), 0)

    def test_of_the_daemon_is_quick_when_nothing_runs(self):
        with Daemon() as daemon:
            connections = [daemon.connect() for _ in range(20)]
            self.assertEqual(daemon.get("/health")[0], 200)
            daemon.process.send_signal(signal.SIGINT)
            self.assertEqual(daemon.process.wait(TIMEOUT), 0)
            for connection in connections:
                connection.close()

    def test_of_the_daemon_by_a_command(self):
        with Daemon() as daemon:
            self.assertEqual(choir("stop", "--unix-socket", daemon.socket).returncode, 0)
            self.assertEqual(daemon.process.wait(TIMEOUT), 0)

    def test_of_a_daemon_that_is_asked_twice_is_at_once(self):
        with Daemon("--drain-seconds", 3000) as daemon:
            daemon.complete()
            with daemon.connect() as connection:
                connection.sendall(post_bytes("/v1/completions", self.LONG))
                connection.recv(64)
                daemon.process.send_signal(signal.SIGTERM)
                time.sleep(0.05)  # two signals at once may be one
                daemon.process.send_signal(signal.SIGTERM)
                self.assertEqual(daemon.process.wait(TIMEOUT), 0)


if __name__ == "__main__":
    unittest.main()
