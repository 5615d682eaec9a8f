"""Trials per CPU-second against the usual way: an Optuna objective around `cross_val_score` of an imbalanced-learn pipeline.

    python tests/speed/search.py [TASK FAMILY TRIALS EVERY]

Our study of one cell (strategy `smote`) proposes the points. Every so many of them are evaluated in the usual way too, while
our clock stands: imputers → SMOTENC → one-hot and scaling (and selection where the point says so) → the same family, on the
same inner folds, one thread, average precision. Ours pays for its journal and for filling its cache, the usual way has its
study in memory. CPU seconds of this process, so that others at the same machine disturb little. Data: EVENHAND_DATA.

Scores differ where the methods do: the usual SMOTENC does not scale, and the usual selection counts levels as columns.
"""

import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import optuna

from harness.execution.plan import RunRequest, make_plan
from harness.execution.trainer import CellTrainer
from harness.execution.worker import WorkerContext
from harness.preprocessing.tabular_encoders import SELECTED_SHARES
from harness.registry.protocol import EvaluationProtocol
from harness.registry.registry import load_registry
from harness.search.study import SearchCache, StudyPlan, run_study, suggest_params

#: Task, family, trials of ours, and every which of these is done the usual way as well. Forests are slow on bank_marketing: the
#: fewer trials there are, the less our cache is worth, so the subset speaks against us.
MEASURED = (
    ("telco_churn", "logistic_regression", 50, 5),
    ("telco_churn", "xgb", 50, 5),
    ("telco_churn", "random_forest", 20, 4),
    ("bank_marketing", "logistic_regression", 50, 10),
    ("bank_marketing", "xgb", 50, 10),
    ("bank_marketing", "random_forest", 6, 3),
)
TARGETS = {"logistic_regression": 8, "xgb": 3, "random_forest": 1.3}


def usual_pipeline(params, family, X):
    """What people write: each step fitted again for every fold of every trial."""
    from imblearn.over_sampling import SMOTENC
    from imblearn.pipeline import Pipeline
    from sklearn.compose import make_column_transformer
    from sklearn.feature_selection import SelectPercentile, mutual_info_classif
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, StandardScaler

    numbers = [name for name in X.columns if X[name].dtype != "category"]
    categories = [name for name in X.columns if name not in numbers]
    impute = make_column_transformer(
        (SimpleImputer(strategy="median"), numbers),
        (SimpleImputer(strategy="most_frequent"), categories),
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    quantile = params.get("encode.scaling") == "quantile"
    scale = QuantileTransformer(output_distribution="normal", random_state=0) if quantile else StandardScaler()
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    steps = [
        ("impute", impute),
        ("smote", SMOTENC(categories, k_neighbors=params["smote.k_neighbors"], random_state=0)),
        ("encode", make_column_transformer((scale, numbers), (one_hot, categories))),
    ]
    if (share := params.get("encode.select", "all")) != "all":
        steps.append(("select", SelectPercentile(mutual_info_classif, percentile=100 * SELECTED_SHARES[share])))
    own = {name: value for name, value in params.items() if "." not in name}
    return Pipeline([*steps, ("classify", family.build(0, **own))])


class Race:
    """Our search of a cell, and the usual way on some of its points."""

    def __init__(self, task, family, trials, every):
        registry = load_registry()
        protocol = EvaluationProtocol(trials=trials)
        request = RunRequest((task,), (family,), ("smote",), protocol, os.environ.get("EVENHAND_DATA"))
        plan = make_plan(request, registry)
        self.cell = next(cell for cell in plan.cells if cell.family == family)
        self.cell_data = WorkerContext(request).cell_data(self.cell, plan.tasks[0].fingerprint)
        self.trials, self.every = trials, every
        self.study = optuna.create_study(direction="maximize")
        self.points, self.scores, self.usual_scores, self.usual_seconds = [], [], [], []

    def run(self):
        """CPU seconds of our whole search, the usual way's taken out."""
        start = time.process_time()
        self.trainer = CellTrainer(self.cell, self.cell_data.separate_training_data())
        spec, nothing = self.cell_data.spec, SearchCache(lambda arrays: None, dict)
        with tempfile.TemporaryDirectory() as folder:
            journal = Path(folder) / "study.journal"
            run_study(StudyPlan("race", spec.space, self.trials, None, 0, "score", True, journal), self.both, nothing)
        return time.process_time() - start - sum(self.usual_seconds)

    def both(self, params, number):
        found = self.trainer.score_inner(params, number)
        self.points.append(params)
        self.scores.append(found.score)
        if len(self.points) % self.every == 0:
            start = time.process_time()
            self.usual_scores.append(self.usual(params))
            self.usual_seconds.append(time.process_time() - start)
        return found

    def usual(self, params):
        from sklearn.model_selection import cross_val_score

        trainer = self.trainer
        self.study.enqueue_trial(params)
        trial = self.study.ask()
        point = suggest_params(trial, trainer.spec.space)
        pipeline = usual_pipeline(point, trainer.spec.family, trainer.table.X)
        everything = np.arange(len(trainer.table.y))
        folds = [(np.setdiff1d(everything, scored), scored) for scored, _ in trainer.scored]
        score = cross_val_score(
            pipeline, trainer.table.X, trainer.table.y, cv=folds, scoring="average_precision", error_score="raise"
        ).mean()
        self.study.tell(trial, score)
        return float(score)


def warm_up(family):
    """What only the first fit of a process pays: imports above all."""
    import imblearn.over_sampling  # noqa: F401
    from sklearn.datasets import make_classification

    X, y = make_classification(100, random_state=0)
    load_registry().family(family).build(0).fit(X, y).predict_proba(X)


def main():
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    asked = sys.argv[1:]
    measured = [(asked[0], asked[1], int(asked[2]), int(asked[3]))] if asked else MEASURED
    print("| task | family | trials: ours, usual | CPU s a trial: usual | ours | times faster | target | where all columns stay "
          "| AP usual | AP ours | mean \\|difference\\| |")  # fmt: skip
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for task, family, trials, every in measured:
        warm_up(family)
        race = Race(task, family, trials, every)
        ours = race.run() / trials
        seconds, replayed = np.array(race.usual_seconds), race.points[every - 1 :: every]
        plain = np.array([point.get("encode.select", "all") == "all" for point in replayed])
        scores, usual = np.array(race.scores[every - 1 :: every]), np.array(race.usual_scores)
        print(f"| {task} | {family} | {trials}, {len(usual)} | {seconds.mean():.3f} | {ours:.3f} "
              f"| {seconds.mean() / ours:.1f} | {TARGETS[family]} | {seconds[plain].mean() / ours:.1f} "
              f"| {usual.mean():.4f} | {scores.mean():.4f} | {np.abs(scores - usual).mean():.4f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
