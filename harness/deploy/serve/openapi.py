"""The OpenAPI 3.1 document of a service, made from the schema of its bundle."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from importlib.metadata import version
from typing import Any

from harness.deploy.bundle import Bundle
from harness.deploy.schema import Feature, Schema
from harness.deploy.serve.requests import CSV, JSON, MAX_ROWS

MAX_EXPLAINED_ROWS = 20
MAX_DESCRIBED_LEVELS = 30
ERRORS = {
    400: "Not JSON, broken CSV, or not UTF-8",
    401: "The token is missing or wrong",
    408: "The body did not come in time",
    413: "The body is too large",
    415: "Neither JSON nor CSV",
    422: "A column is missing, or a value is of a wrong type: `field` and `row` say which",
    503: "Too much is waiting already",
}
STRING: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "number"}
INTEGER: dict[str, Any] = {"type": "integer"}
OBJECT_SCHEMA: dict[str, Any] = {"type": "object"}
STRING_OR_NULL: dict[str, Any] = {"type": ["string", "null"]}
#: An image of one pixel.
GREY_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="


def make_openapi_document(bundle: Bundle) -> dict[str, Any]:
    """Return the OpenAPI document of a bundle's service.

    Parameters
    ----------
    bundle : Bundle
        The bundle that is served.

    Returns
    -------
    dict
        Plain values for JSON.
    """
    manifest, schema = bundle.manifest, bundle.schema
    title = manifest.get("title") or manifest["task"]
    description = (
        f"Answers of `{manifest['entry']}`, learnt from {schema.rows:,} rows: which of {', '.join(schema.classes)} a row is. "
        "Values that training did not know, missing ones and those beyond its range are answered and flagged."
    )
    metrics = _describe_operation("metrics", "Counts, in Prometheus' text format", STRING, {401})
    metrics["responses"]["200"]["content"] = {"text/plain": {"schema": STRING}}
    predict_summary = f"Answers to 1 to {MAX_ROWS:,} rows"
    explain_summary = f"Answers to 1 to {MAX_EXPLAINED_ROWS} rows, with reasons"
    drift_summary = "Whether rows look as they did in training"
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version("evenhand"), "description": description},
        "paths": {
            "/predict": {"post": _describe_row_operation("predict", predict_summary, schema, MAX_ROWS, "Answers")},
            "/explain": {
                "post": _describe_row_operation("explain", explain_summary, schema, MAX_EXPLAINED_ROWS, "Explained")
            },
            "/schema": {"get": _describe_operation("schema", "The rows that are taken", OBJECT_SCHEMA, {401})},
            "/drift": {"get": _describe_operation("drift", drift_summary, _schema_reference("Drift"), {401})},
            "/metrics": {"get": metrics},
            "/health": {"get": _describe_operation("health", "Whether the service lives", _schema_reference("State"))},
            "/ready": {
                "get": _describe_operation("ready", "Whether it takes requests", _schema_reference("State"), {503})
            },
        },
        "components": {
            "schemas": _openapi_component_schemas(schema),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def example_row(schema: Schema) -> dict[str, Any]:
    """Return a row that can be sent to the service: medians, and the most frequent categories."""
    return dict(
        zip((feature.name for feature in schema.features), map(_example_value_of_column, schema.features), strict=True)
    )


def _describe_row_operation(name: str, summary: str, schema: Schema, max_rows: int, response: str) -> dict[str, Any]:
    """Describe an operation that takes rows and returns the component schema `response`."""
    row_example = example_row(schema)
    rows = {"type": "array", "minItems": 1, "maxItems": max_rows, "items": _schema_reference("Row")}
    json_body_schema = {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {"rows": rows},
    }
    content_types: dict[str, Any] = {JSON: {"schema": json_body_schema, "example": {"rows": [row_example]}}}
    if schema.modality != "image":
        content_types[CSV] = {"schema": STRING, "example": _row_to_csv(row_example)}
    openapi_operation = _describe_operation(name, summary, _schema_reference(response), ERRORS)
    return openapi_operation | {"requestBody": {"required": True, "content": content_types}}


def _describe_operation(
    name: str, summary: str, schema: Mapping[str, Any], errors: Collection[int] = ()
) -> dict[str, Any]:
    response_descriptions: dict[str, Any] = {"200": {"description": "As asked", "content": {JSON: {"schema": schema}}}}
    for status in sorted(errors):
        description, component_name = ERRORS[status], "Problem"
        if name == "ready":
            description, component_name = "It is about to end", "State"
        error_content = {JSON: {"schema": _schema_reference(component_name)}}
        response_descriptions[str(status)] = {"description": description, "content": error_content}
    openapi_operation: dict[str, Any] = {"operationId": name, "summary": summary, "responses": response_descriptions}
    if 401 in errors:
        openapi_operation["security"] = [{"token": []}, {}]
    return openapi_operation


def _openapi_component_schemas(schema: Schema) -> dict[str, Any]:
    head_properties = {"bundle": STRING, "positive": STRING_OR_NULL, "threshold": {"type": ["number", "null"]}}
    probability_schema = {"type": "number", "minimum": 0, "maximum": 1}
    probability_note = "Of two classes that of the positive one, of several that of the one answered"
    unusual_values_schema = _array_schema(_object_schema({"field": STRING, "code": STRING, "what": STRING}))
    answer_properties = {
        "class": {"type": "string", "enum": list(schema.classes)},
        "probability": {**probability_schema, "description": probability_note},
        "probabilities": _object_schema(dict.fromkeys(schema.classes, probability_schema)),
        "flags": unusual_values_schema,
    }
    reason = _object_schema({"name": STRING, "value": STRING, "usual": STRING, "adds": NUMBER, "error": NUMBER})
    explanation_properties = {
        "class": STRING,
        "of": STRING,
        "probability": probability_schema,
        "base": NUMBER,
        "total": NUMBER,
        "reasons": _array_schema(reason),
        "flags": unusual_values_schema,
    }
    drift_schema = _object_schema({"name": STRING, "psi": NUMBER, "by_chance": NUMBER, "verdict": STRING})
    counts = {"rows": INTEGER, "training_rows": INTEGER, "fewest_rows": INTEGER}
    problem_properties = {"error": STRING, "field": STRING_OR_NULL, "row": {"type": ["integer", "null"]}}
    return {
        "Row": _object_schema({feature.name: _column_json_schema(feature) for feature in schema.features}),
        "Answers": _object_schema(
            head_properties
            | {"ignored": _array_schema(STRING), "rows": _array_schema(_object_schema(answer_properties))}
        ),
        "Explained": _object_schema(
            head_properties | {"scale": STRING, "rows": _array_schema(_object_schema(explanation_properties))}
        ),
        "Drift": _object_schema(counts | {"columns": _array_schema(drift_schema)}),
        "State": _object_schema({"status": STRING, "bundle": STRING}),
        "Problem": _object_schema(problem_properties),
    }


def _column_json_schema(feature: Feature) -> dict[str, Any]:
    """Describe the values of a column."""
    if feature.kind == "number":
        lowest_text, highest_text = feature.format_number(feature.low), feature.format_number(feature.high)
        return {"type": ["number", "null"], "description": f"In training {lowest_text} to {highest_text}"}
    if feature.kind == "date":
        low_date, high_date = _format_date(feature, feature.low), _format_date(feature, feature.high)
        return {**STRING_OR_NULL, "description": f"A date as in training, such as {low_date} to {high_date}"}
    if feature.kind == "category":
        levels = ", ".join(feature.levels[:MAX_DESCRIBED_LEVELS])
        if len(feature.levels) > MAX_DESCRIBED_LEVELS:
            levels += ", …"
        return {"type": ["string", "number", "boolean", "null"], "description": f"Known values: {levels}"}
    if feature.kind == "picture":
        return {"type": "string", "contentEncoding": "base64", "description": "A PNG or JPEG file"}
    return STRING_OR_NULL


def _example_value_of_column(feature: Feature) -> Any:
    if feature.kind == "number":
        return None if feature.median is None else float(feature.format_number(feature.median))
    if feature.kind == "date":
        return _format_date(feature, feature.median)
    if feature.kind == "category":
        return next(iter(feature.levels), None)
    return {"picture": GREY_PNG}.get(feature.kind, "The quick brown fox")


def _format_date(feature: Feature, days_since_epoch: float | None) -> str | None:
    """Format days since 1970 as a date, in the order in which the training data had it."""
    if days_since_epoch is None:
        return None
    year, month, day = feature.format_number(days_since_epoch).split("-")
    formats = {"day first": f"{day}.{month}.{year}", "month first": f"{month}/{day}/{year}"}
    return formats.get(feature.written, f"{year}-{month}-{day}")


def _row_to_csv(row: Mapping[str, Any]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([row.keys(), row.values()])  # None is written as an empty cell
    return file.getvalue()


def _object_schema(schema_properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(schema_properties), "properties": dict(schema_properties)}


def _array_schema(element_schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": element_schema}


def _schema_reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
