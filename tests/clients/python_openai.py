#!/usr/bin/env python3
"""An unmodified openai client talks to a daemon:  python_openai.py BASE_URL MODEL..."""

import sys

import openai

base_url, *models = sys.argv[1:]
client = openai.OpenAI(base_url=base_url, api_key="any", max_retries=0, timeout=120)

listed = [model.id for model in client.models.list()]
assert set(models) <= set(listed), listed
assert client.models.retrieve(models[0]).id == models[0]

messages = [{"role": "user", "content": "Once upon a time"}]
settings = {"max_tokens": 16, "temperature": 0, "seed": 1}
for model in models:
    whole = client.chat.completions.create(model=model, messages=messages, **settings)
    text = whole.choices[0].message.content
    assert whole.usage.completion_tokens > 0 and whole.choices[0].finish_reason in ("stop", "length")

    pieces, usage = [], None
    stream = client.chat.completions.create(model=model, messages=messages, stream=True,
                                            stream_options={"include_usage": True}, **settings)
    for chunk in stream:
        if chunk.usage:
            usage = chunk.usage
        for choice in chunk.choices:
            pieces.append(choice.delta.content or "")
    assert "".join(pieces) == text, (pieces, text)
    assert usage.completion_tokens == whole.usage.completion_tokens

    completion = client.completions.create(model=model, prompt="Once", **settings)
    assert completion.choices[0].text

# A client that leaves in the middle.
with client.chat.completions.create(model=models[0], messages=messages, stream=True, max_tokens=400) as stream:
    next(iter(stream))

try:
    client.chat.completions.create(model="nothing", messages=messages)
    raise AssertionError("a model that is not there answered")
except openai.NotFoundError as error:
    assert error.code == "model_not_found", error.body
try:
    client.chat.completions.create(model=models[0], messages=messages, n=2)
    raise AssertionError("n=2 answered")
except openai.BadRequestError as error:
    assert error.param == "n", error.body
try:
    client.chat.completions.create(model=models[0], messages=[{"role": "user", "content": "word " * 60000}])
    raise AssertionError("a prompt that is too long answered")
except openai.BadRequestError as error:
    assert error.type == "exceed_context_size_error", error.body
print("ok: openai", openai.__version__)
