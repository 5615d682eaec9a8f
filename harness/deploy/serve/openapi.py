"""What the service takes and gives, described from the bundle's own schema in OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from harness.deploy.serve.requests import CSV, JSON, MOST_ROWS

if TYPE_CHECKING:
    from harness.deploy.bundle import Bundle
    from harness.deploy.schema import Feature, Schema

MOST_EXPLAINED = 20
MOST_LEVELS = 30  #: named in a description
WRONG = {
    400: "Not JSON, broken CSV, or not UTF-8",
    401: "The token is missing or wrong",
    408: "The body did not come in time",
    413: "The body is too large",
    415: "Neither JSON nor CSV",
    422: "A column is missing, or a value is of a wrong type: `field` and `row` say which",
    503: "Too much is waiting already",
}
TEXT: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "number"}
LIST_OF_TEXT: dict[str, Any] = {"type": "array", "items": TEXT}
FREE: dict[str, Any] = {"type": "object"}


def describe_service(bundle: Bundle) -> dict[str, Any]:
    """The OpenAPI document of a bundle's service."""
    manifest, schema = bundle.manifest, bundle.schema
    title = manifest.get("title") or manifest["task"]
    about = (
        f"Answers of `{manifest['entry']}`, learnt from {schema.rows:,} rows: which of {', '.join(schema.classes)} a row is. "
        "Values that training did not know, missing ones and those beyond its range are answered and flagged."
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version("evenhand"), "description": about},
        "paths": {
            "/predict": {"post": _asked("predict", f"Answers to 1 to {MOST_ROWS:,} rows", schema, MOST_ROWS)},
            "/explain": {
                "post": _asked(
                    "explain", f"Answers to 1 to {MOST_EXPLAINED} rows, with reasons", schema, MOST_EXPLAINED
                )
            },
            "/schema": {"get": _told("schema", "The rows that are taken", FREE, {401})},
            "/drift": {"get": _told("drift", "Whether rows look as they did in training", _ref("Drift"), {401})},
            "/metrics": {"get": _metrics()},
            "/health": {"get": _told("health", "Whether the service lives", _ref("State"))},
            "/ready": {"get": _told("ready", "Whether it takes requests", _ref("State"), {503})},
        },
        "components": {
            "schemas": _schemas(schema),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _asked(name: str, summary: str, schema: Schema, most: int) -> dict[str, Any]:
    rows = {"type": "array", "minItems": 1, "maxItems": most, "items": _ref("Row")}
    content: dict[str, Any] = {
        JSON: {
            "schema": {
                "type": "object",
                "required": ["rows"],
                "additionalProperties": False,
                "properties": {"rows": rows},
            },
            "example": {"rows": [example(schema)]},
        }
    }
    if schema.modality != "image":
        content[CSV] = {"schema": TEXT, "example": _as_csv(example(schema))}
    told = _told(name, summary, _ref("Answers" if name == "predict" else "Explained"), set(WRONG))
    return told | {"requestBody": {"required": True, "content": content}}


def _told(name: str, summary: str, schema: Mapping[str, Any], wrong: set[int] | None = None) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "As asked", "content": {JSON: {"schema": schema}}}}
    for status in sorted(wrong or ()):
        described = "It is about to end" if name == "ready" else WRONG[status]
        problem = {JSON: {"schema": _ref("State" if name == "ready" else "Problem")}}
        responses[str(status)] = {"description": described, "content": problem}
    told: dict[str, Any] = {"operationId": name, "summary": summary, "responses": responses}
    return told | ({"security": [{"token": []}, {}]} if 401 in (wrong or ()) else {})


def _metrics() -> dict[str, Any]:
    told = _told("metrics", "Counts, in Prometheus' text format", TEXT, {401})
    told["responses"]["200"]["content"] = {"text/plain": {"schema": TEXT}}
    return told


def _schemas(schema: Schema) -> dict[str, Any]:
    columns = {one.name: _value(one) for one in schema.features}
    flag = _object({"field": TEXT, "what": TEXT})
    head = {"bundle": TEXT, "positive": {"type": ["string", "null"]}, "threshold": {"type": ["number", "null"]}}
    chance = {"type": "number", "minimum": 0, "maximum": 1}
    answer = {
        "class": {"type": "string", "enum": list(schema.classes)},
        "probability": chance
        | {"description": "Of two classes that of the positive one, of several that of the one answered"},
        "probabilities": _object(dict.fromkeys(schema.classes, chance)),
        "flags": {"type": "array", "items": flag},
    }
    reason = _object({"name": TEXT, "value": TEXT, "usual": TEXT, "adds": NUMBER, "error": NUMBER})
    why = {
        "class": TEXT,
        "of": TEXT,
        "probability": chance,
        "base": NUMBER,
        "total": NUMBER,
        "reasons": {"type": "array", "items": reason},
        "flags": {"type": "array", "items": flag},
    }
    seen = _object({"name": TEXT, "psi": NUMBER, "by_chance": NUMBER, "verdict": TEXT})
    whole = {"type": "integer"}
    return {
        "Row": {"type": "object", "required": list(columns), "properties": columns},
        "Answers": _object(head | {"ignored": LIST_OF_TEXT, "rows": {"type": "array", "items": _object(answer)}}),
        "Explained": _object(head | {"scale": TEXT, "rows": {"type": "array", "items": _object(why)}}),
        "Drift": _object(
            {"rows": whole, "training_rows": whole, "fewest_rows": whole, "columns": {"type": "array", "items": seen}}
        ),
        "State": _object({"status": TEXT, "bundle": TEXT}),
        "Problem": _object(
            {"error": TEXT, "field": {"type": ["string", "null"]}, "row": {"type": ["integer", "null"]}}
        ),
    }


def _value(one: Feature) -> dict[str, Any]:
    """What a column's value may be."""
    if one.kind == "number":
        return {"type": ["number", "null"], "description": f"In training {one.shown(one.low)} to {one.shown(one.high)}"}
    if one.kind == "date":
        said = f"A date as in training, such as {_day(one, one.low)} to {_day(one, one.high)}"
        return {"type": ["string", "null"], "description": said}
    if one.kind == "category":
        levels = ", ".join(one.levels[:MOST_LEVELS]) + (", …" if len(one.levels) > MOST_LEVELS else "")
        return {"type": ["string", "number", "boolean", "null"], "description": f"Known values: {levels}"}
    if one.kind == "picture":
        return {"type": "string", "contentEncoding": "base64", "description": "A PNG or JPEG file"}
    return {"type": ["string", "null"]}


def example(schema: Schema) -> dict[str, Any]:
    """A row as one may send it: medians and commonest values."""
    return {one.name: _usual(one) for one in schema.features}


def _usual(one: Feature) -> Any:
    if one.kind == "number":
        return None if one.median is None else float(one.shown(one.median))
    if one.kind == "date":
        return _day(one, one.median)
    if one.kind == "category":
        return one.levels[0] if one.levels else None
    return GREY_DOT if one.kind == "picture" else "The quick brown fox"


#: A grey picture of one pixel.
GREY_DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="


def _day(one: Feature, value: float | None) -> str | None:
    """A day in the order in which training wrote it."""
    if value is None:
        return None
    year, month, day = one.shown(value).split("-")
    orders = {"day first": f"{day}.{month}.{year}", "month first": f"{month}/{day}/{year}"}
    return orders.get(one.written, f"{year}-{month}-{day}")


def _as_csv(row: Mapping[str, Any]) -> str:
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([row.keys(), ["" if value is None else value for value in row.values()]])
    return out.getvalue()


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": dict(properties)}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
