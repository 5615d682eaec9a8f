"""Which parameters the score of a search depends on, told from its own trials.

Of a search that chooses the strategy itself: fANOVA, which shares out the spread of the score that single parameters explain
over the whole space (Hutter, Hoos & Leyton-Brown, An Efficient Approach for Assessing Hyperparameter Importance, ICML 2014).
It sees the parameters that every trial has. PED-ANOVA, Optuna's usual one, misjudges a choice on which other parameters depend.

Of a search without any strategy: PED-ANOVA, which tells what it takes to be among the best trials (Watanabe, Bansal & Hutter,
PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces, IJCAI 2023).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from harness.declare.protocol import seed_of

if TYPE_CHECKING:
    import optuna

FEWEST = 10  #: complete trials; with fewer, importances are noise
BEST = 5  #: trials that PED-ANOVA wants among the best at least
TREES = (
    32  #: half of what Optuna takes: twice as fast, and the spread over splits is far larger than that between forests
)
MOST = 150  #: trials that fANOVA is shown; its time grows faster than their number (1,000: 8 s)
METHODS = {"searched": "fANOVA", "none": "PED-ANOVA"}  #: by strategy; searches of others are not weighed


def importances(study: optuna.Study, strategy: str) -> dict[str, float]:
    """The share of every parameter, which add up to 1; empty where trials are too few, alike, or there is no choice."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances

    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.value is not None]
    if strategy not in METHODS or len(trials) < FEWEST or len({trial.value for trial in trials}) == 1:
        return {}
    evaluator: optuna.importance.BaseImportanceEvaluator
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        if METHODS[strategy] == "fANOVA":
            study = _thinned(study, trials)
            evaluator = FanovaImportanceEvaluator(n_trees=TREES, seed=seed_of("importance", study.study_name))
        else:
            evaluator = PedAnovaImportanceEvaluator(target_quantile=max(0.1, BEST / len(trials)))
        shares = get_param_importances(study, evaluator=evaluator)
    total = sum(shares.values())
    return (
        {name: float(share / total) for name, share in sorted(shares.items())} if total > 0 and len(shares) > 1 else {}
    )


def _thinned(study: optuna.Study, trials: list[optuna.trial.FrozenTrial]) -> optuna.Study:
    """The study with trials from all of its course, evenly spaced, where it has very many."""
    import optuna

    if len(trials) <= MOST:
        return study
    chosen = [trials[at * len(trials) // MOST] for at in range(MOST)]
    fewer = optuna.create_study(direction=study.direction, study_name=study.study_name)
    fewer.add_trials(chosen)
    return fewer
