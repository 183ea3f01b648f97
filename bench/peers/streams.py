"""Many streams of server-sent events, read by one thread."""
import json
import selectors
import socket
import time


class Stream:
    """A completion that is streamed. Its request is sent when it is made."""

    def __init__(self, port, body, headers=None):
        data = json.dumps(body).encode()
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n{lines}"
                            f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
        self.socket.setblocking(False)
        self.began = time.monotonic()
        self.first = None  # when the first text came
        self.ended = False
        self.leave_after = None  # seconds after which it disconnects without a word
        self.tail = b""

    def take(self):
        """Reads what is there; at the end the connection is closed."""
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        self.tail = (self.tail + data)[-4096:]
        if self.first is None and b'"text":' in self.tail:
            self.first = time.monotonic()
        if not data or b"[DONE]" in self.tail[-64:] or b'"error"' in self.tail:
            self.close()

    def close(self):
        self.ended = True
        self.socket.close()


def drive(streams):
    """Reads all streams until each has ended or left."""
    left = [stream for stream in streams if not stream.ended]
    with selectors.DefaultSelector() as selector:
        for stream in left:
            selector.register(stream.socket, selectors.EVENT_READ, stream)
        while left:
            for key, _ in selector.select(0.005):
                selector.unregister(key.fileobj)  # a closed socket cannot be taken out any more
                key.data.take()
                if not key.data.ended:
                    selector.register(key.fileobj, selectors.EVENT_READ, key.data)
            now = time.monotonic()
            for stream in left:
                if not stream.ended and stream.leave_after is not None and now - stream.began > stream.leave_after:
                    selector.unregister(stream.socket)
                    stream.close()
            left = [stream for stream in left if not stream.ended]
