#!/usr/bin/env python3
"""Bytes that no good client sends, to `choir serve`: each has its answer, and a good request after it has its own."""

import json
import unittest

from serve_tools import Daemon, post_bytes, read_all

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"
GOOD_BODY = b'{"prompt": "a", "max_tokens": 1}'


def get(path):
    return b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def host(name):
    return b"GET /health HTTP/1.1\r\nHost: " + name + b"\r\n\r\n"


def body_of(kind, body=GOOD_BODY):
    return POST + kind + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


# (what, bytes, status)
HEADS = [
    ("a list of equal lengths", POST + b"Content-Length: 2, 2\r\n\r\n{}", 400),
    ("a list of other lengths", POST + b"Content-Length: 2, 3\r\n\r\n{}", 400),
    ("equal lengths twice", POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
    ("a length with a sign", POST + b"Content-Length: +2\r\n\r\n{}", 400),
    ("a length below zero", POST + b"Content-Length: -2\r\n\r\n{}", 400),
    ("a length in hex", POST + b"Content-Length: 0x2\r\n\r\n{}", 400),
    ("a length of nothing", POST + b"Content-Length:\r\n\r\n{}", 400),
    ("a length with a blank inside", POST + b"Content-Length: 2 2\r\n\r\n{}", 400),
    ("a length above 64 bits", POST + b"Content-Length: 18446744073709551618\r\n\r\n{}", 400),
    ("the greatest length", POST + b"Content-Length: 999999999999999999\r\n\r\n", 413),
    ("a length before the encoding", POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400),
    ("chunked twice", POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501),
    ("chunked in two headers", CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("identity as an encoding", POST + b"Transfer-Encoding: identity\r\n\r\n", 501),
    ("chunked with a parameter", POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n", 501),
    ("chunked with a control character", POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n", 400),
    ("a blank before a colon", POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    ("an encoding in HTTP/1.0", b"POST /v1/completions HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("a chunk below zero", CHUNKED + b"\r\n-1\r\n", 400),
    ("a chunk in 0x", CHUNKED + b"\r\n0x5\r\n\r\n", 400),
    ("a chunk whose extension has an LF",
     CHUNKED + b"Connection: close\r\n\r\n%x;a=\"b\nc\"\r\n%b\r\n0\r\n\r\n" % (len(GOOD_BODY), GOOD_BODY), 400),
    ("a chunk with letters behind it", CHUNKED + b"\r\n2zz\r\n{}\r\n0\r\n\r\n", 400),
    ("a length in a trailer", CHUNKED + b"\r\n2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n", 400),
    ("a trailer without a colon", CHUNKED + b"\r\n2\r\n{}\r\n0\r\nA b\r\n\r\n", 400),
    ("a chunk above 64 bits", CHUNKED + b"\r\n10000000000000002\r\n", 400),
    ("a chunk that is longer than it says", CHUNKED + b"\r\n2\r\n{}}}\r\n0\r\n\r\n", 400),
    ("a chunk's line that ends in LF", CHUNKED + b"\r\n2\n{}\r\n0\r\n\r\n", 400),
    ("a header that is folded by a tab", HEALTH + b"X: a\r\n\tb\r\n\r\n", 400),
    ("a bare CR", HEALTH + b"X: a\rY: b\r\n\r\n", 400),
    ("a bare LF in the middle", HEALTH + b"X: a\nY: b\r\n\r\n", 400),
    ("a header without a colon", HEALTH + b"X\r\n\r\n", 400),
    ("a header without a name", HEALTH + b": a\r\n\r\n", 400),
    ("a NUL in a name", HEALTH + b"X\0: a\r\n\r\n", 400),
    ("a non-ASCII name", HEALTH + b"\xc3\xa4: a\r\n\r\n", 400),
    ("65 headers", HEALTH + b"A: b\r\n" * 64 + b"\r\n", 431),
    ("headers above 32 KiB", HEALTH + (b"A: " + b"b" * 4000 + b"\r\n") * 9 + b"\r\n", 431),
    ("headers above 32 KiB without an end", HEALTH + b"A: " + b"b" * 33000, 431),
    ("a target above 8 KiB", get(b"/" + b"a" * 9000), 414),
    ("a method without an end", b"A" * 9000, 414),
    ("a method of 17 letters", b"ABCDEFGHIJKLMNOPQ /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("a method that is no word", b"G@T /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("a method in small letters", b"get /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    ("TRACE", b"TRACE /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    ("CONNECT", b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("a target that is an asterisk", b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("a blank in a target", get(b"/health x"), 400),
    ("HTTP/2 without being asked", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("HTTP/0.9", b"GET /health\r\n\r\n", 400),
    ("HTTP/1.10", b"GET /health HTTP/1.10\r\nHost: localhost\r\n\r\n", 505),
    ("%00", get(b"/v1/models/stories260K%00.gguf"), 400),
    ("%0a", get(b"/v1/models/a%0ab"), 400),
    ("%7f", get(b"/v1/models/a%7f"), 400),
    ("half an escape", get(b"/v1/models/%4"), 400),
    ("an escape that is none", get(b"/v1/models/%g1"), 400),
    ("..", get(b"/v1/models/../models"), 400),
    (".. in escapes", get(b"/v1/models/%2e%2E"), 400),
    (".. after an escaped slash", get(b"/v1/models/a%2f..%2fb"), 400),
    (".. at the end", get(b"/v1/.."), 400),
    (".", get(b"/./health"), 400),
    (".. escaped twice", get(b"/v1/models/%252e%252e"), 404),
    (".. with backslashes", get(b"/v1/models/..\\..\\a"), 404),
    ("an absolute path as a model", get(b"/v1/models/%2fetc%2fpasswd"), 404),
    ("bytes that are no UTF-8", get(b"/v1/models/%ff%fe"), 404),
    ("a byte that is not escaped", get(b"/v1/models/\xff"), 400),
    ("two slashes", get(b"//health"), 404),
    ("a foreign host", host(b"evil.example"), 421),
    ("a foreign host with our port", host(b"evil.example:8411"), 421),
    ("a host that begins like ours", host(b"127.0.0.1.evil.example"), 421),
    ("a host that ends like ours", host(b"evil-localhost"), 421),
    ("a host with a user", host(b"localhost@evil.example"), 421),
    ("another address of this machine", host(b"10.1.2.3"), 421),
    ("a null origin", POST + b"Origin: null\r\nContent-Length: 2\r\n\r\n{}", 403),
    ("an origin that begins like ours", POST + b"Origin: http://localhost.evil.example\r\nContent-Length: 2\r\n\r\n{}", 403),
    ("a packed body", body_of(b"Content-Type: application/json\r\nContent-Encoding: gzip"), 415),
    ("a TLS hello", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(range(128, 160)) + b"\r\n\r\n", 400),
    ("a command of Redis", b"*1\r\n$4\r\nPING\r\n\r\n", 400),
]

# (what, body, a part of the message); all of them 400
BODIES = [
    ("a key twice", b'{"prompt": "a", "prompt": "b"}', "'prompt' is there twice"),
    ("a key twice, once escaped", b'{"prompt": "a", "\\u0070rompt": "b"}', "is there twice"),
    ("a key twice, further in", b'{"prompt": "a", "x": [{"y": {"z": 1, "z": 2}}]}', "'z' is there twice"),
    ("lists in lists", b'{"prompt": "a", "x": ' + b"[" * 64 + b"]" * 64 + b"}", "deeper than 64"),
    ("objects in objects", b'{"prompt": "a", "x": ' + b'{"a":' * 64 + b"1" + b"}" * 64 + b"}", "deeper than 64"),
    ("a megabyte of brackets", b"[" * (1 << 20), "deeper than 64"),
    ("200,001 values", b"[" + b"0," * 200_000 + b"0]", "more than 200000 values"),
    ("a long number", b'{"prompt": "a", "seed": ' + b"1" * 65 + b"}", "65 characters"),
    ("a long fraction", b'{"prompt": "a", "x": 0.' + b"1" * 100_000 + b"}", "100002 characters"),
    ("a number above all", b'{"prompt": "a", "temperature": 1e999}', "no JSON"),
    ("NaN", b'{"prompt": "a", "temperature": NaN}', "no JSON"),
    ("a number in hex", b'{"prompt": "a", "seed": 0x10}', "no JSON"),
    ("a number with a zero in front", b'{"prompt": "a", "seed": 01}', "no JSON"),
    ("a byte that is no UTF-8", b'{"prompt": "a\xff"}', "no JSON"),
    ("an overlong slash", b'{"prompt": "a\xc0\xaf"}', "no JSON"),
    ("half a surrogate as bytes", b'{"prompt": "a\xed\xa0\x80"}', "no JSON"),
    ("half a surrogate as an escape", b'{"prompt": "\\ud800"}', "no JSON"),
    ("half a character", b'{"prompt": "a\xe2\x82"}', "no JSON"),
    ("UTF-16", '{"prompt": "a"}'.encode("utf-16"), "no JSON"),
    ("a NUL", b'{"prompt": "a\0"}', "no JSON"),
    ("a line in a text", b'{"prompt": "a\n"}', "no JSON"),
    ("two bodies", b'{"prompt": "a"} {"prompt": "b"}', "no JSON"),
    ("a comma too many", b'{"prompt": "a",}', "no JSON"),
    ("a comment", b'{"prompt": "a" /* b */}', "no JSON"),
    ("text without an end", b'{"prompt": "a', "no JSON"),
    ("blanks", b" \r\n\t ", "no JSON"),
    ("null", b"null", "no JSON object"),
    ("a text", b'"a"', "no JSON object"),
    ("no text but a number", b'{"prompt": 5}', "'prompt'"),
    ("true where a number belongs", b'{"prompt": "a", "max_tokens": true}', "'max_tokens'"),
    ("a text where a number belongs", b'{"prompt": "a", "max_tokens": "1"}', "'max_tokens'"),
    ("a fraction where a whole number belongs", b'{"prompt": "a", "max_tokens": 1.5}', "'max_tokens'"),
    ("a whole number above 32 bits", b'{"prompt": "a", "max_tokens": 4294967297}', "'max_tokens'"),
    ("the greatest whole number", b'{"prompt": "a", "max_tokens": 18446744073709551615}', "'max_tokens'"),
    ("a whole number above 64 bits", b'{"prompt": "a", "max_tokens": 18446744073709551617}', "'max_tokens'"),
    ("a temperature below zero", b'{"prompt": "a", "temperature": -1}', "'temperature'"),
    ("a seed above 2^53", b'{"prompt": "a", "seed": 9007199254740994}', "'seed'"),
    ("a token that is none", b'{"prompt": [0, 99999]}', ""),
    ("a token below zero", b'{"prompt": [-1]}', "'prompt.0'"),
    ("a bias of a token that is none", b'{"prompt": "a", "logit_bias": {"x": 1}}', "'logit_bias'"),
    ("1,025 biases", b'{"prompt": "a", "logit_bias": {' + b", ".join(b'"%d": 1' % i for i in range(1025)) + b"}}", ""),
    ("17 stops", b'{"prompt": "a", "stop": [' + b", ".join([b'"x"'] * 17) + b"]}", ""),
    ("a long stop", b'{"prompt": "a", "stop": "' + b"x" * 10_000 + b'"}', ""),
    ("an empty stop", b'{"prompt": "a", "stop": [""]}', ""),
]


class Attacks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon("--context-tokens", 256))
        cls.text = cls.good()

    @classmethod
    def good(cls):
        return cls.daemon.complete(max_tokens=4)["choices"][0]["text"]

    def check_good(self):
        self.assertEqual(self.good(), self.text)

    def test_in_heads_are_refused(self):
        for what, data, status in HEADS:
            with self.subTest(what):
                reply = self.daemon.raw(data)
                self.assertEqual(reply.split()[1:2], [str(status).encode()], reply[:300])
                head, _, body = reply.partition(b"\r\n\r\n")
                self.assertIn(b"connection: close", head)
                self.assertTrue(json.loads(body)["error"]["message"])
                self.check_good()

    def test_in_bodies_are_refused(self):
        for what, body, says in BODIES:
            with self.subTest(what):
                status, reply = self.daemon.post("/v1/completions", body)
                self.assertEqual(status, 400, reply)
                self.assertIn(says, reply["error"]["message"])
                self.check_good()

    def test_in_messages_are_refused(self):
        rows = [("no object", '[1]', "messages.0"), ("a role that is none", '[{"role": "root", "content": "a"}]', "messages.0.role"),
                ("no role", '[{"content": "a"}]', "messages.0.role"), ("no content", '[{"role": "user"}]', "messages.0.content"),
                ("content that is a number", '[{"role": "user", "content": 1}]', "messages.0.content"),
                ("a part without a type", '[{"role": "user", "content": [{}]}]', "messages.0.content.0"),
                ("a part without a text", '[{"role": "user", "content": [{"type": "text"}]}]', "messages.0.content.0"),
                ("4,097 messages", "[" + ", ".join(['{"role": "user", "content": "a"}'] * 4097) + "]", "messages")]
        for what, messages, param in rows:
            with self.subTest(what):
                status, reply = self.daemon.post("/v1/chat/completions", b'{"messages": %s}' % messages.encode())
                self.assertEqual((status, reply["error"]["param"]), (400, param), reply)
                self.check_good()

    def test_that_are_odd_but_allowed_are_answered(self):
        rows = [("an empty line before a request", b"\r\n\r\n" + HEALTH + b"Connection: close\r\n\r\n"),
                ("a host in capitals", b"GET /health HTTP/1.1\r\nHOST: LocalHost:1\r\nConnection: close\r\n\r\n"),
                ("a name in escapes", b"GET /v1/models/stories260%4B HTTP/1.1\r\nHost: [::1]:8411\r\nConnection: close\r\n\r\n"),
                ("a query", b"GET /health?a=%00&b=../.. HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
                ("JSON with a charset", body_of(b'Content-Type: Application/JSON ;charset="utf-8"\r\nConnection: close')),
                ("a dialect of JSON", body_of(b"Content-Type: application/vnd.a+json\r\nConnection: close")),
                ("what curl says of -d", body_of(b"Content-Type: application/x-www-form-urlencoded\r\nConnection: close")),
                ("no packing", body_of(b"Content-Encoding: identity\r\nConnection: close")),
                ("a chunk's extension", CHUNKED + b"Connection: close\r\n\r\n%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(GOOD_BODY), GOOD_BODY)),
                ("a trailer", CHUNKED + b"Connection: close\r\n\r\n%x\r\n%b\r\n0\r\nA: b\r\n\r\n" % (len(GOOD_BODY), GOOD_BODY)),
                ("64 levels", body_of(b"Connection: close", b'{"prompt": "a", "max_tokens": 1, "x": ' + b"[" * 63 + b"]" * 63 + b"}")),
                ("a NUL as an escape", body_of(b"Connection: close", b'{"prompt": "a\\u0000b", "max_tokens": 1}'))]
        for what, data in rows:
            with self.subTest(what):
                reply = self.daemon.raw(data)
                self.assertEqual(reply.split()[1:2], [b"200"], reply[:300])
                self.check_good()

    def test_by_trailers_without_an_end_are_refused(self):
        reply = self.daemon.raw(CHUNKED + b"\r\n%x\r\n%b\r\n0\r\n" % (len(GOOD_BODY), GOOD_BODY) + b"A: b\r\n" * 20_000)
        self.assertTrue(reply == b"" or reply.split()[1] in (b"400", b"431"), reply[:100])
        self.check_good()

    def test_of_many_requests_at_once_are_answered_in_their_order(self):
        with self.daemon.connect() as connection:
            connection.sendall((HEALTH + b"\r\n") * 1400 + post_bytes("/nothing", {}, "Connection: close\r\n"))
            replies = read_all(connection)
        self.assertEqual(replies.count(b"HTTP/1.1 200 OK"), 1400)
        self.assertEqual(replies.count(b"HTTP/1.1 404 Not Found"), 1)
        self.check_good()

    def test_behind_a_good_request_are_refused(self):
        with self.daemon.connect() as connection:
            connection.sendall(body_of(b"X: a") + b"more\r\n\r\n")
            replies = read_all(connection)
        self.assertTrue(replies.startswith(b"HTTP/1.1 200 OK"), replies[:100])
        self.assertEqual(replies.count(b"HTTP/1.1 400 Bad Request"), 1)
        self.check_good()


if __name__ == "__main__":
    unittest.main()
