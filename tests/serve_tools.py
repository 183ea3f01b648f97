"""How the daemon's tests start it and talk to it."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

from cli_tools import CHOIR, STORIES, environment

PROMPT = {"prompt": "Once upon a time", "max_tokens": 12, "temperature": 0}

TIMEOUT = 60  # seconds; a busy machine multiplies what takes a fraction of one


def wait_until(holds):
    """The value of holds(), once it is true."""
    end = time.monotonic() + TIMEOUT
    while not (value := holds()):
        if time.monotonic() > end:
            raise AssertionError("it does not come")
        time.sleep(0.01)
    return value


def lines_of(file):
    """Of an access log."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


class Daemon:
    """`choir serve` on a free port, until the end of a `with` block."""

    def __init__(self, *arguments, models=None, model=STORIES, cwd=None, **variables):
        command = [CHOIR, "serve", "--port", "0", "--bind", "127.0.0.1", *map(str, arguments)]
        if model:
            command += ["--model", model]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd,
                                        env=environment(models, **variables))
        self.welcome = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", self.welcome)
        if not found:
            raise AssertionError(f"no address: {self.welcome!r} {self.process.communicate(timeout=TIMEOUT)}")
        self.port = int(found[1])
        found = re.search(r"unix:(\S+)", self.welcome)
        self.socket = found[1] if found else None
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(TIMEOUT)
        if self.process.poll() is None:
            self.process.kill()
        _, complaints = self.process.communicate(timeout=TIMEOUT)
        if kind is None and self.process.returncode != 0:  # a sanitizer's finding, too
            raise AssertionError(f"the daemon ended with {self.process.returncode}: {complaints[-8000:]}")

    def admin(self, method, path, body=None):
        """(status, JSON) over the unix socket, which may change things."""
        data = b"" if body is None else json.dumps(body).encode()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(self.socket)
            connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: choir\r\nConnection: close\r\n"
                               f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
            head, _, text = read_all(connection).partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(text)

    # ---- requests

    def request(self, method, path, body=None, headers=None):
        """(status, headers, text) of one request."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
                return reply.status, reply.headers, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read().decode()

    def get(self, path):
        status, _, text = self.request("GET", path)
        return status, json.loads(text)

    def post(self, path, body, headers=None):
        status, _, text = self.request("POST", path, body, headers)
        return status, json.loads(text)

    def complete(self, prompt="Once upon a time", **more):
        """The completion of a prompt, always the same text."""
        status, reply = self.post("/v1/completions", {"prompt": prompt, "max_tokens": 12, "temperature": 0} | more)
        if status != 200:
            raise AssertionError(f"{status}: {reply}")
        return reply

    def events(self, path, body):
        """The data of all events of a stream, as texts."""
        status, headers, text = self.request("POST", path, body | {"stream": True})
        if status != 200 or not headers["content-type"].startswith("text/event-stream"):
            raise AssertionError(f"{status}: {text}")
        return [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)
        connection.settimeout(TIMEOUT)
        return connection

    def raw(self, data, close=False):
        """What comes back for these bytes until the daemon closes the connection."""
        with self.connect() as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(data)
            if close:
                connection.shutdown(socket.SHUT_WR)
            return read_all(connection)


def post_bytes(path, body, more="", version="1.1"):
    data = json.dumps(body).encode()
    return (f"POST {path} HTTP/{version}\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n{more}\r\n").encode() + data


def read_all(connection):
    out = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65536):
            out += data
    return out


def read_reply(connection):
    """One reply with a Content-Length: (status, body)."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", head)[1])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), body[:length], body[length:]
