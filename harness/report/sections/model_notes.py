"""Findings about the entries of a task as notes below its tables."""

from __future__ import annotations

from harness.findings import Finding
from harness.report.content import Evidence
from harness.report.render.markdown import escape

MAX_OF_CODE = 3


def list_model_findings(evidence: Evidence, task: str) -> str:
    """List what is conspicuous in the results of a task, at most three findings of a kind; empty where nothing is."""
    findings_by_code: dict[str, list[Finding]] = {}
    for finding in evidence.findings.get(task, ()):
        findings_by_code.setdefault(finding.code, []).append(finding)
    lines = []
    for findings in findings_by_code.values():
        for finding in findings[:MAX_OF_CODE]:
            lines.append(f"- {escape(finding.message)}: {escape(finding.advice)}.")
        if len(findings) > MAX_OF_CODE:
            lines[-1] += f" The same holds for {len(findings) - MAX_OF_CODE} more."
    if not lines:
        return ""
    return "\n".join(["Conspicuous in these results:\n", *lines])
