#!/usr/bin/env python3
"""An unmodified langchain-openai talks to a daemon."""

from importlib.metadata import version

from daemon_side import arguments, fill_the_queue, wait_until_nothing_runs
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

asked = arguments()


def chat(**more):
    settings = {"base_url": asked.base_url, "api_key": asked.key, "model": asked.model, "max_tokens": 16,
                "temperature": 0, "seed": 1, "max_retries": 0}
    return ChatOpenAI(**settings | more)


whole = chat().invoke("Once upon a time")
assert whole.content and whole.usage_metadata["output_tokens"] > 0, whole

pieces = list(chat(stream_usage=True).stream("Once upon a time"))
assert "".join(piece.content for piece in pieces) == whole.content, pieces
assert [piece.usage_metadata for piece in pieces if piece.usage_metadata][-1]["output_tokens"] == \
    whole.usage_metadata["output_tokens"]

conversation = [("system", "You tell stories."), ("human", "Once"), ("ai", "upon a time"), ("human", "there was")]
assert all(answer.content for answer in chat().batch([conversation] * 4))

# A client that leaves in the middle.
stream = chat(model=asked.slow, max_tokens=1500, extra_body={"ignore_eos": True}).stream("Once upon a time")
next(stream)
stream.close()
wait_until_nothing_runs(asked)

if asked.embeds:
    # Else it counts tokens with a vocabulary of another maker, which it fetches, and sends these tokens.
    embeddings = OpenAIEmbeddings(base_url=asked.base_url, api_key=asked.key, model=asked.embeds,
                                  check_embedding_ctx_length=False)
    vectors = embeddings.embed_documents(["a dog", "a cat"])
    assert len(vectors) == 2 and embeddings.embed_query("a dog") == vectors[0]

fill_the_queue()
assert chat(max_retries=2).invoke("Once upon a time").content == whole.content
print("ok: langchain-openai", version("langchain-openai"))
