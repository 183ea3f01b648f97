#!/usr/bin/env python3
"""llama-server's command line, for the engine's own tests: becomes `choir serve` with what the flags ask for.

It ends with the name of a flag that it does not know, and of a value for which Choir has no counterpart.
A template and "no thinking" are written into a copy of the model file, because they are properties of the model here.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

from gguf_template import with_template

FOLDER = Path(os.environ["CHOIR_UPSTREAM_FOLDER"])  # for what is made here; the same for all starts of one run

MODELS = {  # by repository and file
    ("ggml-org/test-model-stories260K", None): Path(os.environ["CHOIR_TEST_MODELS"]) / "stories260K.gguf",
    ("ggml-org/models", "tinyllamas/stories260K.gguf"): Path(os.environ["CHOIR_TEST_MODELS"]) / "stories260K.gguf",
    ("ggml-org/models", "bert-bge-small/ggml-model-f16.gguf"): Path(os.environ["CHOIR_UPSTREAM_ENCODER"]),
}
POOLING = "mean"  # of that encoder

# llama-server takes any name for its only model. These are the ones that the tests send.
OTHER_NAMES = ["davinci-002", "gpt-3.5-turbo", "gpt-3.5-turbo-instruct", "text-embedding-3-small", "codellama70b"]

TEMPLATES = {
    "chatml": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
              "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "llama3": "{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content + "
              "'<|eot_id|>' }}{% endfor %}"
              "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
    "command-r": "{% for m in messages %}{{ '<|START_OF_TURN_TOKEN|><|' + {'system': 'SYSTEM', 'user': 'USER', "
                 "'assistant': 'CHATBOT'}[m.role] + '_TOKEN|>' + m.content + '<|END_OF_TURN_TOKEN|>' }}{% endfor %}"
                 "{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}",
}

# Flags without a value that ask for what is so here.
ALWAYS = {
    "--offline",  # nothing is fetched
    "--jinja", "--no-jinja",  # templates are Jinja; the ones that llama-server knows by name are above
    "--cont-batching", "--embedding", "--metrics",
    "--slots", "--no-slots",  # GET /slots shows counts only, to those who may look
    "--no-ui",
}
# Flags with a value that is not asked for: answers do not depend on it.
SPEED = {"--batch-size", "--ubatch-size", "--threads", "-fa"}
VALUES = {"--port", "--host", "--temp", "--seed", "--hf-repo", "--hf-file", "--model", "--alias", "--ctx-size",
          "--parallel", "--n-predict", "--api-key", "--chat-template", "--chat-template-file", "--reasoning",
          "--pooling"}


def end(what):
    sys.exit(f"llama_server.py: {what}")


def parsed(arguments):
    """The flags that mean something here, with their values."""
    flags = {}
    rest = iter(arguments)
    for flag in rest:
        if flag in SPEED:
            next(rest)
        elif flag in VALUES:
            flags[flag] = next(rest)
        elif flag == "--kv-unified":
            flags[flag] = True
        elif flag not in ALWAYS:
            end(f"{flag} has no counterpart")
    return flags


def model_of(flags):
    if "--model" in flags:
        return Path(flags["--model"])
    if "--hf-repo" not in flags:
        return None
    asked = flags["--hf-repo"], flags.get("--hf-file")
    file = MODELS.get(asked)
    if file is None or not file.is_file():
        end(f"--hf-repo {asked[0]} --hf-file {asked[1]}: this model is not at hand")
    return file


def template_of(flags):
    """None: the model's own."""
    template = flags.get("--chat-template")
    template = TEMPLATES.get(template, template)
    if "--chat-template-file" in flags:
        template = Path(flags["--chat-template-file"]).read_text(encoding="utf-8")
    reasoning = flags.get("--reasoning", "auto")
    if reasoning not in ("on", "auto", "off"):
        end(f"--reasoning {reasoning} has no counterpart")
    if reasoning == "off":
        if template is None:
            end("--reasoning off needs a template here")
        template = "{%- set enable_thinking = false -%}" + template
    return template


def named(model, template, name):
    """A file of that name with the model, which gets its name from it."""
    made = hashlib.sha256(json.dumps([str(model), template]).encode()).hexdigest()[:16]
    file = FOLDER / made / f"{name}.gguf"
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        data = model.read_bytes()
        file.write_bytes(data if template is None else with_template(data, template))
    return file


def keys_file(key):
    file = FOLDER / "keys.json"
    file.write_text(json.dumps({"keys": [{
        "name": "upstream", "sha256": hashlib.sha256(key.encode()).hexdigest(), "tenant": "upstream", "weight": 1,
        "class": "critical", "scopes": ["view", "infer", "metrics", "admin"]}]}), encoding="utf-8")
    file.chmod(0o600)
    return file


def model_settings(flags):
    """Of the one model that llama-server would serve; null where it would serve none."""
    model = model_of(flags)
    if model is None:
        return None
    name = flags.get("--alias", model.stem)
    if "," in name:
        end("--alias with several names has no counterpart")
    if flags.get("--pooling", POOLING) != POOLING:
        end(f"--pooling {flags['--pooling']} has no counterpart: an encoder pools as its file says")
    sequences = int(flags.get("--parallel", 1))
    context = int(flags.get("--ctx-size", 4096)) // (1 if "--kv-unified" in flags else sequences)
    sampling = {field: float(flags[flag]) for flag, field in (("--temp", "temperature"),) if flag in flags}
    sampling |= {"seed": int(flags[flag]) for flag in ("--seed",) if flag in flags}
    return {"model": str(named(model, template_of(flags), name)), "aliases": OTHER_NAMES, "preload": True,
            "sequences": sequences, "context_tokens": context, "sampling": sampling,
            "max_tokens_default": max(0, int(flags.get("--n-predict", 0)))}


def command_of(flags):
    command = [os.environ["CHOIR_BIN"], "serve", "--port", flags["--port"], "--unix-socket", "", "--drain-seconds", "1"]
    for host in flags["--host"].split(","):
        command += ["--bind", host]
    if "--api-key" in flags:
        command += ["--keys", keys_file(flags["--api-key"])]
    model = model_settings(flags)
    config = FOLDER / "serve.yaml"
    config.write_text(json.dumps({"models": [model] if model else []}), encoding="utf-8")
    return command + ["--config", config]


def main():
    command = [str(word) for word in command_of(parsed(sys.argv[1:]))]
    sys.stdout.flush()
    os.execve(command[0], command, os.environ | {"CHOIR_CACHE": str(FOLDER / "cache"),
                                                 "CHOIR_MODELS": str(FOLDER / "no-models")})


if __name__ == "__main__":
    main()
