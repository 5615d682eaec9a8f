"""Rendering of report content as Markdown, HTML and CSV."""
