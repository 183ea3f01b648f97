"""Readers of all topics of a daemon's events, in a process of their own."""
import multiprocessing
import selectors
import socket


class Readers:
    """`count` streams of events over the unix socket, which may see everything, until the end of a `with` block."""

    def __init__(self, path, count):
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=read_all, args=(path, count, theirs), daemon=True)
        self.process.start()
        self.pipe.recv()  # all have their first frames

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pipe.send("end")
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()

    def bytes_read(self):
        """Of all of them since the last call, or since the begin."""
        self.pipe.send("bytes")
        return self.pipe.recv()


def read_all(path, count, pipe):
    streams = []
    for _ in range(count):
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(path)
        stream.sendall(b"GET /choir/v1/events?topics=state,requests,turns,log HTTP/1.1\r\nHost: choir\r\n\r\n")
        if b" 200 " not in stream.recv(65536):
            raise RuntimeError("/choir/v1/events did not answer")
        stream.setblocking(False)
        streams.append(stream)
    seen = 0
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, selectors.EVENT_READ)
        selector.register(pipe, selectors.EVENT_READ)
        pipe.send("ready")
        while True:
            for key, _ in selector.select():
                if key.fileobj is not pipe:
                    data = key.fileobj.recv(1 << 20)
                    if not data:
                        raise RuntimeError("a stream of events has ended")
                    seen += len(data)
                elif pipe.recv() == "end":
                    return
                else:
                    pipe.send(seen)
                    seen = 0
