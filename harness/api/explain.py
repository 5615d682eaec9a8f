"""Walk-throughs for readers: `evenhand explain backprop` shows with numbers how a network learns."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UnknownNameError
from harness.registry.registry import closest

#: What can be explained.
TOPICS = {"backprop": "how a network learns: forward pass, gradients and descent, with numbers"}


def topics() -> str:
    """What can be explained, one line each."""
    return "\n".join(f"{name:10}{description}" for name, description in TOPICS.items())


def explain(topic: str, out: Path | None = None) -> str:
    """The walk-through of a topic; with `out` it is also written there, with a picture.

    Raises `UnknownNameError` for a topic that is not there, `StoreError` where `out` cannot be written.
    """
    if topic not in TOPICS:
        raise UnknownNameError(f"unknown topic {topic!r}: {closest(topic, TOPICS)} (evenhand explain)")
    from harness.networks.rows import one_thread
    from harness.networks.walkthrough import draw, learn, tell
    from harness.store.files import write_atomic

    with one_thread():
        lesson = learn()
        text = tell(lesson)
    if out is None:
        return f"{text}\n\nWith --out FOLDER as files, with a picture."
    written = out / f"{topic}.txt"
    write_atomic(written, f"{text}\n".encode())
    with one_thread():
        write_atomic(written.with_suffix(".png"), draw(lesson))
    return f"{text}\n\n{written}\n{written.with_suffix('.png')}"
