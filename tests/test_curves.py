"""How networks were trained, as the report says it, against the curves that were stored."""

import re
import shutil
from dataclasses import dataclass, replace

import numpy as np
import pytest
from fixtures_curves import LOST, with_curves
from fixtures_run import three_digits, tumours
from test_report import METRIC, tables

from harness.evaluation.ranking import rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.scores import Entry
from harness.evaluation.training import NetworkFit, collect_training_curves
from harness.execution.trainer import FitCurves, best_epoch_of_network
from harness.report.content import Figure
from harness.report.render.markdown import render_markdown_part
from harness.report.sections.training import describe_network_training, make_task_training_sections
from harness.report.write import write_leaderboard
from harness.store.store import Store

TUNED = Entry("bayes", "none", "tuned")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return with_curves(tmp_path_factory.mktemp("runs") / "small", [tumours(), three_digits()], LOST)


@pytest.fixture(scope="module")
def scores(store):
    return collect_scores(store, METRIC)


@pytest.fixture(scope="module")
def training(store, scores):
    return collect_training_curves(store, scores)


@pytest.fixture(scope="module")
def markdown(store) -> str:
    return write_leaderboard(store, METRIC).details.read_text(encoding="utf-8")


@pytest.fixture
def copy(store, tmp_path) -> Store:
    """The run in a folder of its own, to be spoilt."""
    return Store(shutil.copytree(store.folder, tmp_path / "copy"))


def line(scores, training, entry: str, task: str = "tumours", *, losses: bool = False) -> dict[str, str]:
    """The line of an entry, or that of its losses."""
    header, *rows = tables(
        "\n\n".join(map(render_markdown_part, describe_network_training(scores, rank_entries(scores, task), training)))
    )[losses]
    return next(dict(zip(header, row, strict=True)) for row in rows if row[0] == entry)


def stored(store: Store, name: str, task: str = "tumours") -> list[np.ndarray]:
    """A curve of `bayes/none` in all splits."""
    found = [r for r in store.read_every_record() if (r.task, r.family, r.strategy) == (task, "bayes", "none")]
    return [store.read_curves(record)[name] for record in found]


def test_figures_are_those_of_the_epoch_that_was_kept_in_the_refits(store, scores, training):
    epochs = [int(e[0]) for e in stored(store, "final_tuned/outer/epoch")]
    kept = {
        name: np.array([c[e - 1] for c, e in zip(stored(store, f"final_tuned/outer/{name}"), epochs, strict=True)])
        for name in ("train_loss", "validation_loss", "train_average_precision", "validation_average_precision")
    }
    found = line(scores, training, TUNED.name, losses=True)
    assert float(found["Training"]) == pytest.approx(kept["train_loss"].mean(), abs=6e-4)
    assert float(found["Validation"]) == pytest.approx(kept["validation_loss"].mean(), abs=6e-4)
    gap = kept["validation_loss"].mean() - kept["train_loss"].mean()
    assert float(found["Gap"].replace("−", "-")) == pytest.approx(gap, abs=6e-4)
    assert float(found["SD"]) == pytest.approx(kept["validation_loss"].std(ddof=1), abs=6e-4)
    found = line(scores, training, TUNED.name)
    gap = kept["train_average_precision"].mean() - kept["validation_average_precision"].mean()
    assert float(found["AP gap"].replace("−", "-")) == pytest.approx(gap, abs=6e-4)
    assert float(found["SD AP"]) == pytest.approx(kept["validation_average_precision"].std(ddof=1), abs=6e-4)


def test_stability_within_a_split_is_that_of_the_chosen_trial_s_inner_folds(store, scores, training):
    ends = [
        [c[int(e[0]) - 1] for c, e in zip(losses, epochs, strict=True)]
        for losses, epochs in zip(
            zip(*(stored(store, f"trial_1/inner_{fold}/validation_loss") for fold in (0, 1)), strict=True),
            zip(*(stored(store, f"trial_1/inner_{fold}/epoch") for fold in (0, 1)), strict=True),
            strict=True,
        )
    ]
    expected = np.std(ends, axis=1, ddof=1).mean()
    assert float(line(scores, training, TUNED.name, losses=True)["SD, inner folds"]) == pytest.approx(
        expected, abs=6e-4
    )


def test_losses_of_different_functions_are_never_averaged(copy):
    chosen = [{"loss": "cross_entropy"}, {"loss": "focal", "gamma": 2.0}, {"loss": "focal", "gamma": 2.0}]
    records = [r for r in copy.read_every_record() if (r.task, r.family, r.strategy) == ("tumours", "bayes", "none")]
    for record, params in zip(records, [*chosen, {"loss": "focal", "gamma": 0.5}], strict=True):
        curves, predictions = copy.read_curves(record), copy.read_predictions(record)
        for stage in dict.fromkeys(name.partition("/")[0] for name in curves):
            part = {name.partition("/")[2]: curve for name, curve in curves.items() if name.startswith(f"{stage}/")}
            copy.write_curves(record.id, stage, part)
        default, tuned = record.outcomes
        copy.write_cell(replace(record, outcomes=(default, replace(tuned, params=params))), predictions)
    scores = collect_scores(copy, METRIC)
    training, ranking = collect_training_curves(copy, scores), rank_entries(scores, "tumours")
    header, *rows = tables(
        "\n\n".join(map(render_markdown_part, describe_network_training(scores, ranking, training)))
    )[1]
    found = [dict(zip(header, row, strict=True)) for row in rows if row[0] == TUNED.name]
    assert [(one["Loss function"], one["Splits"]) for one in found] == [
        ("focal, γ 2", "2"),
        ("cross-entropy", "1"),
        ("focal, γ 0.5", "1"),
    ]
    alone = copy.read_curves(next(one for one in copy.read_every_record() if one.id == records[0].id))
    kept = alone["final_tuned/outer/train_loss"][int(alone["final_tuned/outer/epoch"][0]) - 1]
    assert float(found[1]["Training"]) == pytest.approx(kept, abs=6e-4)
    assert found[1]["SD"] == "–"
    drawn = next(one for one in pictures(scores, ranking, training) if one.name == "tumours.training.bayes")
    titles = [title for title, _ in drawn.draw.args[0] if title.startswith("none\n")]
    assert titles[:2] == ["none\nfocal, γ 2 (2 of 4 splits)", "none\ncross-entropy (1 of 4 splits)"]


def pictures(scores, ranking, training):
    return [
        part
        for one in make_task_training_sections(scores, ranking, training)
        for part in one.parts
        if isinstance(part, Figure)
    ]


def test_epochs_are_a_median_and_a_range_where_they_differ(store, scores, training):
    for entry in ("bayes/none/tuned", "bayes/searched/tuned"):
        fits = training.entries["tumours", Entry(*entry.split("/"))].fits
        epochs = [fit.best_epoch for fit in fits]
        spread = f" ({min(epochs)}–{max(epochs)})" if min(epochs) < max(epochs) else ""
        assert line(scores, training, entry)["Epochs"] == f"{np.median(epochs):g}{spread}"


def test_a_tuned_entry_that_is_the_default_has_the_default_s_curves(copy):
    record = next(r for r in copy.read_every_record() if (r.task, r.family, r.strategy) == ("tumours", "bayes", "none"))
    curves = copy.read_curves(record)
    for stage in ("final_default", "trial_0"):
        part = {name.partition("/")[2]: curve for name, curve in curves.items() if name.startswith(stage)}
        copy.write_curves(record.id, stage, part)
    default = record.outcomes[0]
    copy.write_cell(replace(record, outcomes=(default, replace(default, stage="tuned"))), copy.read_predictions(record))
    found = collect_training_curves(copy, collect_scores(copy, METRIC)).entries["tumours", TUNED]
    mine = next(fit for fit in found.fits if fit.split == (record.repeat, record.fold))
    assert np.array_equal(mine.curves["train_loss"], curves["final_default/outer/train_loss"])


def test_members_of_an_ensemble_are_fits_of_their_split(copy):
    record = next(r for r in copy.read_every_record() if (r.task, r.family, r.strategy) == ("tumours", "bayes", "none"))
    curves = copy.read_curves(record)
    own = {n.rpartition("/")[2]: c for n, c in curves.items() if n.startswith("final_tuned/outer/")}
    for stage in ("final_default", "final_tuned"):
        members = {f"outer/member_{i}/{name}": curve for i in range(3) for name, curve in own.items()}
        copy.write_curves(record.id, stage, members)
    copy.write_cell(record, copy.read_predictions(record))
    found = collect_training_curves(copy, collect_scores(copy, METRIC)).entries["tumours", TUNED]
    assert [fit.split for fit in found.fits].count((record.repeat, record.fold)) == 3


def test_remarks_and_failed_trials_that_differ_in_figures_alone_are_counted_as_one(scores, markdown, training):
    assert line(scores, training, TUNED.name)["Remarks"] == "4"
    section = markdown.split("## tumours")[1].split("\n## ")[0]
    assert (
        "- 8 fits of bayes/none/tuned and bayes/none/default, for example: about 10 % of the batches of 8 rows have none of "
        "the rarest class"
        in section
        or "- 8 fits of bayes/none/default and bayes/none/tuned, for example: about 10 % of the batches" in section
    )
    assert "- 3 trials of bayes: training diverged: the loss is nan after epoch 3 at learning rate 0.7" in section


def test_curves_without_watched_rows_have_no_validation_figures():
    fit = NetworkFit((0, 0), {"train_loss": np.array([0.5, 0.4]), "epoch": np.array([2.0])})
    assert fit.metric_at_epoch("train_loss") == 0.4
    assert np.isnan(fit.metric_at_epoch("validation_loss"))


def test_a_run_without_curves_says_nothing_of_training(tumours_run, tmp_path):
    run = Store(shutil.copytree(tumours_run.folder, tmp_path / "run"))
    text = write_leaderboard(run, METRIC).details.read_text(encoding="utf-8")
    assert "### Training of networks" not in text
    assert "### Complexity against quality" in text


def test_curves_that_cannot_be_read_are_said_to_be_missing_and_the_others_stay(copy):
    record = next(r for r in copy.read_every_record() if (r.task, r.family, r.strategy) == ("tumours", "bayes", "none"))
    (copy.cell_folder(record.id) / "history.npz").write_bytes(b"no curves")
    text = write_leaderboard(copy, METRIC).details.read_text(encoding="utf-8")
    assert re.search(r"No curves of 1 cell: .*SHA-256 differs", text)
    assert len(collect_training_curves(copy, collect_scores(copy, METRIC)).entries["tumours", TUNED].fits) == 3


def test_chosen_architectures_are_told_layer_by_layer_with_how_many_splits_chose_them(markdown):
    section = markdown.split("## tumours")[1].split("\n## ")[0]
    assert "bayes/none/tuned, 3 of 4 splits, 113 parameters:" in section
    assert "bayes/none/tuned, 1 of 4 splits, 57 parameters:" in section
    assert "dense_1        Dense, relu         16          96" in section


def test_a_history_of_another_form_is_left_alone():
    """Other libraries' classifiers have a `history` too."""

    class Foreign:
        history = ("loss", 0.5)

    curves = FitCurves()
    curves.add_fit("inner_0", Foreign(), 1)
    assert curves.arrays == {}
    assert best_epoch_of_network(Foreign()) is None


@pytest.mark.parametrize("members", [True, 3, "networks", (1.5, 2.5)])
def test_an_attribute_of_a_foreign_classifier_is_not_taken_for_members(members):
    """LightGBM says with `fitted_` that it is fitted."""

    class Foreign:
        fitted_ = members

    curves = FitCurves()
    curves.add_fit("inner_0", Foreign(), 1)
    assert curves.arrays == {}
    assert best_epoch_of_network(Foreign()) is None


def test_a_dataclass_that_is_no_history_of_a_network_is_left_alone():
    @dataclass
    class Log:
        loss: float = 0.5

    class Foreign:
        history = Log()

    curves = FitCurves()
    curves.add_fit("inner_0", Foreign(), 1)
    assert curves.arrays == {}
    assert best_epoch_of_network(Foreign()) is None
