"""The page: its structure, what it says of runs of every kind, hostile names, and what its script does in a browser."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from fixtures_run import finding, tumours, write_run
from test_report import METRIC

from harness.evaluation.ranking import rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.report.content import (
    Evidence,
    MeanInterval,
    ReportColumn,
    ReportTable,
    Section,
    drop_constant_columns,
)
from harness.report.html_report import MAX_FIGURE_BYTES, build_pages, link_repeated_paragraphs
from harness.report.leaderboard import format_verdict
from harness.report.render.csv import escape_formula, render_csv_table
from harness.report.render.html import build_blocks, parse_markdown_blocks, render_html_table
from harness.report.sections import columns as columns_section
from harness.report.sections import parameters
from harness.report.sections.overview import summarize_over_tasks
from harness.report.sections.recommendation import recommendation_markdown
from harness.report.topics import TaskReport, collect_sections
from harness.report.write import write_report
from harness.store.store import Store

SAMPLE = Path(__file__).parent.parent / "results" / "sample"
VOID = {"meta", "link", "img", "input", "br", "hr", "wbr", "path", "circle"}
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "=a|b`<script>alert(1)</script>$x$ [c](http://d.e) & **f** ../g \"h\" 'i'"


@dataclass
class Node:
    """An element with its attributes, its children and texts in turn."""

    tag: str
    attributes: dict = field(default_factory=dict)
    children: list = field(default_factory=list)

    def all(self, tag: str = "") -> list["Node"]:
        """Every element below, of a tag if one is named."""
        below = [one for child in self.children if isinstance(child, Node) for one in (child, *child.all())]
        return [one for one in below if tag in ("", one.tag)]

    @property
    def text(self) -> str:
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return " ".join("".join(parts).split())


class Tree(HTMLParser):
    """A page as nodes; an end tag that closes nothing, or another element, is an error."""

    def __init__(self):
        super().__init__()
        self.root = Node("")
        self.open = [self.root]

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        self.open[-1].children.append(node := Node(tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop().tag == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.open[-1].children.append(data)


def read(text: str) -> Node:
    tree = Tree()
    tree.feed(text)
    tree.close()
    assert tree.open == [tree.root], f"{tree.open[-1].tag} is never closed"
    return tree.root


def page_of(store: Store) -> str:
    return write_report(store, METRIC).page.read_text(encoding="utf-8")


def check(text: str) -> Node:
    """What must hold of every page."""
    assert text.startswith("<!DOCTYPE html>")
    root = read(text)
    nodes = root.all()
    ids = [node.attributes["id"] for node in nodes if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    for node in nodes:
        for name, value in node.attributes.items():
            assert name != "style"
            assert not name.startswith("on")
            assert name not in ("src", "href") or value.startswith(("#", "details.html", "report.html"))
            if name in ("for", "aria-labelledby") or (name == "href" and value.startswith("#")):
                assert value.removeprefix("#") in ids, f"{name}={value!r} leads nowhere"
    assert not root.all("img")
    assert all(node.attributes["aria-label"] for node in plots(root))
    assert [node.tag for node in nodes if node.tag in ("main", "nav", "h1", "header")] == [
        "header",
        "h1",
        "nav",
        "main",
    ]
    for table in root.all("table"):
        assert table.all("caption")[0].text
        assert all(head.attributes.get("scope") in ("col", "row") for head in table.all("th"))
        assert {len(row.all("th") + row.all("td")) for row in table.all("tr")} == {len(table.all("tr")[0].all("th"))}
    levels = [int(node.tag[1]) for node in nodes if re.fullmatch(r"h[1-6]", node.tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
    policy = next(node.attributes["content"] for node in root.all("meta") if "http-equiv" in node.attributes)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    assert len(root.all("script")) == len(root.all("style")) == 1
    return root


def plots(root: Node) -> list[Node]:
    """The figures of a page."""
    return [node for node in root.all("svg") if node.attributes["class"] == "plot"]


def boards(root: Node) -> list[Node]:
    return [table for table in root.all("table") if table.attributes["class"] == "entries"]


def names(board: Node) -> list[str]:
    """The entries in sight."""
    rows = board.all("tbody")[0].all("tr")
    return [row.all("th")[0].text for row in rows if "hidden" not in row.attributes]


@pytest.fixture(scope="module")
def store(reported_run) -> Store:
    return reported_run


@pytest.fixture(scope="module")
def page(store) -> str:
    return (store.folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def details(store) -> str:
    return (store.folder / "details.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Store:
    """A run in which a task, its classes and columns, a family, a strategy and a reason are called as badly as can be."""
    task = tumours(
        HOSTILE, splits=1, findings=[finding("omitted_constant", HOSTILE, HOSTILE)], title=HOSTILE, source=HOSTILE
    )
    lost = {(HOSTILE, "bayes", "class_weight", 0): ("failed", f"ValueError: {HOSTILE}")}
    store = write_run(
        tmp_path_factory.mktemp("runs") / "hostile", [replace(task, classes=("-No</details>", HOSTILE))], lost
    )
    for path in [store.folder / "run.json", *store.folder.glob("cells/*/record.json")]:
        text = path.read_text(encoding="utf-8")
        for name in ("logistic_regression", "searched"):
            text = text.replace(json.dumps(name), json.dumps(f"@{name} {HOSTILE}"))
        path.write_text(text, encoding="utf-8")
    return store


# --- structure -------------------------------------------------------------------------------------------------------


def test_the_page_of_a_run_with_failures_several_classes_one_split_and_rows_in_time_is_sound(page, details, store):
    root = check(page)
    tasks = [node for node in root.all("details") if node.attributes.get("class") == "task"]
    assert [task.all("h2")[0].text for task in tasks] == list(store.read_run()["tasks"])
    assert len(boards(root)) == 4
    assert all(names(board) for board in boards(root))
    assert "Number of priors | must match" in read(details).text
    assert all("open" not in task.attributes for task in tasks)  # four are folded


def test_the_same_records_give_the_same_bytes(page, store, tmp_path):
    copy = shutil.copytree(store.folder, tmp_path / "copy")
    tables = {path.name: path.read_bytes() for path in (copy / "tables").iterdir()}
    shutil.rmtree(copy / "tables")
    (copy / "report.html").unlink()
    assert page_of(Store(copy)) == page
    assert (copy / "details.html").read_bytes() == (store.folder / "details.html").read_bytes()
    assert {path.name: path.read_bytes() for path in (copy / "tables").iterdir()} == tables


def test_a_run_of_one_task_says_its_answer_once_and_a_run_without_results_says_so(tmp_path):
    root = check(page_of(write_run(tmp_path / "one", [tumours(splits=3)])))
    assert root.text.count("Use logistic_regression/none/tuned") == 1
    lost = {
        ("tumours", family, strategy, 0): ("failed", "no luck")
        for family in ("majority", "logistic_regression", "bayes")
        for strategy in ("none", "class_weight", "searched")
    }
    empty = check(page_of(write_run(tmp_path / "empty", [tumours(splits=1)], lost)))
    assert "Use none; no cell is ok, so there is nothing to rank." in empty.text
    assert not boards(empty)


def test_the_pages_are_linked_and_nothing_stands_on_both(page, details):
    report, rest = check(page), check(details)
    for root, other in ((report, "details.html"), (rest, "report.html")):
        assert any(node.attributes["href"] == other for node in root.all("a"))
    task_links = [node.attributes["href"] for node in report.all("a") if "details.html#task" in node.attributes["href"]]
    ids = {node.attributes.get("id") for node in rest.all()}
    assert task_links
    assert {link.partition("#")[2] for link in task_links} <= ids
    titles = [{node.text for node in root.all("h3")} for root in (report, rest)]
    assert not titles[0] & titles[1]
    assert titles[0] <= MAIN_TITLES


#: The sections of `report.html`: a further one makes it longer than a reader with little time has patience for.
MAIN_TITLES = {
    "Recommended entry, and the best of the other families", "Leaderboard", "Strategies against none",
    "Chosen hyperparameters", "Which columns matter", "Columns as they were read",
}  # fmt: skip


def test_several_tasks_begin_with_one_picture_and_one_table(page, store):
    overview = next(node for node in read(page).all("section") if node.attributes.get("id") == "overview")
    picture, tasks = overview.all("table")
    assert [row.all("td")[0].text for row in tasks.all("tbody")[0].all("tr")] == list(store.read_run()["tasks"])
    for row in picture.all("tbody")[0].all("tr"):
        parts = row.all("rect")
        counts = [float(node.text) for node in row.all("td")[2:]]
        widths = {part.attributes["class"]: float(part.attributes["width"].rstrip("%")) for part in parts}
        shares = [100 * count / sum(counts) for count in counts if count]
        assert list(widths.values()) == pytest.approx(shares, abs=0.01)


def test_a_picture_of_families_has_the_baseline_and_the_verdicts(page, store):
    ranking = rank_entries(collect_scores(store, METRIC), "tumours")
    (families,) = [node for node in read(page).all("div") if node.attributes.get("class") == "families"][:1]
    rows = families.all("tbody")[0].all("tr")
    assert rows[-1].all("td")[0].text.startswith("majority")
    for row in rows:
        assert row.all("line")[0].attributes["class"] == "reference"
        ranked = next(ranked for ranked in ranking.entries if ranked.name == row.all("td")[0].text)
        assert row.all("td")[-1].text == format_verdict(ranking, ranked)
        coloured = row.all("span")[-1].attributes["class"] if row.all("td")[-1].all("span") else ""
        classes = {"best": "verdict better", "worse": "verdict worse", "not the best": "verdict worse"}
        assert coloured == classes.get(row.all("td")[-1].text, "")


def test_columns_that_say_the_same_in_every_row_are_left_out():
    columns = (
        ReportColumn("Name"),
        ReportColumn("Trials", "count"),
        ReportColumn("AP", "number"),
        ReportColumn("Empty"),
    )
    rows = tuple((name, 5, score, "") for name, score in (("a", 0.1), ("b", 0.2), ("a", 0.3)))
    table, shared = drop_constant_columns(ReportTable(columns, rows, drawn_column=2))
    assert [column.heading for column in table.columns] == ["Name", "AP"]
    assert table.rows[0] == ("a", 0.1)
    assert table.drawn_column == 1
    assert [(column.heading, cell) for column, cell in shared] == [("Trials", 5)]
    block, note = build_blocks((ReportTable(columns, rows),), "caption", None)
    assert [head.text for head in block.header] == ["Name", "AP"]
    assert "Trials 5" in note.html
    few = ReportTable(columns, rows[:2])
    assert drop_constant_columns(few) == (few, [])
    alike = ReportTable(columns[:2], tuple((row[0], "same") for row in rows))
    assert drop_constant_columns(alike) == (alike, [])


def test_hyperparameters_and_columns_are_described(tmp_path):
    finding_of_column = finding("number_as_text", "numbers written as text", "worst <b>")
    columns = [
        {"name": "worst <b>", "kind": "number", "missing": 3, "levels": 17},
        {"name": "code", "kind": "left out", "missing": None, "levels": None},
    ]
    task = tumours(splits=3, findings=[finding_of_column], column_summaries=columns)
    store = write_run(tmp_path / "run", [task])
    evidence = evidence_of(store)
    (section,) = columns_section.make_column_sections(evidence)
    assert section.parts[0] == "2 columns (number 1, left out 1)."
    assert section.parts[1].rows[0] == ("worst <b>", "number", 3 / 417, 17, "numbers written as text")
    assert section.parts[1].rows[1] == ("code", "left out", None, None, "")
    (section,) = parameters.make_hyperparameter_sections(evidence)
    table = next(part for part in section.parts if isinstance(part, ReportTable))
    assert ("C", "0.05", "3 of 3", "–") in table.rows
    run = store.read_run()
    del run["tasks"]["tumours"]["column_summaries"]
    store.write_run(run)
    assert columns_section.make_column_sections(evidence_of(store)) == []


def evidence_of(store: Store) -> Evidence:
    scores = collect_scores(store, METRIC)
    return Evidence(store, scores, tuple(rank_entries(scores, task) for task in scores.run["tasks"]))


def test_what_the_board_shows_is_what_the_ranking_says(page, store):
    board = boards(read(page))[0]
    ranking = rank_entries(collect_scores(store, METRIC), "tumours")
    rows = board.all("tbody")[0].all("tr")
    places = [place for place in ranking.entries if place.score.n]
    names = [row.all("th")[0].text.removesuffix(" recommended").removesuffix(" = default") for row in rows]
    assert names == [place.entry.name for place in places]
    for row, place in zip(rows, places, strict=True):
        shown = row.all("td")
        assert float(shown[1].attributes["data-v"]) == pytest.approx(place.score.mean)
        told = shown[2].all("svg")[0].attributes["aria-label"]
        assert told.startswith(f"{place.score.mean:.3f}")
        assert ("95 % interval" in told) == (
            place.score.ci_half_width == place.score.ci_half_width
        )  # NaN is no interval
    heads = [head.text for head in board.all("thead")[0].all("th")]
    scores = collect_scores(store, METRIC)
    verdicts = [cell(row, heads.index("Against the best")) for row in rows]
    assert verdicts == [format_verdict(ranking, place) for place in places]
    for kind, head in (("half", "F1 at 0.5"), ("tuned", "F1 tuned")):
        column = [float(cell(row, heads.index(head))) for row in rows]
        f1 = [scores.score_rows_of_entry("tumours", place.entry, kind).mean("f1") for place in places]
        assert column == pytest.approx(f1)


def cell(row: Node, at: int) -> str:
    """What the cell of a column is sorted by."""
    return [child for child in row.children if isinstance(child, Node)][at].attributes["data-v"]


# --- Markdown and CSV ------------------------------------------------------------------------------------------------


def test_no_html_of_a_text_passes():
    text = str(parse_markdown_blocks("<b>x</b>\n\n<details><summary>no</summary>\n\n**yes**\n\n</details>"))
    assert "<b>" not in text
    assert "<details" not in text
    assert "<strong>yes</strong>" in text


def test_the_page_and_the_csv_have_the_rows_that_markdown_folds():
    rows = tuple((f"a|{n}", MeanInterval(n / 1000, 0.01)) for n in range(40))
    table = ReportTable((ReportColumn("Name"), ReportColumn("AP", "number")), rows)
    block = render_html_table(table, "caption")
    assert len(block.rows) == 40
    assert block.right == (False, True)
    frame = pd.read_csv(io.StringIO(render_csv_table(table)))
    assert frame.columns.tolist() == ["Name", "AP", "AP ±"]
    assert frame["Name"].tolist() == [f"a|{n}" for n in range(40)]
    assert frame["AP"].tolist() == [n / 1000 for n in range(40)]


def test_csv_has_numbers_with_six_digits_and_rows_get_what_they_left_out():
    columns = (
        ReportColumn("Entry"),
        ReportColumn("Class"),
        ReportColumn("Δ AP", "change"),
        ReportColumn("Share", "percent", 1),
        ReportColumn("Rows", "count"),
        ReportColumn("Mixed", "count"),
    )
    rows = (
        ("a", "x", MeanInterval(-0.00123456789, 0.002), 0.125, 1234, "3/4"),
        ("", "y", MeanInterval(0.1), None, 5, 12),
    )
    frame = pd.read_csv(io.StringIO(render_csv_table(ReportTable(columns, rows))))
    assert frame.columns.tolist() == ["Entry", "Class", "Δ AP", "Δ AP ±", "Share (%)", "Rows", "Mixed"]
    assert frame["Entry"].tolist() == ["a", "a"]
    assert frame["Δ AP"].tolist() == [-0.00123457, 0.1]
    assert frame["Δ AP ±"].isna().tolist() == [False, True]
    assert frame["Share (%)"].tolist()[0] == 12.5
    assert frame["Rows"].tolist() == [1234, 5]
    assert frame["Mixed"].tolist() == ["3/4", "12"]


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-x", "@SUM(A1)", "\tx", "+0.100 ± 0.200"])
def test_no_cell_is_a_formula(text):
    assert escape_formula(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-1.5", "+0.1", "a=b", "xgb/none", "−3", ""])
def test_figures_and_ordinary_names_stay_as_they_are(text):
    assert escape_formula(text) == text


def test_every_table_of_the_pages_is_a_csv_that_pandas_reads(page, details, store):
    files = sorted((store.folder / "tables").iterdir())
    tables = [table for text in (page, details) for table in read(text).all("table")]
    families = [node for node in read(page).all("div") if node.attributes.get("class") == "families"]
    assert len(files) == sum(table.attributes["class"] == "grid" for table in tables) - reading(details) - len(families)
    assert all(len(pd.read_csv(path)) for path in files)


def reading(page: str) -> int:
    """The tables among the words on how to read the page, which say nothing of the run."""
    return sum(
        len(node.all("table")) for node in read(page).all("div") if node.attributes.get("class") == "reading-guide"
    )


def test_pictures_beyond_what_a_page_has_room_for_are_named_instead(store, tmp_path):
    copy = Store(shutil.copytree(store.folder, tmp_path / "copy"))
    evidence = Evidence(
        copy, scores := collect_scores(copy, METRIC), tuple(rank_entries(scores, task) for task in scores.run["tasks"])
    )
    found = collect_sections(evidence)
    whole, bare = (check(build_pages(evidence, found, size).details) for size in (MAX_FIGURE_BYTES, 0))
    assert not plots(bare)
    named = [node.text for node in bare.all("code") if node.text.startswith("figures/")]
    assert len(named) == len(plots(whole)) > 10
    assert all((copy.folder / name).exists() for name in named)


# --- hostile names ---------------------------------------------------------------------------------------------------


def test_hostile_names_are_text_everywhere(hostile):
    for text in (page_of(hostile), (hostile.folder / "details.html").read_text(encoding="utf-8")):
        check(text)
        assert "<script>alert" not in text
    text = (hostile.folder / "report.html").read_text(encoding="utf-8")
    root = check(text)
    assert "alert(1)" in root.text
    assert "<script>alert" not in text
    assert text.count("<script>") == 1
    plain = " ".join(HOSTILE.split())
    assert plain in root.text
    (board,) = boards(root)
    assert any(f"@logistic_regression {plain}/none/tuned" in name for name in names(board))
    headings = [node.text for node in root.all("h2")]
    assert plain in headings
    assert not [node for node in root.all("a") if "d.e" in node.attributes["href"]]
    assert [node.text for node in root.all("strong") + root.all("em") if node.text == "f"] == []


def test_hostile_names_are_text_in_csv_and_files(hostile):
    write_report(hostile, METRIC)
    files = [hostile.folder / "leaderboard.csv", *(hostile.folder / "tables").iterdir()]
    for path in files:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", path.name)
        for line in csv.reader(path.open(encoding="utf-8", newline="")):
            assert not [one for one in line if one.startswith(("=", "+", "-", "@")) and not re.match(r"[+-]?\d", one)]
    table = pd.read_csv(files[0])
    assert set(table.task) == {f"'{HOSTILE}"}
    assert {path.parent.name for path in hostile.folder.rglob("*.svg")} == {"figures"}


# --- the overview ----------------------------------------------------------------------------------------------------


def test_the_answer_says_who_is_first_what_is_found_and_which_strategies_help(store):
    scores = collect_scores(store, METRIC)
    ranking = rank_entries(scores, "tumours")
    said = recommendation_markdown(scores, ranking)
    best = ranking.best
    assert said.startswith(f"- **Use**: {best.name}: average precision")
    rows = scores.score_rows_of_entry("tumours", best.entry, "tuned")
    sentence = (
        r"it finds (\d+) % \\\[(\d+) %, (\d+) %\\\] of the “Yes” rows, and (\d+) % \\\[(\d+) %, (\d+) %\\\] of those"
    )
    shares = list(map(int, re.search(sentence, said).groups()))
    assert [shares[0], shares[3]] == [round(100 * rows.mean(name)) for name in ("recall", "precision")]
    assert shares[1] < shares[0] < shares[2]
    assert shares[4] < shares[3] < shares[5]
    assert "**Strategy**" not in recommendation_markdown(scores, ranking, ("Strategy",))
    assert "against none for logistic\\_regression" in said or "against none for logistic_regression" in said


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("one_split", "whether any difference is more than chance: with fewer than three splits"),
        ("later_rows", "whether any difference is more than chance: the splits follow time"),
        ("three_digits", "of the rows are decided correctly"),
    ],
)
def test_the_answer_claims_no_more_than_the_splits_allow(store, task, said):
    scores = collect_scores(store, METRIC)
    found = recommendation_markdown(scores, rank_entries(scores, task))
    assert said in found
    assert task != "one_split" or "Settled" not in found


def test_over_tasks_only_those_count_whose_splits_can_tell(store):
    scores = collect_scores(store, METRIC)
    rankings = [rank_entries(scores, task) for task in scores.run["tasks"]]
    assert "of the 2 tasks whose splits allow a test" in summarize_over_tasks(scores, rankings)
    silent = [ranking for ranking in rankings if ranking.no_test_reason]
    assert "No task has splits from which to tell" in summarize_over_tasks(scores, silent)


def test_a_long_paragraph_that_an_earlier_task_has_is_a_link():
    text, short = "How it is made. " * 30, "Of this task."
    tasks = [
        TaskReport(Of(name), "", (), (), (Section("A", (short,)), Section("B", (text, short)))) for name in ("x", "y")
    ]
    first, second = link_repeated_paragraphs(tasks)
    assert first.sections[1].parts == (text, short)
    assert second.sections[1].parts == ("How this is made and read: as for [x](#task-1-2).", short)


class Of(NamedTuple):
    """As much of a ranking as a link says."""

    task: str


# --- the browser -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed, so nothing can be clicked")
def test_sort_filter_and_choices_in_a_browser(page, tmp_path):
    script = """
    addEventListener("load", () => {
      const board = document.querySelector(".board"), table = board.querySelector("table");
      const head = (text) => [...table.querySelectorAll("thead th")].find((one) => one.textContent.startsWith(text));
      const rows = () => [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[1].textContent.trim());
      const seen = (name) => document.body.setAttribute("data-" + name, JSON.stringify(rows()));
      const type = (input, value) => { input.value = value; input.dispatchEvent(new Event("input", { bubbles: true })); };
      const click = (of, value) => board.querySelector(`[data-of="${of}"][value="${value}"]`).click();
      for (const one of document.querySelectorAll("details.task")) one.open = true;
      seen("before");
      head("Log loss").querySelector("button").click();
      head("Log loss").querySelector("button").click();
      seen("sorted");
      document.body.setAttribute("data-aria", head("Log loss").getAttribute("aria-sort"));
      type(board.querySelector('[data-of="text"]'), "bayes tuned");
      seen("filtered");
      document.body.setAttribute("data-said", board.querySelector("output").textContent);
      type(board.querySelector('[data-of="text"]'), "");
      click("family", "bayes");
      click("stage", "default");
      seen("hidden");
      const heads = (text) => [...table.querySelectorAll("thead th")].filter((one) => one.textContent.startsWith(text));
      const shown = (one) => getComputedStyle(one).display !== "none";
      const visible = (text) => heads(text).filter(shown).map((one) => one.className);
      document.body.setAttribute("data-tuned", JSON.stringify(visible("F1")));
      click("kind", "half");
      document.body.setAttribute("data-half", JSON.stringify(visible("F1")));
    });
    """
    open_page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    path = tmp_path / "page.html"
    path.write_text(open_page.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    body = next(node for node in read(dom(path, tmp_path)).all("body"))
    found = {name.removeprefix("data-"): value for name, value in body.attributes.items()}
    lists = {name: json.loads(value) for name, value in found.items() if value.startswith("[")}
    board = boards(read(page))[0]
    heads = [head.text for head in board.all("thead")[0].all("th")]
    lines = [(row.all("th")[0].text, cell(row, heads.index("Log loss"))) for row in board.all("tbody")[0].all("tr")]
    assert lists["before"] == [name for name, _ in lines][: len(lists["before"])]
    by_loss = [name for name, value in sorted(lines, key=lambda line: float(line[1]))]
    assert lists["sorted"] == by_loss[: len(lists["sorted"])]
    assert found["aria"] == "ascending"
    assert lists["filtered"] == [name for name in by_loss if "bayes" in name and "tuned" in name]
    assert found["said"] == f"{len(lists['filtered'])} of {len(lines)} entries"
    assert lists["hidden"] == [name for name in by_loss if not name.startswith("bayes") and "/default" not in name]
    assert lists["tuned"] == ["r g-decisions k-tuned"]
    assert lists["half"] == ["r g-decisions k-half"]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed, so nothing can be opened")
def test_the_page_as_it_is_runs_its_own_script_and_style_and_no_other(page, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page.replace("</body>", '<script>document.body.id = "foreign"</script></body>'), encoding="utf-8")
    root = read(dom(path, tmp_path))
    assert root.all("html")[0].attributes["class"] == "js"
    assert root.all("body")[0].attributes == {}
    assert not [form for form in root.all("form") if "hidden" in form.attributes]


def dom(path: Path, folder: Path) -> str:
    """What a page has become in the browser."""
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--window-size=1280,2000",
    ]
    own = [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000", "--dump-dom", path.as_uri()]
    return subprocess.run([BROWSER, *options, *own], capture_output=True, text=True, timeout=300, check=True).stdout


def test_several_runs_are_reported_and_opened(page, store, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(store.folder, tmp_path / name)
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/opened\n')
    browser.chmod(0o755)
    call = [sys.executable, "-m", "harness", "report", "one", "two", "--open"]
    environment = os.environ | {"BROWSER": f"{browser} %s"}
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.endswith("report.html")] == [
        "one/report.html",
        "two/report.html",
    ]
    opened = (tmp_path / "opened").read_text().split()
    assert opened == [(tmp_path / name / "report.html").as_uri() for name in ("one", "two")]


# --- the sample ------------------------------------------------------------------------------------------------------


def without_pictures(page: str) -> str:
    return re.sub(r'(<svg class="plot" role="img" aria-label="[^"]*").*?</svg>', r"\1</svg>", page, flags=re.DOTALL)


def test_the_sample_s_page_and_tables_render_again_byte_for_byte(tmp_path):
    """Pictures aside, which differ with matplotlib's version."""
    copy = shutil.copytree(SAMPLE, tmp_path / "sample", ignore=shutil.ignore_patterns("derived", "tables", "*.html"))
    (copy / "derived").mkdir()
    shutil.copy(SAMPLE / "derived" / "importances.json", copy / "derived")
    page_of(Store(copy))
    for name in ("report.html", "details.html"):
        made, kept = ((folder / name).read_text(encoding="utf-8") for folder in (copy, SAMPLE))
        assert without_pictures(made) == without_pictures(kept)
    made, kept = ({path.name: path.read_bytes() for path in (at / "tables").iterdir()} for at in (copy, SAMPLE))
    assert made == kept
