"""Explanations with numbers: `evenhand explain backprop` shows how a network learns."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UnknownNameError
from harness.registry.registry import suggestion

TOPICS = {"backprop": "how a network learns: forward pass, gradients and descent, with numbers"}


def list_topics() -> str:
    """List the topics, one per line."""
    return "\n".join(f"{name:10}{description}" for name, description in TOPICS.items())


def explain_topic(topic: str, out: Path | None = None) -> str:
    """Explain a topic.

    Parameters
    ----------
    topic : str
        A name in `TOPICS`.
    out : Path, optional
        Folder to write the text and a figure to as well.

    Returns
    -------
    str
        The text, followed by the paths of the files or a hint how to write them.

    Raises
    ------
    UnknownNameError
        If there is no such topic.
    StoreError
        If `out` cannot be written.
    """
    if topic not in TOPICS:
        raise UnknownNameError(f"unknown topic {topic!r}: {suggestion(topic, TOPICS)} (evenhand explain)")
    from harness.networks.rows import one_thread
    from harness.networks.walkthrough import describe, draw_figure, train_on_spirals
    from harness.store.files import write_atomic

    with one_thread():
        lesson = train_on_spirals()
        text = describe(lesson)
    if out is None:
        return f"{text}\n\nWith --out FOLDER as files, with a figure."
    text_file, figure_file = out / f"{topic}.txt", out / f"{topic}.png"
    write_atomic(text_file, f"{text}\n".encode())
    with one_thread():
        write_atomic(figure_file, draw_figure(lesson))
    return f"{text}\n\n{text_file}\n{figure_file}"
