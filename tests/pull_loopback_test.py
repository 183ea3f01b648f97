#!/usr/bin/env python3
"""`choir pull` against an HTTP server of the test's own, on this machine only."""

import hashlib
import http.server
import os
import random
import resource
import signal
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

CHOIR = os.environ["CHOIR_BIN"]
BODY = b"GGUF" + random.Random(7).randbytes(1 << 20)
HALF = len(BODY) // 2
SHA256 = hashlib.sha256(BODY).hexdigest()


class Script:
    """What the server does, and what it was asked: one (path, Range, If-Range) per request."""

    def __init__(self):
        self.body = BODY
        self.etag = '"one"'
        self.ranges = True      # honours Range
        self.breaks = []        # bytes after which the next answers stop; then they are whole
        self.hold = None        # an Event: the answer waits for it after half of the body
        self.redirects = {}     # path -> location
        self.requests = []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        script = self.server.script
        wanted = self.headers.get("Range")
        script.requests.append((self.path, wanted, self.headers.get("If-Range")))
        self.close_connection = True
        if self.path in script.redirects:
            self.send_response(302)
            self.send_header("Location", script.redirects[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        begin = 0
        if wanted and script.ranges and self.headers.get("If-Range") in (None, script.etag):
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(script.body) - 1}/{len(script.body)}")
        if script.etag:
            self.send_header("ETag", script.etag)
        self.send_header("Content-Length", str(len(script.body) - begin))
        self.end_headers()
        self.send_body(script, script.body[begin:])

    def send_body(self, script, body):
        if script.breaks:
            self.wfile.write(body[:script.breaks.pop(0)])
        elif script.hold:
            self.wfile.write(body[:HALF])
            self.wfile.flush()
            script.hold.wait(60)
        else:
            self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # a client that goes away is what we test


class PullTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.models = self.folder / "models"
        self.server = Server(("127.0.0.1", 0), Handler)
        self.script = self.server.script = Script()
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.base = f"http://127.0.0.1:{self.server.server_port}"

    def start(self, source, *arguments, before=None, **environment):
        return subprocess.Popen(
            [CHOIR, "pull", source, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=before, restore_signals=before is None,
            env={**os.environ, "CHOIR_MODELS": str(self.models), **environment})

    def pull(self, source, *arguments, **more):
        process = self.start(source, *arguments, **more)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def assert_pulled(self, result, name="m.gguf", body=BODY):
        self.assertEqual(result[0], 0, result[2])
        self.assertEqual(result[1], f"{self.models / name}\n")
        self.assertEqual((self.models / name).read_bytes(), body)
        self.assertEqual([p for p in (self.models / ".partial").iterdir() if not p.name.endswith(".lock")], [])

    def assert_failed(self, result, *says, code=1):
        self.assertEqual(result[0], code, result)
        for words in says:
            self.assertIn(words, result[2])
        self.assertEqual(list(self.models.glob("*.gguf")), [])

    def unfinished(self):
        return self.models / ".partial" / "m.gguf" / "data"

    def asked_ranges(self):
        return [wanted for _, wanted, _ in self.script.requests]

    def test_a_whole_answer(self):
        self.assert_pulled(self.pull(self.base + "/m.gguf?download=1", "--sha256", SHA256))
        self.assertEqual(self.asked_ranges(), [None])

    def test_again_asks_nobody(self):
        self.pull(self.base + "/m.gguf")
        self.assert_pulled(self.pull(self.base + "/m.gguf"))
        self.assertEqual(len(self.script.requests), 1)

    def test_an_altered_file_is_fetched_again(self):
        self.pull(self.base + "/m.gguf")
        (self.models / "m.gguf").write_bytes(b"GGUF")
        self.assert_pulled(self.pull(self.base + "/m.gguf"))
        self.assertEqual(len(self.script.requests), 2)

    def test_another_name(self):
        self.assert_pulled(self.pull(self.base + "/m.gguf", "--name", "mine"), "mine.gguf")

    def test_a_broken_connection_is_taken_up_at_once(self):
        self.script.breaks = [HALF]
        self.assert_pulled(self.pull(self.base + "/m.gguf", "--sha256", SHA256))
        self.assertEqual(self.script.requests[1], ("/m.gguf", f"bytes={HALF}-", '"one"'))

    def test_the_next_pull_goes_on(self):
        self.script.breaks = [HALF, 0, 0, 0]
        self.assert_failed(self.pull(self.base + "/m.gguf"), "524 kB are kept, run the command again")
        self.assertEqual(self.unfinished().read_bytes(), BODY[:HALF])
        self.script.requests.clear()
        self.assert_pulled(self.pull(self.base + "/m.gguf", "--sha256", SHA256))
        self.assertEqual(self.asked_ranges(), [f"bytes={HALF}-"])

    def test_a_file_that_changed_meanwhile_starts_over(self):
        self.script.breaks = [HALF, 0, 0, 0]
        self.pull(self.base + "/m.gguf")
        self.script.body = b"GGUF" + BODY
        self.script.etag = '"two"'
        self.assert_pulled(self.pull(self.base + "/m.gguf"), body=self.script.body)

    def test_a_server_without_ranges_starts_over(self):
        self.script.ranges = False
        self.script.breaks = [HALF]
        self.assert_pulled(self.pull(self.base + "/m.gguf", "--sha256", SHA256))

    def test_without_etag_and_date_nothing_is_joined(self):
        self.script.etag = None
        self.script.breaks = [HALF, HALF]
        self.assert_pulled(self.pull(self.base + "/m.gguf", "--sha256", SHA256))
        self.assertEqual(self.asked_ranges(), [None, None, None])

    def test_another_source_of_that_name_is_not_joined(self):
        self.script.breaks = [HALF, 0, 0, 0]
        self.pull(self.base + "/m.gguf")
        self.script.requests.clear()
        self.assert_pulled(self.pull(self.base + "/other/m.gguf"))
        self.assertEqual(self.asked_ranges(), [None])

    def test_redirects_are_followed(self):
        self.script.redirects = {"/m.gguf": "/a", "/a": self.base + "/b"}
        self.assert_pulled(self.pull(self.base + "/m.gguf", "--sha256", SHA256))
        self.assertEqual([path for path, _, _ in self.script.requests], ["/m.gguf", "/a", "/b"])

    def test_a_redirect_to_plain_http_elsewhere_is_refused(self):
        self.script.redirects = {"/m.gguf": "http://example.org/m.gguf"}
        self.assert_failed(self.pull(self.base + "/m.gguf"), "refusing http:// to 'example.org'")

    def test_a_redirect_to_a_file_is_refused(self):
        self.script.redirects = {"/m.gguf": "file:///etc/passwd"}
        self.assert_failed(self.pull(self.base + "/m.gguf"))

    def test_endless_redirects_end(self):
        self.script.redirects = {"/m.gguf": "/m.gguf"}
        self.assert_failed(self.pull(self.base + "/m.gguf"), "redirects too often")
        self.assertEqual(len(self.script.requests), 11)

    def test_missing(self):
        self.assert_failed(self.pull(self.base + "/missing.gguf"), "does not exist", "404")

    def test_wrong_sha256_names_both_and_keeps_nothing(self):
        self.assert_failed(self.pull(self.base + "/m.gguf", "--sha256", "a" * 64), SHA256, "a" * 64)
        self.assertFalse(self.unfinished().exists())

    def test_an_error_page_is_no_model(self):
        self.script.body = b"<html>please log in</html>"
        self.assert_failed(self.pull(self.base + "/m.gguf"), "not a GGUF")
        self.assertFalse(self.unfinished().exists())

    def test_no_network(self):
        self.server.shutdown()
        self.server.server_close()
        result = self.pull(self.base + "/m.gguf")
        self.assert_failed(result, "could not fetch", "Failed to connect")
        self.assertEqual(len([line for line in result[2].splitlines() if "could not" in line]), 1)

    def test_a_full_disk_leaves_no_model(self):
        def small():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, HALF))

        self.assert_failed(self.pull(self.base + "/m.gguf", before=small), "the disk is full")
        self.assert_pulled(self.pull(self.base + "/m.gguf", "--sha256", SHA256))

    def test_an_unusable_folder_is_named(self):
        self.models.write_text("")
        result = self.pull(self.base + "/m.gguf")
        self.assertEqual(result[0], 1)
        self.assertIn(str(self.models), result[2])
        self.assertEqual(self.script.requests, [])

    def test_interrupted_it_keeps_what_it_has(self):
        self.script.hold = threading.Event()
        process = self.start(self.base + "/m.gguf")
        deadline = time.monotonic() + 60
        while not (self.unfinished().exists() and self.unfinished().stat().st_size == HALF):
            self.assertLess(time.monotonic(), deadline, "half of it never arrived")
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, err)
        self.script.hold.set()
        self.script.hold = None
        self.script.requests.clear()
        self.assert_pulled(self.pull(self.base + "/m.gguf", "--sha256", SHA256))
        self.assertEqual(self.asked_ranges(), [f"bytes={HALF}-"])

    def test_two_at_once_fetch_once(self):
        both = [self.start(self.base + "/m.gguf") for _ in range(2)]
        for process in both:
            out, err = process.communicate(timeout=60)
            self.assert_pulled((process.returncode, out, err))
        self.assertEqual(len(self.script.requests), 1)

    def test_https_needs_a_trusted_certificate(self):
        key, certificate = self.folder / "key.pem", self.folder / "cert.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        source = f"https://localhost:{self.server.server_port}/m.gguf"
        direct = {"no_proxy": "localhost", "NO_PROXY": "localhost"}
        self.assert_failed(self.pull(source, **direct), "certificate")
        self.assert_pulled(self.pull(source, "--sha256", SHA256, CURL_CA_BUNDLE=str(certificate), **direct))


if __name__ == "__main__":
    unittest.main()
