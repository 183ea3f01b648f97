#!/usr/bin/env python3
"""An unmodified openai client talks to a daemon."""

import openai
from daemon_side import MESSAGES, arguments, fill_the_queue, wait_until_nothing_runs

asked = arguments()
client = openai.OpenAI(base_url=asked.base_url, api_key=asked.key, max_retries=0, timeout=120)

listed = [model.id for model in client.models.list()]
assert asked.model in listed, listed
assert client.models.retrieve(asked.model).id == asked.model

settings = {"model": asked.model, "max_tokens": 16, "temperature": 0, "seed": 1}
whole = client.chat.completions.create(messages=MESSAGES, **settings)
text = whole.choices[0].message.content
assert whole.usage.completion_tokens > 0 and whole.choices[0].finish_reason in ("stop", "length")

pieces, usage = [], None
stream = client.chat.completions.create(messages=MESSAGES, stream=True, stream_options={"include_usage": True}, **settings)
for chunk in stream:
    if chunk.usage:
        usage = chunk.usage
    for choice in chunk.choices:
        pieces.append(choice.delta.content or "")
assert "".join(pieces) == text, (pieces, text)
assert usage.completion_tokens == whole.usage.completion_tokens

completion = client.completions.create(prompt="Once", **settings)
assert completion.choices[0].text
several = client.completions.create(prompt=["Once", "A dog"], n=2, **settings)
assert [choice.index for choice in several.choices] == [0, 1, 2, 3], several
assert several.choices[0].text == several.choices[1].text == completion.choices[0].text, several

# A client that leaves in the middle.
with client.chat.completions.create(model=asked.slow, messages=MESSAGES, stream=True, max_tokens=1500,
                                    extra_body={"ignore_eos": True}) as stream:
    next(iter(stream))
wait_until_nothing_runs(asked)

if asked.embeds:  # it asks for base64 by itself
    vectors = [row.embedding for row in client.embeddings.create(model=asked.embeds, input=["a dog", "a cat"]).data]
    assert len(vectors) == 2 and len(vectors[0]) == len(vectors[1]) > 1
    floats = client.embeddings.create(model=asked.embeds, input="a dog", encoding_format="float").data[0].embedding
    assert max(abs(a - b) for a, b in zip(vectors[0], floats)) < 1e-6

try:
    client.chat.completions.create(model="nothing", messages=MESSAGES)
    raise AssertionError("a model that is not there answered")
except openai.NotFoundError as error:
    assert error.code == "model_not_found", error.body
try:
    client.chat.completions.create(messages=MESSAGES, n=17, **settings)
    raise AssertionError("n=17 answered")
except openai.BadRequestError as error:
    assert error.param == "n", error.body
try:
    client.chat.completions.create(model=asked.model, messages=[{"role": "user", "content": "word " * 60000}])
    raise AssertionError("a prompt that is too long answered")
except openai.BadRequestError as error:
    assert error.type == "exceed_context_size_error", error.body
try:
    client.with_options(api_key="wrong").chat.completions.create(messages=MESSAGES, **settings)
    raise AssertionError("a wrong key answered")
except openai.AuthenticationError as error:
    assert error.code == "invalid_api_key", error.body

fill_the_queue()
again = client.with_options(max_retries=openai.DEFAULT_MAX_RETRIES).chat.completions.create(messages=MESSAGES, **settings)
assert again.choices[0].message.content == text
print("ok: openai", openai.__version__)
