"""Outer and inner folds follow one rule."""

import numpy as np
import pandas as pd
import pytest

from harness.data.splits import assign_folds, make_splitter
from harness.errors import DataError
from harness.registry.protocol import EvaluationProtocol
from harness.registry.task import Table


def table(n=600, share=0.1, *, repeated=0, groups=None, time=None, test=None, seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(np.int64)
    X = pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n)})
    if repeated:
        X.iloc[rng.choice(n, repeated, replace=False)] = X.iloc[rng.integers(0, 30, repeated)].to_numpy()
    return Table(X, y, ("No", "Yes"), groups, time, test)


def test_every_row_is_tested_once_a_repeat_and_repeats_differ():
    t = table()
    folds = make_splitter(t).outer(EvaluationProtocol(folds=5, repeats=2))
    assert len(folds) == 10
    for repeat in (0, 1):
        tested = np.concatenate([f.test for f in folds if f.repeat == repeat])
        assert sorted(tested) == list(range(600))
    assert not np.array_equal(folds[0].test, folds[5].test)
    for fold in folds:
        assert not set(fold.train) & set(fold.test)
        assert len(fold.train) + len(fold.test) == 600


@pytest.mark.parametrize("repeated", [0, 200])
def test_classes_are_shared_out_evenly(repeated):
    t = table(repeated=repeated)
    positives = [t.y[f.test].sum() for f in make_splitter(t).outer(EvaluationProtocol(folds=5))]
    assert max(positives) - min(positives) <= 2
    sizes = [len(f.test) for f in make_splitter(t).outer(EvaluationProtocol(folds=5))]
    assert max(sizes) - min(sizes) <= 4


def test_equal_rows_stay_on_one_side_outside_and_inside():
    t = table(repeated=200)
    splitter = make_splitter(t)
    for fold in splitter.outer(EvaluationProtocol(folds=4)):
        assert not set(splitter.blocks[fold.train]) & set(splitter.blocks[fold.test])
        inside = splitter.take(fold.train)
        for train, test in inside.inner(3, 5):
            assert not set(inside.blocks[train]) & set(inside.blocks[test])
        rest, watched = inside.split_validation(np.arange(len(inside.y)), 0.15, 9)
        assert not set(inside.blocks[rest]) & set(inside.blocks[watched])
        assert 0.1 < len(watched) / len(inside.y) < 0.2


def test_groups_and_equal_rows_are_tied_together():
    groups = np.arange(600) // 3
    t = table(repeated=100, groups=groups)
    splitter = make_splitter(t)
    for fold in splitter.outer(EvaluationProtocol(folds=3)):
        assert not set(groups[fold.train]) & set(groups[fold.test])
        as_rows = [set(map(tuple, t.X.to_numpy()[part])) for part in (fold.train, fold.test)]
        assert not as_rows[0] & as_rows[1]


def test_forward_splits_test_later_rows_than_they_train_on():
    time = np.random.default_rng(3).integers(0, 200, 600)
    splitter = make_splitter(table(time=time))
    folds = splitter.outer(EvaluationProtocol(folds=4))
    assert len(folds) == 4
    for fold in folds:
        assert time[fold.train].max() < time[fold.test].min()
        inside = splitter.take(fold.train)
        for train, test in inside.inner(3, 0):
            assert inside.time[train].max() < inside.time[test].min()
        rest, watched = inside.split_validation(np.arange(len(inside.y)), 0.15, 0)
        assert inside.time[rest].max() < inside.time[watched].min()


def test_forward_splits_refuse_repeats_and_too_few_moments():
    with pytest.raises(DataError, match="leave --repeats at 1"):
        make_splitter(table(time=np.arange(600))).outer(EvaluationProtocol(repeats=2))
    with pytest.raises(DataError, match="different times"):
        make_splitter(table(time=np.arange(600) % 3)).outer(EvaluationProtocol(folds=5))


def test_a_split_column_is_the_one_split_and_no_test_row_is_learned_twice():
    test = np.arange(600) >= 400
    t = table(repeated=200, test=test)
    splitter = make_splitter(t)
    folds = splitter.outer(EvaluationProtocol(folds=5, repeats=2))
    assert len(folds) == 1
    assert list(folds[0].test) == list(range(400, 600))
    assert not set(splitter.blocks[folds[0].train]) & set(splitter.blocks[folds[0].test])


def test_too_few_distinct_rows_of_a_class_are_refused_with_the_count():
    y = np.array([0] * 50 + [1] * 8)
    blocks = np.concatenate([np.arange(50), np.repeat([100, 101, 102, 103], 2)])
    with pytest.raises(DataError, match=r"class 1 has 8 rows, 4 that differ .*, fewer than 5 folds: use --folds 4$"):
        assign_folds(y, blocks, 5, 0)
    one = np.concatenate([np.arange(50), np.repeat(100, 8)])
    with pytest.raises(DataError, match=r"class 1 has 8 rows, 1 that differs .*, fewer than the 3 that .*: merge it"):
        assign_folds(y, one, 3, 0)


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_no_advice_is_given_that_another_number_of_folds_would_take_back(folds):
    """Of two rows none is left to search with, whatever the folds: neither number may send the user to the other."""
    X = pd.DataFrame({"a": np.arange(52) * 1.5})
    splitter = make_splitter(Table(X, np.array([0] * 50 + [1] * 2), ("No", "Yes")))
    with pytest.raises(DataError, match=r"class 'Yes' has 2 rows, fewer than the 3 .*: merge it") as caught:
        splitter.outer(EvaluationProtocol(folds=folds))
    assert "--folds" not in str(caught.value)


def test_more_outer_folds_are_no_advice_where_the_split_is_predefined():
    X = pd.DataFrame({"a": np.arange(60) * 1.5})
    y = np.array([0] * 50 + [1] * 10)
    splitter = make_splitter(Table(X, y, ("No", "Yes"), test=(np.arange(60) > 50) | (np.arange(60) % 12 == 0)))
    (fold,) = splitter.outer(EvaluationProtocol(folds=5))
    with pytest.raises(DataError, match=r"'Yes' has 1 row in the training part of the predefined split, .*: merge it"):
        splitter.take(fold.train).inner(2, 0)


def test_all_classes_with_too_few_rows_are_named_at_once():
    X = pd.DataFrame({"a": np.arange(55) * 1.5})
    y = np.array([0] * 50 + [1, 2, 3, 4, 5])
    splitter = make_splitter(Table(X, y, ("No", *map("rare{}".format, range(5)))))
    with pytest.raises(DataError, match="merge them") as caught:
        splitter.outer(EvaluationProtocol(folds=2))
    assert all(f"'rare{i}' has 1 row" in str(caught.value) for i in range(5))


def test_impossible_inner_folds_name_the_class_its_rows_and_their_own_option():
    X = pd.DataFrame({"a": np.arange(53) * 1.5})
    splitter = make_splitter(Table(X, np.array([0] * 50 + [1] * 3), ("No", "Yes")))
    inside = [splitter.take(fold.train) for fold in splitter.outer(EvaluationProtocol(folds=3))]
    where = r"class 'Yes' has 2 rows in the training part of an outer split, fewer than 3 inner folds: "
    with pytest.raises(DataError, match=where + "use --inner-folds 2$"):
        inside[0].inner(3, 0)
    first = inside[0].take(np.flatnonzero(np.cumsum(inside[0].y) < 2))
    with pytest.raises(DataError, match=r"'Yes' has 1 row in .*, fewer than 2 inner folds: use more --folds, merge"):
        first.inner(2, 0)
    forward = make_splitter(table(time=np.arange(600) // 120)).take(np.arange(360))
    with pytest.raises(DataError, match=r"more than 3 different times, but there are 3 in .*: use fewer --inner-folds"):
        forward.inner(3, 0)


def test_groups_stay_on_one_side_of_inner_forward_splits_too():
    groups = np.arange(600) // 7
    splitter = make_splitter(table(share=0.4, time=np.arange(600), groups=groups))
    for fold in splitter.outer(EvaluationProtocol(folds=2)):
        assert not set(groups[fold.train]) & set(groups[fold.test])
    inside = splitter.take(np.arange(60, 360))
    for train, test in inside.inner(2, 0):
        assert not set(groups[60:360][train]) & set(groups[60:360][test])


def test_rows_that_differ_in_the_sign_of_nothing_or_in_what_is_missing_are_equal():
    X = pd.DataFrame({"a": [0.0, -0.0, np.nan, np.nan, 1.0, 1.0], "c": pd.Categorical([*"xxxxx", "y"])})
    blocks = make_splitter(Table(X, np.array([0, 1] * 3), ("No", "Yes"))).blocks
    assert blocks[0] == blocks[1]
    assert blocks[2] == blocks[3]
    assert len(set(blocks)) == 4


def test_the_same_seed_gives_the_same_folds_and_another_seed_others():
    splitter = make_splitter(table())
    one, two, other = (splitter.outer(EvaluationProtocol(seed=seed))[0].test for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("seed", range(20))
def test_every_fold_has_every_class_whatever_the_blocks(seed):
    rng = np.random.default_rng(seed)
    y = rng.choice(3, 200, p=[0.7, 0.2, 0.1])
    blocks = rng.integers(0, 90, 200)
    assigned = assign_folds(y, blocks, 4, seed)
    for fold in range(4):
        assert set(y[assigned == fold]) == {0, 1, 2}
    assert all(len(set(assigned[blocks == block])) == 1 for block in np.unique(blocks))


@pytest.mark.parametrize(("rare", "expected"), [(30, 5), (4, 1), (2, 1), (1, 0)])
def test_a_watched_slice_gets_its_share_of_the_rarest_class_or_there_is_none(rare, expected):
    y = np.array([0] * 100 + [1] * rare)
    rows = np.arange(len(y))
    splitter = make_splitter(Table(pd.DataFrame({"a": rows * 1.5}), y, ("No", "Yes")))
    rest, watched = splitter.split_validation(rows, 0.15, 1)
    assert sorted([*rest, *watched]) == list(rows)
    assert abs(y[watched].sum() - expected) <= 1
    assert bool(len(watched)) == bool(expected)


def test_rows_that_recur_in_time_stay_and_groups_that_reach_across_do_not():
    X = pd.DataFrame({"a": np.arange(300) % 4 * 1.0})
    y = (np.arange(300) % 5 == 0).astype(np.int64)
    time = np.arange(300)
    folds = make_splitter(Table(X, y, ("No", "Yes"), time=time)).outer(EvaluationProtocol(folds=3))
    assert [len(fold.train) for fold in folds] == [75, 150, 225]
    groups = time // 50
    for fold in make_splitter(Table(X, y, ("No", "Yes"), groups, time)).outer(EvaluationProtocol(folds=3)):
        assert not set(groups[fold.train]) & set(groups[fold.test])


def test_a_published_split_that_leaves_no_row_to_learn_from_is_refused_in_a_sentence():
    X = pd.DataFrame({"a": np.arange(300) % 4 * 1.0})
    y = (np.arange(300) % 5 == 0).astype(np.int64)
    with pytest.raises(DataError, match=r"without rows of its test part, has no row of class 'No'"):
        make_splitter(Table(X, y, ("No", "Yes"), test=np.arange(300) > 200)).outer(EvaluationProtocol())


def test_a_watched_slice_by_time_is_larger_or_not_there_where_a_class_is_rare():
    time = np.arange(200)
    for positives, size in (([10, 60, 150], 60), ([10, 60, 90], 0)):
        y = np.isin(time, positives).astype(np.int64)
        splitter = make_splitter(Table(pd.DataFrame({"a": time * 1.5}), y, ("No", "Yes"), time=time))
        assert len(splitter.split_validation(time, 0.15, 0)[1]) == size
