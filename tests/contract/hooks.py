"""Requests that reach the model: what a schema cannot know is put in its place before a request is sent.

A value that is as the schema wants it stays so, and one that is not stays wrong.
"""

import urllib.parse
import urllib.request

import schemathesis

MODEL = "stories260K"
TOKENS = 512  # of its vocabulary
SHORT = 8     # an answer
INT32 = 2**31 - 1
DEADLINE = 3600000  # the longest


def is_whole(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value // 1


def known_tokens(value):
    """The same with tokens that the model has."""
    if is_whole(value) and 0 <= value <= INT32:
        return int(value) % TOKENS
    if isinstance(value, dict) and "prompt_string" in value:
        return value | {"prompt_string": known_tokens(value["prompt_string"])}
    return [known_tokens(part) for part in value] if isinstance(value, list) else value


# Names of one field: given together, they have one value.
SAME = (
    (("max_tokens", "max_completion_tokens", "n_predict"), lambda value: is_whole(value) and (value == -1 or 1 <= value <= INT32)),
    (("n", "n_cmpl"), lambda value: is_whole(value) and 1 <= value <= 16),
    (("repeat_penalty", "repetition_penalty"),
     lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and 1e-6 <= value <= 10),
)


@schemathesis.hook
def before_call(context, case, kwargs):
    deadline = (case.headers or {}).get("x-deadline-ms")
    if str(deadline).isdecimal() and 1 <= int(deadline) <= DEADLINE:
        case.headers["x-deadline-ms"] = str(DEADLINE)  # a shorter one is 504
    body = case.body
    if not isinstance(body, dict):
        return
    body = dict(body)
    if isinstance(body.get("model"), str) and len(body["model"].encode()) <= 256:
        body["model"] = MODEL
    for name in ("max_tokens", "max_completion_tokens", "n_predict"):
        if is_whole(body.get(name)) and SHORT < body[name] <= INT32:
            body[name] = SHORT
    for names, is_right in SAME:
        given = [name for name in names if body.get(name) is not None]
        if all(is_right(body[name]) for name in given):
            body |= {name: body[given[0]] for name in given}
    if case.path.endswith(("/completions", "/completion")) and all(body.get(name) is None for name in SAME[0][0]):
        body["max_tokens"] = SHORT
    if "n_cmpl" in body and "n" not in body:
        body["n"] = body.pop("n_cmpl")
    if is_whole(body.get("best_of")) and 1 <= body["best_of"] <= 16:
        body["best_of"] = body["n"] if is_whole(body.get("n")) and 1 <= body["n"] <= 16 else 1
    for name in ("prompt", "tokens", "input"):
        if name in body:
            body[name] = known_tokens(body[name])
    case.body = body


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """A prompt may be longer than the context of the model; with strict_fields other fields than the document's are errors."""
    strict = isinstance(case.body, dict) and case.body.get("strict_fields") is True and "unknown_field" in response.text
    return not strict and "exceed_context_size_error" not in response.text


@schemathesis.hook
def after_call(context, case, response):
    """A model that is suspended would let all that follows wait."""
    if response.status_code != 200 or not case.path.endswith("/suspend"):
        return
    sent = urllib.parse.urlsplit(response.request.url)
    resume = sent._replace(path=sent.path.removesuffix("suspend") + "resume").geturl()
    key = response.request.headers["Authorization"]
    with urllib.request.urlopen(urllib.request.Request(resume, method="POST", headers={"Authorization": key}), timeout=30):
        pass
