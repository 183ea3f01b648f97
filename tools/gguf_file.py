"""GGUF files for tests and benchmarks: the numbers of the types, what stands in front of the weights, and a vocabulary.

Needs only the standard library.
"""

import itertools
import struct

ALIGNMENT = 32

# name: ggml's number, weights of a block, its bytes, {offset: half that is a scale}
TYPES = {
    "F16": (1, 1, 2, {}),
    "Q4_0": (2, 32, 18, {0: 0.02}),
    "Q4_1": (3, 32, 20, {0: 0.02, 2: -0.15}),
    "Q5_0": (6, 32, 22, {0: 0.01}),
    "Q5_1": (7, 32, 24, {0: 0.01, 2: -0.15}),
    "Q8_0": (8, 32, 34, {0: 0.001}),
    "Q2_K": (10, 256, 84, {80: 0.01, 82: 0.015}),
    "Q3_K": (11, 256, 110, {108: 0.002}),
    "Q4_K": (12, 256, 144, {0: 0.0004, 2: 0.003}),
    "Q5_K": (13, 256, 176, {0: 0.0002, 2: 0.003}),
    "Q6_K": (14, 256, 210, {208: 0.0001}),
    "IQ2_XXS": (16, 256, 66, {0: 0.002}),
    "IQ2_XS": (17, 256, 74, {0: 0.002}),
    "IQ3_XXS": (18, 256, 98, {0: 0.001}),
    "IQ1_S": (19, 256, 50, {0: 0.01}),
    "IQ4_NL": (20, 32, 18, {0: 0.001}),
    "IQ3_S": (21, 256, 110, {0: 0.001}),
    "IQ2_S": (22, 256, 82, {0: 0.002}),
    "IQ4_XS": (23, 256, 136, {0: 0.0001}),
    "TQ2_0": (35, 256, 66, {64: 0.1}),
    "NVFP4": (40, 64, 36, {}),
}
F32 = 0

# As which numbers they go into the file; others have 32 bits and no sign.
Short = type("Short", (int,), {})
Signed = type("Signed", (int,), {})


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def typed(value):
    """GGUF's number of a type, and the value in it."""
    if isinstance(value, bool):
        return 7, struct.pack("<?", value)
    if isinstance(value, Short):
        return 2, struct.pack("<H", value)
    if isinstance(value, Signed):
        return 5, struct.pack("<i", value)
    if isinstance(value, int):
        return 4, struct.pack("<I", value)
    if isinstance(value, float):
        return 6, struct.pack("<f", value)
    if isinstance(value, str):
        return 8, text(value)
    inner = [typed(item) for item in value]
    return 9, struct.pack("<IQ", inner[0][0], len(inner)) + b"".join(data for _, data in inner)


def aligned(size):
    return -(-size // ALIGNMENT) * ALIGNMENT


def front(keys, tensors):
    """What stands before the weights; tensors are (name, shape, type's number, bytes), and their bytes are aligned."""
    out = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)))
    for name, value in keys:
        number, data = typed(value)
        out += text(name) + struct.pack("<I", number) + data
    offset = 0
    for name, shape, number, size in tensors:
        out += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, number, offset)
        offset += aligned(size)
    return out + bytes(-len(out) % ALIGNMENT)


def write_file(path, keys, tensors):
    """Tensors as (name, shape, type's number, their data)."""
    out = front(keys, [(name, shape, number, len(data)) for name, shape, number, data in tensors])
    for _, _, _, data in tensors:
        out += data + bytes(-len(data) % ALIGNMENT)
    path.write_bytes(out)
    return path


def vocabulary_keys():
    """The keys of a vocabulary of bytes and letters, which reads every text."""
    letters = [chr(code) for code in range(33, 127)]
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + ["\u2581"] + letters
    others = len(tokens) - 259
    keys = [("model", "llama"), ("tokens", tokens), ("scores", [0.0] * 259 + [-1.0 - i for i in range(others)]),
            ("token_type", [Signed(kind) for kind in [2, 3, 3] + [6] * 256 + [1] * others]),
            ("bos_token_id", 1), ("eos_token_id", 2), ("unknown_token_id", 0)]
    return [(f"tokenizer.ggml.{name}", value) for name, value in keys]


PLAIN_TOKENS = 258  # of a large vocabulary: the two control tokens and the bytes, before all words


def letter_of(byte):
    """How a byte is written in a vocabulary of byte pairs: by itself if it is a printable one, else by one above 255."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    if byte in printable:
        return chr(byte)
    return chr(256 + sum(other not in printable for other in range(byte)))


def large_vocabulary_keys(size, splits):
    """The keys of one of byte pairs with `size` tokens: bytes, and made-up words that grow letter by letter. `splits` names
    how a text is cut before its pairs are merged."""
    made_up = ("".join(word) for length in (2, 3, 4) for word in itertools.product("etaoinshrdlucmfwypvbgkjqxz", repeat=length))
    words = list(itertools.islice(made_up, size - PLAIN_TOKENS))
    tokens = ["<|begin|>", "<|end|>"] + [letter_of(byte) for byte in range(256)] + words
    keys = [("model", "gpt2"), ("pre", splits), ("tokens", tokens),
            ("token_type", [Signed(kind) for kind in [3, 3] + [1] * (size - 2)]),
            ("merges", [f"{word[:-1]} {word[-1]}" for word in words]), ("bos_token_id", 0), ("eos_token_id", 1)]
    return [(f"tokenizer.ggml.{name}", value) for name, value in keys]


# ---- reading the front of a file

NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def read_front(path):
    """(keys, tensors) of a file: the values by name, of lists their lengths; (name, shape, bytes) of each tensor.

    The bytes are those up to the next tensor.
    """
    with open(path, "rb") as file:
        def number(letter):
            return struct.unpack("<" + letter, file.read(struct.calcsize("<" + letter)))[0]

        def string():
            return file.read(number("Q")).decode(errors="replace")

        def value(kind):
            if kind == 8:
                return string()
            if kind != 9:
                return number(NUMBERS[kind])
            inner, count = number("I"), number("Q")
            if inner in NUMBERS:
                file.seek(count * struct.calcsize("<" + NUMBERS[inner]), 1)
            else:
                for _ in range(count):
                    value(inner)
            return count

        if file.read(4) != b"GGUF":
            raise ValueError(f"{path} is no GGUF file")
        number("I")
        tensor_count, key_count = number("Q"), number("Q")
        keys = {}
        for _ in range(key_count):
            name = string()
            keys[name] = value(number("I"))
        infos = []
        for _ in range(tensor_count):
            name = string()
            shape = [number("Q") for _ in range(number("I"))]
            number("I")
            infos.append((number("Q"), name, shape))
        begin = -(-file.tell() // ALIGNMENT) * ALIGNMENT
        file.seek(0, 2)
        end = file.tell() - begin
    infos.sort()
    ends = [info[0] for info in infos[1:]] + [end]
    return keys, [(name, shape, stop - offset) for (offset, name, shape), stop in zip(infos, ends)]
