"""Copies a GGUF file with another chat template."""

import struct

TEMPLATE = b"tokenizer.chat_template"
TEXT, LIST = 8, 9
BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
ALIGNMENT = 32  # of the tensors, where the file does not name another


class Reader:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def number(self, form):
        value, = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def text(self):
        length = self.number("Q")
        self.at += length
        return self.data[self.at - length:self.at]

    def skip_value(self, kind):
        if kind == TEXT:
            self.text()
        elif kind == LIST:
            kind, count = self.number("I"), self.number("Q")
            if kind in BYTES:
                self.at += BYTES[kind] * count
            else:
                for _ in range(count):
                    self.skip_value(kind)
        else:
            self.at += BYTES[kind]


def text_bytes(text):
    return struct.pack("<Q", len(text)) + text


def with_template(data, template):
    """The bytes of a file that has the template as its only one."""
    reader = Reader(data)
    magic, version, tensors, entries = (reader.number(form) for form in "IIQQ")
    alignment, kept = ALIGNMENT, []
    for _ in range(entries):
        begin = reader.at
        key, kind = reader.text(), reader.number("I")
        if key == b"general.alignment":
            alignment, = struct.unpack_from("<I", data, reader.at)
        reader.skip_value(kind)
        if not key.startswith(TEMPLATE):
            kept.append(data[begin:reader.at])
    kept.append(text_bytes(TEMPLATE) + struct.pack("<I", TEXT) + text_bytes(template.encode()))
    begin = reader.at
    for _ in range(tensors):
        reader.text()
        dimensions = reader.number("I")
        reader.at += 8 * dimensions + 4 + 8  # sizes, type, offset
    head = struct.pack("<IIQQ", magic, version, tensors, len(kept)) + b"".join(kept) + data[begin:reader.at]
    return head + b"\0" * (-len(head) % alignment) + data[reader.at + -reader.at % alignment:]
