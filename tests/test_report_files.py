"""The files of a report: what pictures are made of, how they are named and drawn, what goes when it is no longer said."""

import json
import os
import shutil
import warnings
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from fixtures_curves import LOST, with_curves
from fixtures_run import FAMILIES, STRATEGIES, three_digits, tumours
from test_report import METRIC

from harness.evaluation.ranking import rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.training import NetworkFit
from harness.report.content import Evidence, Figure
from harness.report.figures.writer import (
    MIN_PARALLEL_FIGURES,
    draw_all_figures,
    draw_figures,
    is_report_file_name,
    report_file_name,
)
from harness.report.html_report import build_pages
from harness.report.sections.training import round_loss_curves
from harness.report.topics import collect_sections
from harness.report.write import write_report
from harness.store.store import Store


def evidence_of(store: Store) -> Evidence:
    scores = collect_scores(store, METRIC)
    return Evidence(store, scores, tuple(rank_entries(scores, task) for task in scores.run["tasks"]))


def pictures_of(store: Store) -> list[Figure]:
    sections = (section for some in collect_sections(evidence_of(store)).values() for section in some)
    return [part for section in sections for part in section.parts if isinstance(part, Figure)]


def not_plain(value) -> list:
    """What in a value has no `repr` that tells all of it, and always the same."""
    if type(value) in (str, int, float, bool, type(None)):
        return []
    if isinstance(value, dict):
        return [one for pair in value.items() for part in pair for one in not_plain(part)]
    if isinstance(value, tuple | list):
        return [one for part in value for one in not_plain(part)]
    if is_dataclass(value):
        return [one for field in fields(value) for one in not_plain(getattr(value, field.name))]
    return [value]


@pytest.fixture
def whole(reported_run) -> Store:
    """Its report is written, so that copies of it have little to draw."""
    return reported_run


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> Store:
    return with_curves(tmp_path_factory.mktemp("runs") / "networks", [tumours(), three_digits()], LOST)


# --- what pictures are made of ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", ["whole", "networks"])
def test_every_picture_of_every_topic_is_made_of_plain_values(run, request):
    found = pictures_of(request.getfixturevalue(run))
    assert len(found) > 10
    for picture in found:
        assert not_plain(picture.draw.args) == [], picture.name
        assert not_plain(picture.draw.keywords) == [], picture.name


def test_losses_of_many_epochs_differ_wherever_one_differs():
    curve = np.linspace(1, 0.1, 3000)
    other = curve.copy()
    other[1500] += 0.1
    first, second = (
        round_loss_curves([NetworkFit((0, 0), {"train_loss": one, "epoch": np.array([7])})]) for one in (curve, other)
    )
    assert repr(first) != repr(second)
    assert len(first[0].train) == 3000
    assert first[0].validation == ()
    assert first[0].epoch == 7


# --- names -----------------------------------------------------------------------------------------------------------


def test_no_file_about_a_task_has_the_name_of_one_about_all():
    for task in ("across", "imbalance", "all-tasks", "all-tasks.ranks"):
        mine = {
            report_file_name(task, kind, more) for kind in ("ranks", "imbalance", "battles") for more in ("", "ranks")
        }
        ours = {
            report_file_name("", kind, more) for kind in ("ranks", "imbalance", "battles") for more in ("", "ranks")
        }
        assert not mine & ours
    assert report_file_name("", "ranks") == "all-tasks.ranks"


def test_no_two_files_have_one_name():
    words = ("a", "a_b", "b", "b_c", "a.b", "b.c", "a-b", "-")
    asked = [(task, kind, *more) for task in words for kind in words for more in ((), *((word,) for word in words))]
    names = [report_file_name(*parts) for parts in asked]
    assert len(set(names)) == len(asked)
    assert all(map(is_report_file_name, names))


def test_tables_of_tasks_without_a_best_entry_keep_the_name_of_their_task(whole, tmp_path):
    """Tasks with figures that no entry has a rank by: the ranking's metric is not defined for any of their splits."""
    evidence = evidence_of(Store(shutil.copytree(whole.folder, tmp_path / "copy")))
    bare = tuple(
        replace(one, entries=tuple(replace(place, rank=None) for place in one.entries)) for one in evidence.rankings
    )
    evidence = replace(evidence, rankings=bare)
    found = collect_sections(evidence)
    draw_all_figures(
        evidence.store, [p for some in found.values() for s in some for p in s.parts if isinstance(p, Figure)]
    )
    made = build_pages(evidence, found)
    for task in ("tumours", "three_digits"):
        assert any(name.startswith(f"{task}.") for name in made.tables)
    written = [name for name in made.tables if "results_summary" in name]
    assert {name.split(".the_results")[0] for name in written} == set(evidence.scores.run["tasks"])


# --- drawing ---------------------------------------------------------------------------------------------------------


def draw_dot(path: Path, parent: int) -> bytes:
    """The smallest figure; a process other than the parent ends instead of drawing, as one does that has no memory left."""
    if os.getpid() != parent:
        os._exit(3)
    return b"<svg></svg>"


def test_figures_of_a_process_that_ends_early_are_drawn_here(tmp_path):
    paths = [tmp_path / f"p{number}.svg" for number in range(MIN_PARALLEL_FIGURES)]
    draw_figures([(Figure(path.stem, "a dot", partial(draw_dot, path, os.getpid())), path) for path in paths])
    assert all(path.read_bytes() == b"<svg></svg>" for path in paths)


def test_long_names_are_cut_so_that_pictures_keep_their_room(networks, tmp_path):
    copy = Store(shutil.copytree(networks.folder, tmp_path / "copy"))
    names = {
        name: f"{name}_{'long_' * 20}"[:80] for name in (*FAMILIES, *STRATEGIES) if name not in ("majority", "none")
    }
    for path in [copy.run_file, *copy.folder.glob("cells/*/record.json")]:
        text = path.read_text(encoding="utf-8")
        for name, long in names.items():
            text = text.replace(json.dumps(name), json.dumps(long))
        path.write_text(text, encoding="utf-8")
    pictures = pictures_of(copy)
    assert any("long_long" in repr(picture.draw.args) for picture in pictures)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for picture in pictures:
            assert picture.draw(), picture.name


# --- what an earlier report wrote ------------------------------------------------------------------------------------


def files_of(store: Store) -> set[str]:
    folders = ("tables", "figures")
    return {f"{folder}/{path.name}" for folder in folders for path in (store.folder / folder).iterdir()}


def test_what_an_earlier_report_wrote_goes_and_what_is_not_ours_stays(whole, tmp_path):
    copy = Store(shutil.copytree(whole.folder, tmp_path / "copy"))
    before = files_of(copy)
    for name in ("tables/mine.csv", "figures/mine.png", "tables/three_digits_mine.csv"):
        (copy.folder / name).write_text("mine")
    run = copy.read_run()
    run["tasks"].pop("three_digits")
    run["cells"] = [cell for cell in run["cells"] if cell["task"] != "three_digits"]
    copy.write_run(run)
    write_report(copy, METRIC)
    after = files_of(copy)
    mine = {"tables/mine.csv", "figures/mine.png", "tables/three_digits_mine.csv"}
    assert mine <= after
    assert not [name for name in after - mine if "three_digits" in name]
    assert any("three_digits" in name for name in before)
    assert {name for name in before if "tumours" in name} <= after


def test_folders_in_the_place_of_files_that_a_report_wrote_stay(whole, tmp_path):
    copy = Store(shutil.copytree(whole.folder, tmp_path / "copy"))
    for name in ("derived/tables.json", "derived/figures.json"):
        listed = json.loads((copy.folder / name).read_text())
        more = [*listed, "old"] if isinstance(listed, list) else listed | {"old": ""}
        (copy.folder / name).write_text(json.dumps(more))
    for name in ("tables/old", "figures/old.svg"):
        (copy.folder / name).mkdir()
    write_report(copy, METRIC)
    assert (copy.folder / "tables" / "old").is_dir()
    assert (copy.folder / "figures" / "old.svg").is_dir()


def test_lists_of_files_that_were_tampered_with_delete_nothing_else(whole, tmp_path):
    copy = Store(shutil.copytree(whole.folder, tmp_path / "copy"))
    derived = copy.folder / "derived"
    names = json.loads((derived / "tables.json").read_text())
    (derived / "tables.json").write_text(json.dumps([*names, "../run.json", "..", "", 7]))
    drawn = json.loads((derived / "figures.json").read_text())
    (tmp_path / "copy" / "mine.png").write_text("mine")
    (derived / "figures.json").write_text(json.dumps(drawn | {"../mine": "", "..": ""}))
    write_report(copy, METRIC)
    assert (copy.folder / "run.json").exists()
    assert (copy.folder / "mine.png").exists()
    (derived / "tables.json").write_text("{")
    write_report(copy, METRIC)
    assert json.loads((derived / "tables.json").read_text()) == names
