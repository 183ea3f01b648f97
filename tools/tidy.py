#!/usr/bin/env python3
"""Checks rules that a compiler does not check: includes between folders, sizes of files and classes, forbidden words, and
what Python files take from each other.

    tools/tidy.py [--root DIR]          prints `path:line: message` for each finding; exits 1 if there is one
    tools/tidy.py --fingerprints        prints `hash path` for each .cc of src/ and apps/; the hash changes
                                        with the file, our headers below it, and .clang-tidy

It looks at the files in git and at new ones that git does not ignore. It needs only the standard library and takes well
under a second.
"""

import argparse
import hashlib
import re
import subprocess
import sys
from pathlib import Path

# A folder of src/ includes itself and what stands before it.
LAYERS = ["base", "core", "policy", "kernels", "models", "engine", "runtime", "context", "facade", "evaluation",
          "serve", "cluster"]
# ... unless it stands here, with all that it may include.
NARROW = {"kernels": {"base", "kernels"}, "models": {"base", "core", "models"}, "evaluation": {"base", "evaluation"},
          "serve": {"base", "context", "models", "policy", "serve"}}

LINES_MAX = 400
FUNCTIONS_MAX = 30  # of a class; more need a comment above it with "functions:" and the reason
A_REASON = re.compile(r"functions: \w+ \w+ \w+", re.IGNORECASE)  # a few words at least
CODE = {".cc", ".h", ".py", ".sh"}

ENGINE_HEADER = re.compile(
    r"((llama|ggml|gguf)[\w-]*\.h"
    r"|(common|chat|sampling|arg|download|json|json-schema-to-grammar|peg-parser|speculative|ngram-cache"
    r"|traits|quants|repack|vec|ops|simd-mappings|unicode|fit)\.h|jinja/.*)$")
ENGINE_USERS = ("src/engine/", "src/kernels/", "bench/", "tests/")

LOCK = re.compile(r"std::(?:(?:recursive_|shared_|timed_|recursive_timed_|shared_timed_)?mutex"
                  r"|condition_variable(?:_any)?)\b")
CLOCK = re.compile(r"(?:steady|system|high_resolution|utc|file)_clock::now\b")

# Written in halves, so that this file passes its own check.
WORDS = re.compile(r"\b(?:FIX" r"ME|X" r"XX|st" r"ub(?:s|bed)?|not imple" r"mented)\b")
PLACES = re.compile(r"(?:/wo" r"rk/|/ro" r"ot/|\.lib" r"rary\b)")

# A class with a body, in clang-format's layout; `final`, bases and attributes may stand in between.
CLASS = re.compile(r"\b(?<!enum )(?:class|struct) (?:CHOIR_API |\[\[\w+\]\] )*(\w+)(?: final)?\s*(?::[^;{}()]*)?\{")
NO_FUNCTION = re.compile(r",|(?:using|typedef|friend|static_assert|enum|class|struct|union)\b")

PYTHON_IMPORT = re.compile(r"^from ([\w.]+) import +(?:\(([^)]*)\)|([^\n#]*))", re.MULTILINE)

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


class Tree:
    """The files of one checkout, read once."""

    def __init__(self, root):
        self.root = Path(root)
        listed = subprocess.run(
            ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True, capture_output=True).stdout.decode()
        self.texts = {}
        for name in sorted(set(listed.split("\0")) - {""}):
            path = self.root / name
            if not path.is_file() or path.is_symlink():
                continue
            data = path.read_bytes()
            if b"\0" not in data[:4096]:
                self.texts[name] = data.decode(errors="replace")

    def cpp(self):
        return [name for name in self.texts if name.endswith((".cc", ".h"))]

    def includes(self, name):
        """Yields (line, spelling, the file of ours that is meant or None)."""
        for number, line in enumerate(self.texts[name].splitlines(), 1):
            found = INCLUDE.match(line)
            if found:
                yield number, found[2], self.resolve(name, found[2], quoted=found[1] == '"')

    def resolve(self, name, spelling, quoted):
        folders = [str(Path(name).parent)] if quoted else []
        for folder in [*folders, "include", "src", "."]:
            candidate = (Path(folder) / spelling).as_posix()
            if candidate in self.texts:
                return candidate
        return None


def without_comments(text):
    """The code with comments blanked and its lines kept; text in strings stays."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
    return pattern.sub(lambda m: m[0] if m[0][0] == '"' else re.sub(r"[^\n]", " ", m[0]), text)


def emptied(code, opening, closing):
    """The code without what stands between the outermost pairs."""
    kept, depth = [], 0
    for character in code:
        depth -= character == closing
        if depth == 0:
            kept.append(character)
        depth += character == opening
    return "".join(kept)


def body_at(code, opening):
    """What stands between the brace at this place and the one that closes it."""
    depth = 0
    for place in range(opening, len(code)):
        depth += (code[place] == "{") - (code[place] == "}")
        if depth == 0:
            return code[opening + 1:place]
    return code[opening + 1:]


def functions_of(body):
    """The member functions that a class's body declares; deleted ones and those of nested classes are not its own."""
    body = re.sub(r"^\s*#.*$", "", body, flags=re.MULTILINE)
    body = re.sub(r"\b(?:public|private|protected):", "", body)
    body = re.sub(r"\boperator\s*(?:\(\)|[^\w\s(]+|[\w:]+\s*[*&]?)\s*\(", "operator_(", body).replace("->", " ")
    body = emptied(body, "{", "}")
    body = emptied(re.sub(r"\(\s*\*", "POINTER(", body), "(", ")")
    body = re.sub(r"\b(?:alignas|noexcept|decltype|explicit)\s*\(\)", "", body)
    while (shorter := re.sub(r"<[^<>]*>", "", body)) != body:
        body = shorter
    statements = [" ".join(statement.split()) for statement in re.split(r";|(?<=\})", body)]
    return [s for s in statements if "()" in s.split("=")[0] and "POINTER" not in s and not s.endswith("= delete")
            and not NO_FUNCTION.match(s)]


def comment_above(text, line):
    """The comment lines directly above this line, counted from 1, or above its `template <...>`."""
    above = []
    for previous in reversed(text.splitlines()[:line - 1]):
        if not re.match(r"\s*(//|template <)", previous):
            break
        above.insert(0, previous)
    return "\n".join(above)


def layer_message(name, target):
    """Why `name` may not include our file `target`, or None."""
    if target.startswith(("include/choir/", "include/parallel/")):
        return None
    top = name.split("/")[0]
    if top == "include":
        return "a public header includes only include/choir/, the standard library and tl/expected.hpp"
    if top == "examples" and not target.startswith("examples/"):
        return "an example includes only the public headers"
    if top == "apps" and target in ("src/serve/daemon.h", "src/serve/client.h", "src/serve/watch.h", "src/serve/keys.h",
                                    "src/serve/config.h"):  # the daemon is not in libchoir
        return None
    if top == "apps" and not target.startswith("apps/") and not name.startswith("apps/probe/"):
        return "the programs include only the public headers and their own"
    if not name.startswith("src/"):
        return None
    if not target.startswith("src/"):
        return "the library includes nothing outside src/ and include/"
    mine, other = name.split("/")[1], target.split("/")[1]
    if mine not in LAYERS:
        return f"src/{mine}/ has no place in the order of layers; tools/tidy.py has the list"
    allowed = NARROW.get(mine, set(LAYERS[:LAYERS.index(mine) + 1]))
    if other not in allowed:
        return f"{mine} must not include {other}; includes point down: {' < '.join(LAYERS)}"
    return None


def check_includes(tree):
    for name in tree.cpp():
        for line, spelling, target in tree.includes(name):
            if target:
                message = layer_message(name, target)
                if message:
                    yield name, line, message
            elif ENGINE_HEADER.match(spelling) and not name.startswith(ENGINE_USERS):
                yield name, line, f"<{spelling}> is the engine's; only src/engine/ and src/kernels/ know it"
            elif name.startswith("include/") and "." in spelling and spelling != "tl/expected.hpp":
                yield name, line, f"<{spelling}>: a public header needs nothing but the standard library and tl/expected.hpp"


def check_cycles(tree):
    state, trail = {}, []

    def visit(name):
        state[name] = "open"
        trail.append(name)
        for line, _, target in tree.includes(name):
            if target is None or state.get(target) == "done":
                continue
            if state.get(target) == "open":
                ring = trail[trail.index(target):] + [target]
                yield name, line, "include cycle: " + " -> ".join(ring)
            else:
                yield from visit(target)
        trail.pop()
        state[name] = "done"

    for name in tree.cpp():
        if name not in state:
            yield from visit(name)


def check_headers(tree):
    for name in tree.cpp():
        if not name.endswith(".h"):
            continue
        text = tree.texts[name]
        if not text.startswith(("//", "/*")):
            yield name, 1, "a header starts with a comment that tells a stranger how to use it"
        if len(re.findall(r"^#pragma once$", text, re.MULTILINE)) != 1:
            yield name, 1, "a header has `#pragma once`, once"


def check_sizes(tree):
    for name, text in tree.texts.items():
        lines = text.count("\n")
        if (Path(name).suffix in CODE or text.startswith("#!")) and lines > LINES_MAX:
            yield name, LINES_MAX + 1, f"{lines} lines, the wall is {LINES_MAX}; is there a second noun in it?"


def check_functions(tree):
    for name in tree.cpp():
        if not name.endswith(".h") or not name.startswith(("src/", "include/", "apps/", "sim/")):
            continue
        code = re.sub(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', '""', without_comments(tree.texts[name]))
        for found in CLASS.finditer(code):
            line = code.count("\n", 0, found.start()) + 1
            count = len(functions_of(body_at(code, found.end() - 1)))
            if count > FUNCTIONS_MAX and not A_REASON.search(comment_above(tree.texts[name], line)):
                yield name, line, (f"{found[1]} has {count} functions, at most {FUNCTIONS_MAX} need no reason; carve out "
                                   "what has a state of its own, or say why above it (// Functions: ...)")


def matches(name, text, pattern, message):
    for number, line in enumerate(text.splitlines(), 1):
        found = pattern.search(line)
        if found:
            yield name, number, message.format(found[0])


def check_owners(tree):
    """Locks and clocks have one home each."""
    for name in tree.cpp():
        code = without_comments(tree.texts[name])
        if name != "src/base/guarded.h" and not name.startswith(("tests/", "sim/")):
            yield from matches(name, code, LOCK, "{} outside src/base/guarded.h; use Guarded or a Mailbox")
        if not name.startswith(("src/base/clock.", "apps/", "bench/", "tests/", "examples/")):
            yield from matches(name, code, CLOCK, "{} outside src/base/clock; ask for the time")


def check_words(tree):
    for name, text in tree.texts.items():
        if Path(name).suffix in CODE or text.startswith("#!"):
            yield from matches(name, text, WORDS, "'{}' does not land; finish it, or write TODO(limit): and the limit")
        yield from matches(name, text, PLACES, "'{}' is a place on one machine; a stranger has none of it")


def check_python_imports(tree):
    """What a Python file takes from another one of ours is there."""
    ours = {}
    for name, text in tree.texts.items():
        if name.endswith(".py"):
            ours[Path(name).stem] = ours.get(Path(name).stem, "") + text
    for name, text in tree.texts.items():
        for found in PYTHON_IMPORT.finditer(text) if name.endswith(".py") else ():
            module = found[1].split(".")[-1]
            for taken in re.findall(r"(\w+)(?: as \w+)?", found[2] or found[3]) if module in ours else ():
                there = rf"^\s*(?:async )?(?:def|class) {taken}\b|^[^#\n=]*\b{taken}\b[^=\n]*=|^(?:from|import) .*\b{taken}\b"
                if not re.search(there, ours[module], re.MULTILINE):
                    line = text.count("\n", 0, found.start()) + 1
                    yield name, line, f"there is no '{taken}' in {module}.py"


CHECKS = [check_includes, check_cycles, check_headers, check_sizes, check_functions, check_owners, check_words,
          check_python_imports]


def findings(tree):
    return sorted({finding for check in CHECKS for finding in check(tree)})


def closure(tree, name):
    """`name` and all files of ours that it includes, directly or not."""
    seen, open_names = set(), [name]
    while open_names:
        current = open_names.pop()
        if current not in seen:
            seen.add(current)
            open_names += [target for _, _, target in tree.includes(current) if target]
    return sorted(seen)


def fingerprints(tree):
    for name in tree.cpp():
        if name.startswith(("src/", "apps/")) and name.endswith(".cc"):
            digest = hashlib.sha256(tree.texts.get(".clang-tidy", "").encode())
            for part in closure(tree, name):
                digest.update(f"{part}\0{tree.texts[part]}\0".encode())
            yield digest.hexdigest()[:24], name


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--fingerprints", action="store_true")
    arguments = parser.parse_args()
    tree = Tree(arguments.root)
    if arguments.fingerprints:
        for fingerprint, name in fingerprints(tree):
            print(fingerprint, name)
        return 0
    found = findings(tree)
    for name, line, message in found:
        print(f"{name}:{line}: {message}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
