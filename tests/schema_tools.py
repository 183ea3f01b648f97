"""Whether JSON is what a schema of docs/openapi.json says, whole: a member that it does not name is a fault, too."""

import json
import os
from pathlib import Path

DOCUMENT = json.loads((Path(os.environ["CHOIR_REPO"]) / "docs" / "openapi.json").read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]

KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
         "null": type(None)}


def is_kind(value, kind):
    return isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def resolved(schema):
    """With what it refers to, and the parts of allOf, in one."""
    if "$ref" in schema:
        return resolved(SCHEMAS[schema["$ref"].removeprefix("#/components/schemas/")])
    parts = [resolved(part) for part in schema.get("allOf", [])]
    if not parts:
        return schema
    whole = {key: value for key, value in schema.items() if key != "allOf"}
    for part in parts:
        whole["required"] = part.get("required", []) + whole.get("required", [])
        whole["properties"] = part.get("properties", {}) | whole.get("properties", {})
        whole |= {key: part[key] for key in ("additionalProperties",) if key in part}
    return whole


def faults(value, schema, at=""):
    """Sentences, each with a JSON pointer; none where all is well."""
    schema = resolved(schema)
    for choice in ("oneOf", "anyOf"):
        if choice in schema:
            found = [faults(value, one, at) for one in schema[choice]]
            return min(found, key=len)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(is_kind(value, kind) for kind in kinds):
        return [f"{at}: {value!r} is none of {kinds}"]
    if value not in schema.get("enum", [value]) or value != schema.get("const", value):
        return [f"{at}: {value!r} is not one of its values"]
    if isinstance(value, list):
        each = schema.get("prefixItems") or [schema.get("items", {})] * len(value)
        if len(each) != len(value):
            return [f"{at}: it has {len(value)} items instead of {len(each)}"]
        return [fault for i, (item, one) in enumerate(zip(value, each, strict=True)) for fault in faults(item, one, f"{at}/{i}")]
    if isinstance(value, dict) and ("properties" in schema or "additionalProperties" in schema):
        return object_faults(value, schema, at)
    return []


def object_faults(value, schema, at):
    named = schema.get("properties", {})
    others = schema.get("additionalProperties")
    found = [f"{at}: '{name}' is missing" for name in schema.get("required", []) if name not in value]
    for name, member in value.items():
        if name not in named and others is None:
            found.append(f"{at}: '{name}' is not in the schema")
        else:
            found += faults(member, named.get(name, others if isinstance(others, dict) else {}), f"{at}/{name}")
    return found


def reply_faults(value, method, path):
    """Of an answer with status 200 to this operation of the document."""
    content = DOCUMENT["paths"][path][method]["responses"]["200"]["content"]
    return faults(value, content["application/json"]["schema"])
