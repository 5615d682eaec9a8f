"""What goes back: answers, reasons and problems, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json
from starlette.responses import Response

if TYPE_CHECKING:
    from harness.deploy.bundle import Bundle
    from harness.deploy.insights.shapley import Reasons
    from harness.deploy.serve.batching import Answer

DIGITS = 6


def problem(
    status: int,
    error: str,
    field: str | None = None,
    row: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Why a request was not answered; `field` and `row` say where in it."""
    return as_json({"error": error, "field": field, "row": row}, status, headers)


def as_json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response in JSON that nobody keeps."""
    body = content if isinstance(content, bytes) else to_json(content)
    kept = {"cache-control": "no-store", **(headers or {})}
    return Response(body, status, kept, media_type="application/json")


def answered(bundle: Bundle, answer: Answer, ignored: Sequence[str]) -> bytes:
    """The answers to one request, as JSON."""
    names = [_text(name) for name in bundle.schema.classes]
    each = answer.proba.round(DIGITS).T.tolist()
    chances = each[1] if len(names) == 2 else answer.proba.max(axis=1).round(DIGITS).tolist()
    # One template for all rows: making an object of each and writing those took four times as long.
    of_classes = ",".join(name.replace("%", "%%") + ":%r" for name in names)
    row = '{"class":%s,"probability":%r,"probabilities":{' + of_classes + '},"flags":%s}'
    flags = [_flags(answer.flags[i]) if i in answer.flags else "[]" for i in range(len(answer.decided))]
    called = [names[position] for position in answer.decided.tolist()]
    rows = ",".join([row % values for values in zip(called, chances, *each, flags, strict=True)])
    head = to_json(_head(bundle) | {"ignored": list(ignored)})
    return head[:-1] + b',"rows":[' + rows.encode() + b"]}"


def _text(value: str) -> str:
    return to_json(value).decode()


def _flags(flags: Sequence[tuple[str, str]]) -> str:
    return to_json([{"field": field, "what": what} for field, what in flags]).decode()


def explained(bundle: Bundle, answer: Answer, why: Sequence[Reasons]) -> dict[str, Any]:
    """The reasons of a few rows: what each column, word or square adds to the log-odds of a class."""
    rows = []
    for i, one in enumerate(why):
        position = int(answer.decided[i])
        flags = [{"field": field, "what": what} for field, what in answer.flags.get(i, ())]
        reasons = [
            {
                "name": one.names[j],
                "value": one.shown[j],
                "usual": one.usual[j],
                "adds": round(one.values[j], DIGITS),
                "error": round(one.errors[j], DIGITS),
            }
            for j in sorted(range(len(one.names)), key=lambda j, values=one.values: -abs(values[j]))  # type: ignore[misc]
        ]
        rows.append(
            {
                "class": bundle.schema.classes[position],
                "of": bundle.schema.classes[one.position],
                "probability": round(float(answer.proba[i, one.position]), DIGITS),
                "base": round(one.base, DIGITS),
                "total": round(one.total, DIGITS),
                "reasons": reasons,
                "flags": flags,
            }
        )
    return _head(bundle) | {"scale": "log-odds", "rows": rows}


def _head(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "bundle": bundle.id,
        "positive": manifest.get("positive"),
        "threshold": bundle.threshold,
    }
