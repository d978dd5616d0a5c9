"""The server's interface for programs, in OpenAPI's words."""

from __future__ import annotations

from typing import Any

import hw3lib

LARGEST = 30 * 10**6  # bytes of a photograph


def describe(token: bool, largest: int, queue: int, seconds: float) -> dict[str, Any]:
    """What programs may ask.

    Args:
        token: whether they must know one.
        largest: bytes of a photograph.
        queue: photographs that may wait.
        seconds: until an answer is given up.
    """
    number, text, picture = {"type": "number"}, {"type": "string"}, {"type": ["string", "null"]}
    answer = {
        "name": text | {"description": "as it was given"},
        "width": {"type": "integer", "description": "pixels"},
        "height": {"type": "integer", "description": "pixels"},
        "score": number | {"description": "the higher, the more unusual"},
        "threshold": number | {"description": "of the scores"},
        "anomalous": {"type": "boolean", "description": "whether the score is above the threshold"},
        "p_value": {
            "type": ["number", "null"],
            "description": "share of good products that look at least as unusual; null if the detector has changed",
        },
        "types": {
            "type": ["object", "null"],
            "additionalProperties": number,
            "description": "probability of each type of defect; null if the photograph is good, or none was learned",
        },
        "type_set": {
            "type": ["array", "null"],
            "items": text,
            "description": "types that it may be of, a conformal set; empty: a new one; null as above",
        },
        **{key: text for key in ("verdict", "chance", "limit", "warning", "type")},
        **{key: picture | {"description": "JPEG in base64, if asked for"} for key in ("photograph", "heat_map")},
    }
    error = {"type": "object", "properties": {"error": text}, "required": ["error"]}

    def json(what: str, schema: dict[str, Any]) -> dict[str, Any]:
        return {"description": what, "content": {"application/json": {"schema": schema}}}

    refusals = {
        "403": "no token, or not from this machine",
        "413": f"larger than {largest} bytes",
        "422": "no photograph that can be read",
        "429": f"{queue} photographs are waiting; Retry-After says for how many seconds to wait",
        "500": "the photograph could not be inspected",
        "503": f"not inspected within {seconds:.0f} s",
    }
    asked = {
        "name": text | {"description": "of the photograph, for messages"},
        "pictures": {"enum": ["0", "1"], "default": "0", "description": "1: with photograph and heat_map"},
    }
    inspect = {
        "summary": "Inspect a photograph",
        "parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in asked.items()],
        "requestBody": {
            "required": True,
            "description": "the file as it is, in one of the formats that `hw3 detect score` reads",
            "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
        },
        "responses": {
            "200": json("what the detector says", {"type": "object", "properties": answer, "required": [*answer]}),
            **{status: json(what, error) for status, what in refusals.items()},
        },
    }
    count = {"type": "integer"}
    health = {"type": "object", "properties": {"status": text, "waiting": count, "answered": count}}
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "hw3 app", "version": hw3lib.__version__},
        "paths": {
            "/inspect": {"post": inspect},
            "/health": {"get": {"summary": "Is it there?", "responses": {"200": json("yes", health)}, "security": []}},
        },
    }
    if token:
        described["components"] = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
        described["security"] = [{"token": []}]
    return described
