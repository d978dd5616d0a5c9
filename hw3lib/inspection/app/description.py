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
    region: dict[str, Any] = {key: {"type": "integer"} for key in ("x", "y", "width", "height", "area")}
    region |= {"peak": number, "segmentation": {"type": ["array", "object"], "description": "as COCO has it"}}
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
        "verdict": {"enum": ["good", "anomalous", "implausible"], "description": "the last: see the warning"},
        "regions": {
            "type": "array",
            "items": {"type": "object", "properties": region, "required": [*region]},
            "description": "what is above the heat map's threshold, the highest peak first; of anomalous ones",
        },
        "drift": number | {"description": "evidence since the start that production has drifted; alarm at 10000"},
        **{key: text | {"description": "for people"} for key in ("judgement", "chance", "limit", "warning", "type")},
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
        "503": f"not inspected within {seconds:.0f} s, or the server is starting or ending; Retry-After as above",
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
            "description": "the file as it is, in one of the formats that `hw3 inspect score` reads, or one in a form",
            "content": {
                "*/*": {},
                "multipart/form-data": {
                    "schema": {"type": "object", "properties": {"photograph": {"contentMediaType": "image/*"}}}
                },
            },
        },
        "responses": {
            "200": json("what the detector says", {"type": "object", "properties": answer, "required": [*answer]}),
            **{status: json(what, error) for status, what in refusals.items()},
        },
    }
    count = {"type": "integer"}
    health = {"type": "object", "properties": {"status": text, "waiting": count, "answered": count}}
    ready = {"200": json("yes", health), "503": json("it is loading or ending", health)}
    metrics = {"200": {"description": "Prometheus's text format", "content": {"text/plain": {"schema": text}}}}
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "hw3 inspect serve", "version": hw3lib.__version__},
        "paths": {
            "/inspect": {"post": inspect},
            "/health": {"get": {"summary": "Does it inspect?", "responses": ready, "security": []}},
            "/metrics": {"get": {"summary": "Counts since the start", "responses": metrics}},
        },
    }
    if token:
        described["components"] = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
        described["security"] = [{"token": []}]
    return described
