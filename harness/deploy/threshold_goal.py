"""The threshold goal of a bundle: measured in the splits of the run, stored in the manifest, said in card and summary."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from harness.deploy.bundle import DECISION_COSTS
from harness.deploy.run_entry import RunEntry
from harness.errors import EvenhandError
from harness.evaluation.threshold_goals import GoalResult, evaluate_goals
from harness.metrics.threshold import GOAL_AIMS, ThresholdGoal, goal_obstacle, parse_goal
from harness.report.render.cells import format_number
from harness.report.render.markdown import inline_code

#: Whether the sealed rows of the run kept what a threshold goal asks for.
GOAL_OUTCOMES = {
    "met": "The goal was met there.",
    "within_error": "The goal was missed there, by no more than chance may explain.",
    "missed": "**The goal was missed there**, by more than chance explains: expect less than it promises.",
}
GOAL_MEASURE_NAMES = {
    "share": "share of rows predicted positive",
    "f1": "F1",
    "f_beta": "F score",
    "cost": "cost per decision",
}


def measure_entry_goal(run_entry: RunEntry, goal: ThresholdGoal) -> GoalResult:
    """Measure a threshold goal of an entry in the splits of the run, without fitting anything.

    Raises
    ------
    EvenhandError
        If the goal makes no sense for the task, or no split reaches it on its inner rows.
    """
    scores, task = run_entry.scores, run_entry.task_name
    goal_obstacle_text = goal_obstacle(goal, len(scores.classes(task)), scores.costs(task))
    if goal_obstacle_text:
        raise EvenhandError(f"the threshold goal {goal.text!r} makes no sense for task {task!r}: {goal_obstacle_text}")
    goal_result = evaluate_goals(run_entry.store, scores, task, [run_entry.entry], [goal])[0]
    if goal_result.outcome == "unreached":
        raise EvenhandError(
            f"the threshold goal {goal.text!r} is reached in no split of {run_entry.entry.name}: on inner rows the nearest threshold "
            f"has {goal_result.measure} {goal_result.promised:.3f}; choose a lower level"
        )
    return goal_result


def goal_manifest_fields(run_entry: RunEntry, result: GoalResult | None) -> dict[str, Any]:
    """The fields of the manifest that say what a threshold goal promised and attained in the splits of the run."""
    if result is None:
        return {}
    manifest_fields: dict[str, Any] = {"goal": result.goal.text, "measure": result.measure, "outcome": result.outcome}
    manifest_fields |= {"promised": result.promised, "level": result.level}
    manifest_fields["attained"] = {
        name: asdict(interval) for name, interval in result.attained.items() if not math.isnan(interval.value)
    }
    if len(run_entry.scores.classes(run_entry.task_name)) > 2:
        return {"threshold_goal": manifest_fields, DECISION_COSTS: run_entry.task_metadata["costs"]}
    return {"threshold_goal": manifest_fields}


def summarize_goal_result(manifest: Mapping[str, Any]) -> str:
    """Say in one line what the threshold goal of a bundle promised and attained; empty without a goal."""
    goal = manifest.get("threshold_goal")
    if not goal:
        return ""
    interval = goal["attained"].get(goal["measure"])
    attained = "not defined on sealed rows"
    if interval:
        attained = f"{interval['value']:.3f} on sealed rows ({interval['low']:.3f} to {interval['high']:.3f})"
    return f"threshold goal {goal['goal']}: {goal['measure']} {goal['promised']:.3f} on inner rows, {attained}\n\n"


def describe_goal_threshold(manifest: Mapping[str, Any]) -> str:
    """The threshold of a goal, what it promised on inner rows and what the sealed rows of the run gave; empty without a goal."""
    goal = manifest.get("threshold_goal")
    if not goal:
        return ""
    aim = GOAL_AIMS[parse_goal(goal["goal"]).kind]
    rule = "The class of the least expected cost is taken"
    if manifest["threshold"] is not None:
        positive_class = inline_code(manifest["positive"])
        rule = (
            f"A row is predicted as {positive_class} where its probability is at least **{manifest['threshold']:.6g}**"
        )
    attained_texts = []
    for name, interval in goal["attained"].items():
        interval_text = f"{format_number(interval['low'])} to {format_number(interval['high'])}"
        attained_texts.append(
            f"{GOAL_MEASURE_NAMES.get(name, name)} {format_number(interval['value'])} ({interval_text})"
        )
    goal_outcome_text = GOAL_OUTCOMES[goal["outcome"]]
    return (
        f"{rule}. That is the goal {inline_code(goal['goal'])}: {aim}, chosen on inner out-of-fold rows and by the same rule in every "
        f"split. On the inner rows of the run it promised {GOAL_MEASURE_NAMES.get(goal['measure'], goal['measure'])} "
        f"{format_number(goal['promised'])}; on its sealed test rows it gave, with 95 % intervals, {'; '.join(attained_texts)}. "
        f"{goal_outcome_text} Decisions in the table above are at the thresholds that the run chose, not at this goal's."
    )
