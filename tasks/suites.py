"""Suites: which tasks, families and strategies a run compares, under which protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from harness.tasks.published import DOCUMENTS

from harness.registry.family import Family
from harness.registry.protocol import EvaluationProtocol
from harness.registry.published import PublishedTable

#: The strategies of a run that names neither a suite nor strategies: doing nothing, weights, undersampling, of the ensembles that
#: gained most and most reliably in comparisons of many tables (Liu et al. 2025, CLIMB, arXiv 2505.17451) the simplest one, and of
#: the methods that make rows plain SMOTE. No strategy is best on all tables, so that the search may choose among them as well.
DEFAULT_STRATEGIES = ("none", "class_weight", "random_undersampling", "balanced_ensemble", "smote", "searched")
#: Those of the suite of all tasks: with the variants of SMOTE that case studies use.
FULL_STRATEGIES = ("none", "class_weight", "smote", "adasyn", "smote_tomek", "random_undersampling", "searched")


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A named comparison.

    Attributes
    ----------
    name, description : str
        Its name, and what it compares.
    tasks, families : tuple of str
        Names or patterns, in which `*` matches anything.
    excluded_tasks : tuple of str
        Patterns of tasks that are left out.
    networks : bool, default True
        Whether patterns match neural networks.
    strategies : tuple of str
        Names of strategies.
    combinations : mapping of str to mapping of str to tuple of str
        Task → family → strategies, for tasks on which not every family is combined with every strategy. It is used unless
        a run names families or strategies of its own.
    protocol : EvaluationProtocol
        Folds, repeats and trials.
    published : tuple of PublishedTable
        Published results that the report shows beside those of the run.
    """

    name: str
    description: str
    tasks: tuple[str, ...]
    excluded_tasks: tuple[str, ...] = ()
    families: tuple[str, ...] = ("*",)
    networks: bool = True
    strategies: tuple[str, ...] = DEFAULT_STRATEGIES
    combinations: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    protocol: EvaluationProtocol
    published: tuple[PublishedTable, ...] = ()

    def task_names(self, registered: Iterable[str]) -> tuple[str, ...]:
        """Select the tasks among the registered ones; a name without `*` is kept even if no such task is registered."""
        included = []
        for name in registered:
            if not any(fnmatchcase(name, pattern) for pattern in self.excluded_tasks):
                included.append(name)
        return _expand_name_patterns(self.tasks, included)

    def family_names(self, registered: Mapping[str, Family]) -> tuple[str, ...]:
        """Select the families among the registered ones."""
        return _expand_name_patterns(
            self.families, [name for name, family in registered.items() if self.networks or not family.network]
        )


def _expand_name_patterns(patterns: tuple[str, ...], names: list[str]) -> tuple[str, ...]:
    """Replace the patterns by the names that they match, without duplicates."""
    expanded: dict[str, None] = {}
    for pattern in patterns:
        matches = [name for name in names if fnmatchcase(name, pattern)] if "*" in pattern else [pattern]
        expanded |= dict.fromkeys(matches)
    return tuple(expanded)


#: What the study of an imbalanced subscription compares.
_RESAMPLED = ("none", "class_weight", "smote", "adasyn", "smote_tomek")
#: Task → family → strategies, as in the case studies; logistic regression is added to those that have networks alone.
_DOCUMENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "subscription": {
        "logistic_regression": ("none",),
        "gradient_boosting": ("none",),
        "dense_network": _RESAMPLED,
    },
    "customer_segmentation_with_duration": {"logistic_regression": ("none",), "dense_network": ("none", "smote")},
    "customer_segmentation": {"logistic_regression": ("none",), "dense_network": ("none", "smote")},
    "telco_churn": {"logistic_regression": ("none",), "dense_network": ("none",)},
    "sms_spam": {"logistic_regression": ("none",), "recurrent_network": ("none",)},
    "digits_photo": {"logistic_regression": ("none",), "pretrained_network": ("none",)},
}

_SUITES = (
    Suite(
        name="quick",
        description="three tables and five families, in minutes",
        tasks=("telco_churn", "caravan", "digits_nine"),
        families=("majority", "logistic_regression", "gradient_boosting", "xgb", "dense_network"),
        strategies=("none", "class_weight", "smote", "adasyn", "smote_tomek"),
        protocol=EvaluationProtocol(folds=5, repeats=1, inner_folds=2, trials=5),
    ),
    Suite(
        name="full",
        description="every available task and every family, in hours",
        tasks=("*",),
        excluded_tasks=("keel_*", "telco_churn_quarter"),
        strategies=FULL_STRATEGIES,
        protocol=EvaluationProtocol(folds=5, repeats=2, inner_folds=3, trials=30),
    ),
    Suite(
        name="keel",
        description="many small tables with uneven classes; every family but networks",
        tasks=("keel_*",),
        networks=False,
        strategies=("none", "class_weight", "smote", "random_undersampling"),
        protocol=EvaluationProtocol(folds=5, repeats=1, inner_folds=3, trials=10),
    ),
    Suite(
        name="modalities",
        description="a table, texts and images: which family suits which kind of data, in minutes",
        tasks=("telco_churn", "sms_spam", "handwritten_digits"),
        families=(
            "majority",
            "logistic_regression",
            "xgb",
            "dense_network",
            "recurrent_network",
            "small_convolutional_network",
            "pretrained_network",
        ),
        strategies=("none", "class_weight", "random_oversampling"),
        protocol=EvaluationProtocol(folds=3, repeats=1, inner_folds=3, trials=3),
    ),
    Suite(
        name="documents",
        description="five published case studies again: churn, campaign, subscription, spam, images, in minutes",
        tasks=tuple(_DOCUMENTS),
        families=(
            "majority",
            "logistic_regression",
            "gradient_boosting",
            "dense_network",
            "recurrent_network",
            "pretrained_network",
        ),
        strategies=_RESAMPLED,
        combinations=_DOCUMENTS,
        protocol=EvaluationProtocol(folds=3, repeats=1, inner_folds=2, trials=2),
        published=DOCUMENTS,
    ),
    Suite(
        name="smoke",
        description="the smallest run there is, in seconds",
        tasks=("digits_nine",),
        families=("logistic_regression", "majority"),
        strategies=("none", "smote"),
        protocol=EvaluationProtocol(folds=2, repeats=1, inner_folds=2, trials=2),
    ),
)
SUITES = {suite.name: suite for suite in _SUITES}
