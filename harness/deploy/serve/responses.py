"""Responses in JSON: predictions, explanations and errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from harness.deploy.bundle import Bundle
from harness.deploy.insights.shapley import ShapleyValues
from harness.deploy.serve.batching import BatchAnswer
from harness.deploy.validate import UnusualValue

DECIMALS = 6


def error_response(
    status: int, error: str, field: str | None = None, row: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return why a request is not answered; `field` and `row` say where in the request the error is."""
    return json_response({"error": error, "field": field, "row": row}, status, headers)


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response in JSON that is not cached; bytes are taken for JSON."""
    body_bytes = content if isinstance(content, bytes) else to_json(content)
    return Response(body_bytes, status, {"cache-control": "no-store", **(headers or {})}, media_type="application/json")


def predictions_to_json(bundle: Bundle, answer: BatchAnswer, ignored: Sequence[str]) -> bytes:
    """Write the predictions of one request as JSON.

    Parameters
    ----------
    bundle : Bundle
        Gives the names of the classes.
    answer : BatchAnswer
        The predictions.
    ignored : sequence of str
        Columns of the request that the model does not read.

    Returns
    -------
    bytes
        The document.
    """
    names = [to_json(name).decode() for name in bundle.schema.classes]
    proba_by_class = answer.proba.round(DECIMALS).T.tolist()
    probabilities = proba_by_class[1] if len(names) == 2 else answer.proba.max(axis=1).round(DECIMALS).tolist()
    # One template for all rows: building an object per row and serializing it took four times as long.
    members = ",".join(name.replace("%", "%%") + ":%r" for name in names)
    template = '{"class":%s,"probability":%r,"probabilities":{' + members + '},"flags":%s}'
    flag_texts = ["[]"] * len(answer.decided)
    for row, row_flags in answer.flags.items():
        flag_texts[row] = to_json(_flags_to_json(row_flags)).decode()
    decided_classes = map(names.__getitem__, answer.decided.tolist())
    rows = ",".join(
        map(template.__mod__, zip(decided_classes, probabilities, *proba_by_class, flag_texts, strict=True))
    )
    json_head = to_json(_response_header_fields(bundle) | {"ignored": list(ignored)})
    return json_head[:-1] + b',"rows":[' + rows.encode() + b"]}"


def explanations_to_json(bundle: Bundle, answer: BatchAnswer, explained: Iterable[ShapleyValues]) -> dict[str, Any]:
    """Return the explanations of a few rows: contributions of columns, words or patches to the log-odds of a class.

    Parameters
    ----------
    bundle : Bundle
        Gives the names of the classes.
    answer : BatchAnswer
        Predictions of the rows.
    explained : iterable of ShapleyValues
        One per row.

    Returns
    -------
    dict
        Plain values for JSON; the reasons of each row are sorted by size, largest first.
    """
    classes = bundle.schema.classes
    rows = []
    for row, shapley in enumerate(explained):
        texts = (shapley.names, shapley.row_values, shapley.references)
        contributions = zip(*texts, shapley.contributions, shapley.errors, strict=True)
        reasons = []
        for name, row_value, reference_value, contribution, error in sorted(
            contributions, key=_largest_contribution_first_key
        ):
            sizes = {"adds": round(contribution, DECIMALS), "error": round(error, DECIMALS)}
            reasons.append({"name": name, "value": row_value, "usual": reference_value, **sizes})
        rows.append(
            {
                "class": classes[answer.decided[row]],
                "of": classes[shapley.class_index],
                "probability": round(float(answer.proba[row, shapley.class_index]), DECIMALS),
                "base": round(shapley.base, DECIMALS),
                "total": round(shapley.total, DECIMALS),
                "reasons": reasons,
                "flags": _flags_to_json(answer.flags.get(row, ())),
            }
        )
    return _response_header_fields(bundle) | {"scale": "log-odds", "rows": rows}


def _largest_contribution_first_key(contribution: tuple[str, str, str, float, float]) -> float:
    return -abs(contribution[3])


def _flags_to_json(unusual_values: Sequence[UnusualValue]) -> list[dict[str, str]]:
    return [
        {"field": unusual_value.column, "code": unusual_value.code, "what": unusual_value.message}
        for unusual_value in unusual_values
    ]


def _response_header_fields(bundle: Bundle) -> dict[str, Any]:
    return {"bundle": bundle.id, "positive": bundle.manifest.get("positive"), "threshold": bundle.threshold}
