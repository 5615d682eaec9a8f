"""Suites: which tasks, families and strategies a run compares, under which protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from harness.registry.family import Family
from harness.registry.protocol import EvaluationProtocol

DEFAULT_STRATEGIES = ("none", "class_weight", "smote", "adasyn", "smote_tomek", "random_undersampling", "searched")


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A comparison with a name. Tasks and families are names or patterns, `*` standing for anything."""

    name: str
    description: str
    tasks: tuple[str, ...]
    without: str = ""  #: pattern of tasks that are not meant
    families: tuple[str, ...] = ("*",)
    networks: bool = True  #: whether a pattern means networks too
    strategies: tuple[str, ...] = DEFAULT_STRATEGIES
    protocol: EvaluationProtocol

    def task_names(self, known: Iterable[str]) -> tuple[str, ...]:
        """The tasks that are meant, of those declared; a plain name is kept even if nothing is declared under it."""
        return _expand(self.tasks, (name for name in known if not fnmatchcase(name, self.without)))

    def family_names(self, known: Mapping[str, Family]) -> tuple[str, ...]:
        """The families that are meant, of those declared."""
        return _expand(self.families, (name for name, family in known.items() if self.networks or not family.network))


def _expand(patterns: tuple[str, ...], known: Iterable[str]) -> tuple[str, ...]:
    known = list(known)
    found = (
        fitting for one in patterns for fitting in ([k for k in known if fnmatchcase(k, one)] if "*" in one else [one])
    )
    return tuple(dict.fromkeys(found))


SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            name="quick",
            description="three tables and five families, in minutes",
            tasks=("telco_churn", "caravan", "digits_nine"),
            families=("majority", "logistic_regression", "gradient_boosting", "xgb", "dense_network"),
            strategies=("none", "class_weight", "smote", "adasyn", "smote_tomek"),
            protocol=EvaluationProtocol(folds=3, repeats=1, inner_folds=3, trials=5),
        ),
        Suite(
            name="full",
            description="every task that can be had and every family, in hours",
            tasks=("*",),
            without="keel_*",
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
            description="a table, texts and pictures: which family suits which kind of data, in minutes",
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
            name="smoke",
            description="the smallest run there is, in seconds",
            tasks=("digits_nine",),
            families=("logistic_regression", "majority"),
            strategies=("none", "smote"),
            protocol=EvaluationProtocol(folds=2, repeats=1, inner_folds=2, trials=2),
        ),
    )
}
