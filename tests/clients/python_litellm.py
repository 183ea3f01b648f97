#!/usr/bin/env python3
"""An unmodified litellm talks to a daemon."""

import os
from importlib.metadata import version

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it fetches a list of prices when it is imported

import litellm
from daemon_side import MESSAGES, arguments, fill_the_queue, wait_until_nothing_runs

asked = arguments()
settings = {"api_base": asked.base_url, "api_key": asked.key, "num_retries": 0, "max_retries": 0}
chat = {"model": "openai/" + asked.model, "messages": MESSAGES, "max_tokens": 16, "temperature": 0, "seed": 1}

listed = litellm.get_valid_models(check_provider_endpoint=True, custom_llm_provider="openai", api_base=asked.base_url,
                                  api_key=asked.key)
assert any(name.endswith(asked.model) for name in listed), listed

whole = litellm.completion(**chat, **settings)
text = whole.choices[0].message.content
assert text and whole.usage.completion_tokens > 0

pieces, usage = [], None
for chunk in litellm.completion(stream=True, stream_options={"include_usage": True}, **chat, **settings):
    usage = getattr(chunk, "usage", None) or usage
    pieces += [choice.delta.content or "" for choice in chunk.choices]
assert "".join(pieces) == text, (pieces, text)
assert usage.completion_tokens == whole.usage.completion_tokens

# A client that leaves in the middle.
stream = litellm.completion(stream=True, **chat | {"model": "openai/" + asked.slow, "max_tokens": 1500},
                            extra_body={"ignore_eos": True}, **settings)
next(stream)
stream.completion_stream.close()
wait_until_nothing_runs(asked)

if asked.embeds:
    rows = litellm.embedding(model="openai/" + asked.embeds, input=["a dog", "a cat"], encoding_format="float", **settings).data
    assert len(rows) == 2 and len(rows[0]["embedding"]) > 1

try:
    litellm.completion(**chat, n=17, **settings)
    raise AssertionError("n=17 answered")
except litellm.BadRequestError as error:
    assert "'n' is 17" in str(error), error

fill_the_queue()
again = litellm.completion(**chat, **settings | {"num_retries": 2})
assert again.choices[0].message.content == text
print("ok: litellm", version("litellm"))
