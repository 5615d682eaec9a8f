"""A run as a value: its leaderboard, scores, configurations and predictions as data frames, its report, its models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api.run_tables import add_legend, collect_findings_frame, leaderboard_html
from harness.arguments import FLAG, NAME, NAMES, NUMBER, PATH, check_arguments, option_kind, whole_number_kind
from harness.errors import EvenhandError
from harness.registry.registry import Registry, suggest_similar_name

if TYPE_CHECKING:
    import pandas as pd

    from harness.api.dashboard import RunningDashboard
    from harness.api.exported_model import ExportedModel
    from harness.api.recommendation import TaskRecommendation
    from harness.evaluation.preferences import Preference
    from harness.evaluation.ranking import Ranking
    from harness.evaluation.scores import Entry, Scores
    from harness.store.store import Store


@dataclass(frozen=True)
class Run:
    """A stored run.

    `evenhand.benchmark` and `evenhand.open_run` return it. It is read once: open it again to see what has been added since.

    Attributes
    ----------
    folder : Path
        The folder of the run.
    """

    folder: Path
    registry: Registry = field(repr=False)
    pickled_declarations: str = field(default="", repr=False)

    @cached_property
    def _store(self) -> Store:
        from harness.store.store import Store

        return Store(self.folder)

    @cached_property
    def _scores(self) -> Scores:
        from harness.evaluation.score_collection import collect_scores

        return collect_scores(self._store, self.registry.metrics)

    @cached_property
    def _rankings(self) -> list[Ranking]:
        from harness.evaluation.ranking import rank_entries

        return [rank_entries(self._scores, task) for task in self.tasks]

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks."""
        return list(self._scores.run["tasks"])

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})\n\n{self.summary()}"

    @check_arguments(task=NAME)
    def summary(self, task: str | None = None) -> str:
        """Summarise the leaderboard of a task, or of every task, as text for a terminal."""
        from harness.report.sections.overview import summarize_for_terminal

        rankings = self._rankings if task is None else [self._rankings[self.tasks.index(self._resolve_task(task))]]
        return add_legend(summarize_for_terminal(self._scores, rankings))

    def _repr_html_(self) -> str:
        return leaderboard_html(self.leaderboard(), with_task=len(self.tasks) > 1)

    @check_arguments(task=NAME)
    def leaderboard(self, task: str | None = None) -> pd.DataFrame:
        """Rank the entries of a task, or of every task.

        Parameters
        ----------
        task : str, optional
            One task; all by default.

        Returns
        -------
        DataFrame
            A row per task and entry, by rank, with the columns of `leaderboard.csv`: decisions are made at the tuned
            threshold where there is one. Entries without a rank come last.
        """
        from harness.report.leaderboard import make_leaderboard_frame

        selected = self.tasks if task is None else [self._resolve_task(task)]
        rankings = [ranking for ranking in self._rankings if ranking.task in selected]
        board = make_leaderboard_frame(self._scores, rankings)
        row_order = board["task"].map(selected.index).to_frame("task").assign(rank=board["rank"].astype(float))
        return board.loc[row_order.sort_values(["task", "rank"], kind="stable").index].reset_index(drop=True)

    @check_arguments(task=NAME, prefer=option_kind("simple", "score"))
    def recommend(self, task: str | None = None, prefer: Preference | None = None) -> TaskRecommendation:
        """Recommend an entry of a task, with the evidence.

        Parameters
        ----------
        task : str, optional
            Name of the task; needed where the run has several.
        prefer : {"simple", "score"}, default as stored with the run, else "simple"
            Whether the simplest of the entries close to the best one is taken, or always the best one.

        Returns
        -------
        TaskRecommendation
            Prints as sentences; `entry` is the name of the entry, None where none is better than the baseline.
        """
        from harness.api.recommendation import make_recommendation

        return make_recommendation(self._scores, self._rankings[self.tasks.index(self._resolve_task(task))], prefer)

    @property
    def recommendation(self) -> TaskRecommendation:
        """What to use on the only task of the run; `recommend` does it where there are several."""
        return self.recommend()

    @property
    def best(self) -> str | None:
        """Name of the recommended entry of the only task; None where none is better than the baseline."""
        return self.recommend().entry

    @check_arguments(task=NAME)
    def importance(self, task: str | None = None) -> pd.DataFrame:
        """Look up which columns the recommended entry needs.

        Parameters
        ----------
        task : str, optional
            Name of the task; needed where the run has several.

        Returns
        -------
        DataFrame
            A row per column, the largest loss first: what the objective loses on sealed rows when the column is shuffled, with
            its 95 % interval. Empty where it was not measured.
        """
        import pandas as pd

        from harness.evaluation.permutation_importance import average_column_losses
        from harness.store.importances import read_importances

        name = self._resolve_task(task)
        stored = read_importances(self._store).get(name)
        losses = average_column_losses(stored) if stored else ()
        return pd.DataFrame(losses, columns=["column", "loss", "low", "high"])

    @check_arguments()
    def scores(self) -> pd.DataFrame:
        """Collect all scores: a row per task, entry, calibration, kind of threshold and split, a column per metric."""
        from harness.evaluation.frames import collect_score_frame

        return collect_score_frame(self._scores)

    @check_arguments(entry=NAME, task=NAME)
    def params(self, entry: str, task: str | None = None) -> pd.DataFrame:
        """Look up the hyperparameters of an entry, a row per split.

        Parameters
        ----------
        entry : str
            Name of the entry, such as ``"xgb/smote/tuned"``.
        task : str, optional
            Name of the task; needed where the run has several.
        """
        from harness.evaluation.frames import collect_param_frame

        return collect_param_frame(self._scores, *self._resolve_entry(entry, task))

    @check_arguments(entry=NAME, task=NAME)
    def predictions(self, entry: str, task: str | None = None) -> pd.DataFrame:
        """Read the predictions of an entry for its sealed test rows.

        Parameters
        ----------
        entry : str
            Name of the entry.
        task : str, optional
            Name of the task; needed where the run has several.

        Returns
        -------
        DataFrame
            Position of the row in the data from 0, as in `DataFrame.iloc`, repeat, fold, true class, probability per class, decision.
        """
        from harness.evaluation.frames import collect_prediction_frame

        return collect_prediction_frame(self._store, self._scores, *self._resolve_entry(entry, task))

    @check_arguments(entry=NAME, other=NAME, task=NAME)
    def compare(self, entry: str, other: str, task: str | None = None) -> pd.DataFrame:
        """Compare two entries on the splits that both have.

        Parameters
        ----------
        entry, other : str
            Names of the entries, which are `a` and `b` in the result.
        task : str, optional
            Name of the task; needed where the run has several.

        Returns
        -------
        DataFrame
            A row per metric: both means, the difference with its 95 % interval, its adjusted p value, which is better.
        """
        from harness.evaluation.frames import make_difference_frame
        from harness.evaluation.paired_comparison import ComparedEntry, pair_entries

        compared = [
            ComparedEntry(self._store, self._scores, *self._resolve_entry(name, task)) for name in (entry, other)
        ]
        return make_difference_frame(pair_entries(*compared))

    @check_arguments()
    def findings(self) -> pd.DataFrame:
        """List what was found in the data before the run, and in its results: task, code, severity, column, rows, message.

        Of a finding about results, `column` is the name of the entry.
        """
        return collect_findings_frame(self._store, self._scores, self._rankings)

    @check_arguments()
    def failures(self) -> pd.DataFrame:
        """List the cells, trials and metrics that failed, and the cells that were skipped, with the reasons."""
        from harness.evaluation.frames import collect_failure_frame

        return collect_failure_frame(self._scores)

    @property
    def thresholds(self) -> pd.DataFrame:
        """Thresholds for the goals that the run was made with, or for a few usual goals: see `evaluate_thresholds`."""
        from harness.evaluation.threshold_goals import DEFAULT_GOALS, read_run_goals

        goals = read_run_goals(self._scores) or DEFAULT_GOALS
        return self.evaluate_thresholds([goal.text for goal in goals])

    @check_arguments(threshold=NAMES)
    def evaluate_thresholds(self, threshold: str | Sequence[str]) -> pd.DataFrame:
        """Choose a decision threshold for each goal on inner rows, and measure it on the sealed rows; nothing is fitted again.

        Parameters
        ----------
        threshold : str or sequence of str
            Goals: ``"f1"``, ``"cost"``, ``"f-beta:2"``, ``"recall>=0.8"``, ``"precision>=0.5"``, ``"top:0.1"``,
            ``"capacity:400"``. With several classes only ``"cost"`` is defined.

        Returns
        -------
        DataFrame
            A row per task, entry, goal and outer split: the threshold, whether the inner rows reach the goal, what they promised
            and what the sealed rows attained with a 95 % interval, then precision, recall, share of rows predicted positive,
            F1 and cost on both.
        """
        from harness.evaluation import threshold_goals
        from harness.evaluation.frames import make_threshold_frame
        from harness.metrics.threshold import parse_goals

        goals = parse_goals(threshold)
        goal_results: list[threshold_goals.GoalResult] = []
        for task in self.tasks:
            entries = threshold_goals.entries_with_inner_predictions(self._scores, task)
            goal_results += threshold_goals.evaluate_goals(self._store, self._scores, task, entries, goals)
        if not goal_results:
            threshold_goals.check_goals(goals, threshold_goals.classes_and_costs_by_task(self._scores))
        return make_threshold_frame(goal_results, {task: self._scores.costs(task) for task in self.tasks})

    @check_arguments(threshold=NAMES, rope=NUMBER, prefer=option_kind("simple", "score"))
    def report(
        self, threshold: str | Sequence[str] = (), rope: float | None = None, prefer: Preference | None = None
    ) -> Path:
        """Write tables, figures and the page again.

        Parameters
        ----------
        threshold : str or sequence of str, optional
            Goals for which the report chooses decision thresholds; those of the run by default.
        rope : float, optional
            Differences of the objective up to this size are practically none; it is stored with the run, as is `prefer`.
        prefer : {"simple", "score"}, optional
            Whether the simplest of the entries close to the best one is recommended, or always the best one; seen in a new `Run`.

        Returns
        -------
        Path
            The page.
        """
        from harness.evaluation.preferences import store_preferences
        from harness.metrics.threshold import parse_goals
        from harness.report.write import write_report

        store_preferences(self._store, rope, prefer)
        return write_report(self._store, self.registry.metrics, parse_goals(threshold)).page

    @check_arguments(port=whole_number_kind(0, 65535), cells=FLAG)
    def dashboard(self, port: int = 0, *, cells: bool = False) -> RunningDashboard:
        """Serve the Optuna dashboard in the background: a study for every task, family and strategy.

        Parameters
        ----------
        port : int, default 0
            Port on 127.0.0.1; 0 takes a free one.
        cells : bool, default False
            Make a study for every outer split.

        Returns
        -------
        RunningDashboard
            Its `url`; `close()` ends it.
        """
        from harness.api.dashboard import start_dashboard

        return start_dashboard(self._store, port, by_cell=cells)

    @check_arguments(out=PATH, entry=NAME, task=NAME, calibration=NAME, threshold=NAME, file=PATH)
    def export(
        self,
        out: str | Path,
        entry: str | None = None,
        task: str | None = None,
        calibration: str | None = None,
        threshold: str | None = None,
        file: str | Path | None = None,
    ) -> ExportedModel:
        """Fit an entry once on all rows and write the model as a bundle.

        Parameters
        ----------
        out : str or Path
            Folder of the bundle; a bundle that is there is replaced.
        entry : str, optional
            Name of the entry; the recommended one by default.
        task : str, optional
            Name of the task; needed where the run has several.
        calibration : {"none", "isotonic", "sigmoid", "temperature", "prior"}, optional
            How probabilities are recalibrated; as the entry does by default.
        threshold : str, optional
            Goal of the decision threshold, such as ``"recall>=0.8"``; by default it is chosen as in the run, for F1 or cost.
        file : str or Path, optional
            Where the user's own file or folder is now, if it was moved since the run.

        Returns
        -------
        ExportedModel
            The model, ready to predict.

        Raises
        ------
        EvenhandError
            If the entry cannot be exported, or its data or declarations are not those of the run.
        """
        from harness.api.exported_model import open_bundle
        from harness.deploy.export import ExportRequest, export_bundle
        from harness.metrics.threshold import parse_single_goal

        if entry is not None:
            _, chosen = self._resolve_entry(entry, task)
            if chosen.family not in self.registry.families:
                raise EvenhandError(
                    f"family {chosen.family!r} was declared by a program: open_run(folder, declarations=["
                    f"evenhand.estimator_family({chosen.family!r}, ...)]) with the same classifier"
                )
        request = ExportRequest(
            run=str(self.folder.resolve()),
            out=str(Path(out).resolve()),
            task=self._resolve_task(task),
            entry=entry,
            calibration=calibration,
            threshold=parse_single_goal(threshold),
            file=str(Path(file).resolve()) if file is not None else None,
            pickled_declarations=self.pickled_declarations,
        )
        export_bundle(request, lambda _message: None)
        return open_bundle(out)

    def _resolve_task(self, name: str | None) -> str:
        """Check the name of a task; it may be left out where there is one."""
        if name is None:
            if len(self.tasks) > 1:
                raise EvenhandError(f"the run has {len(self.tasks)} tasks: say task=, one of {', '.join(self.tasks)}")
            return self.tasks[0]
        if name not in self.tasks:
            raise EvenhandError(f"no such task {name!r} in this run: {suggest_similar_name(name, self.tasks)}")
        return name

    def _resolve_entry(self, name: str, task: str | None) -> tuple[str, Entry]:
        from harness.evaluation.scores import find_entry_by_name

        resolved_task = self._resolve_task(task)
        return find_entry_by_name(self._scores, f"{resolved_task}/{name.removeprefix(f'{resolved_task}/')}")
