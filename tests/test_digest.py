"""Keys change with whatever decides over numbers, and with nothing else."""

from dataclasses import replace
from functools import partial

import pytest

from harness import Family, Strategy, log_float
from harness.declare.digest import declaration_digest, source


def helper():
    return 1


def build(seed, **params):
    return helper(), seed, params


FAMILY = Family(name="f", build=build, space={"C": log_float(0.1, 1, default=1)}, encodings={"tabular": "ordinal"})


@pytest.mark.parametrize(
    "change",
    [
        {"space": {"C": log_float(0.1, 2, default=1)}},
        {"encodings": {"tabular": "native"}},
        {"stops_early": True},
        {"trials": 3},
        {"build": lambda seed: None},
    ],
)
def test_a_change_that_matters_changes_the_digest(change):
    assert declaration_digest(replace(FAMILY, **change)) != declaration_digest(FAMILY)


def test_a_better_description_changes_nothing():
    assert declaration_digest(replace(FAMILY, description="new")) == declaration_digest(FAMILY)


def test_the_source_of_a_builder_is_that_of_its_helpers_and_of_its_class_too():
    assert "return 1" in source(build)

    class Ensemble:
        def fit(self, X, y):
            return "fitted with care"

    assert "fitted with care" in source(Ensemble)
    one = Strategy(name="s", kind="ensemble", build=Ensemble)
    assert declaration_digest(one) != declaration_digest(replace(one, build=lambda member, seed: None))


DEPTH = 3


def of_a_constant(seed):
    return seed, DEPTH


def closed_over(value):
    return lambda seed: (seed, value)


def test_constants_closures_partials_and_defaults_are_part_of_the_source(monkeypatch):
    before = source(of_a_constant)
    monkeypatch.setitem(of_a_constant.__globals__, "DEPTH", 9)
    assert source(of_a_constant) != before
    assert source(closed_over(1)) != source(closed_over(2))
    assert source(partial(build, depth=1)) != source(partial(build, depth=2))
