"""Figures as files: drawn once, in several processes where there are many, and again only where their content has changed."""

from __future__ import annotations

import gc
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar

from harness.processes import map_in_forks
from harness.report.content import Figure
from harness.store.files import remove_file, write_atomic
from harness.store.store import Store

VERSION = 12  #: of the drawings; figures of another version are drawn again
MIN_PARALLEL_FIGURES = 8  #: from which on further processes are forked
MAX_PROCESSES = 4
GARBAGE_THRESHOLDS = (50_000, 20, 100)  #: see `gc.set_threshold`
ALL_TASKS = "all-tasks"  #: replaces the task in the names of files that are about no single task
UNSAFE_CHARACTERS = re.compile(r"[^A-Za-z0-9._-]+")
Index = TypeVar("Index", dict[str, str], list[str])
FigureOrder: TypeAlias = tuple[Figure, Path]  #: a figure and the path of its file


def draw_all_figures(store: Store, figures: Iterable[Figure]) -> None:
    """Write figures into `figures/` as SVG.

    A hash of the content of each figure is stored; a figure with the same hash is not drawn again. Figures of an earlier
    report that are not among these are deleted, and so are the PNG files that earlier versions wrote.

    Parameters
    ----------
    store : Store
        The run.
    figures : iterable of Figure
        All figures of the report.

    Raises
    ------
    StoreError
        If a figure cannot be drawn or written.
    """
    drawn_hashes: dict[str, str] = read_file_index(_figure_hashes_path(store), {})
    hashes: dict[str, str] = {}
    figure_orders: list[FigureOrder] = []
    for name, figure in {figure.name: figure for figure in figures}.items():
        hashed_content = (VERSION, figure.draw.args, figure.draw.keywords)
        hashes[name] = hashlib.sha256(repr(hashed_content).encode()).hexdigest()
        path = _figure_path(store, name)
        complete_size = path.exists() and path.stat().st_size
        if drawn_hashes.get(name) != hashes[name] or not complete_size:
            figure_orders.append((figure, path))
    draw_figures(figure_orders)
    for name in filter(is_report_file_name, drawn_hashes.keys() - hashes.keys()):
        remove_file(_figure_path(store, name))
    for name in filter(is_report_file_name, drawn_hashes):
        for path in _files_of_earlier_versions(store, name):
            remove_file(path)
    if hashes != drawn_hashes:
        write_atomic(_figure_hashes_path(store), json.dumps(hashes, indent=1).encode())


def draw_figures(orders: Sequence[FigureOrder]) -> None:
    """Draw figures and write their files, in several processes where there are many.

    Parameters
    ----------
    orders : sequence of FigureOrder
        The figures and the paths of their files.

    Raises
    ------
    StoreError
        If a figure cannot be written.
    """
    if not orders:
        return
    import matplotlib as mpl

    def draw_order(position: int) -> None:
        figure, path = orders[position]
        write_atomic(path, figure.draw())

    processes = MAX_PROCESSES if len(orders) >= MIN_PARALLEL_FIGURES else 1
    # Figures leave much garbage, and every search for it would go through all that the report has read. Rarer searches take a
    # seventh of the time less, and 4 MB more.
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    try:
        with mpl.rc_context():
            mpl.rcdefaults()  # a file `matplotlibrc` of the current folder or of the user changes no figure
            for _ in map_in_forks(draw_order, range(len(orders)), processes):
                pass
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def read_figure(store: Store, name: str) -> bytes:
    """Read the file of a figure."""
    return _figure_path(store, name).read_bytes()


def report_file_name(task: str, kind: str, *details: str) -> str:
    """Make the name of a file about a task, which is safe whatever the task and the families are called.

    Parameters
    ----------
    task : str
        The task; empty for a file that is about all tasks.
    kind : str
        What the file shows.
    *details : str
        Parts that distinguish files of one kind, such as a family.

    Returns
    -------
    str
        The parts, joined by dots. Where a part has a dot or a character that is not safe in file names, a hash is
        appended, so that no two files have the same name.
    """
    name_parts = tuple(filter(None, (task or ALL_TASKS, kind, *details)))
    joined_name = ".".join(name_parts)
    safe_name = UNSAFE_CHARACTERS.sub("-", joined_name).strip(".-")
    if safe_name == joined_name and joined_name.count(".") == len(name_parts) - 1 and task != ALL_TASKS:
        return safe_name
    digest = hashlib.sha256(repr((task, *name_parts)).encode()).hexdigest()[:8]
    return f"{safe_name}-{digest}".lstrip("-")


def is_report_file_name(name: str) -> bool:
    """Whether `report_file_name` can have made a name; a stored list never causes other files to be deleted."""
    return bool(name) and not UNSAFE_CHARACTERS.search(name) and name == name.strip(".-")


def _figure_path(store: Store, name: str) -> Path:
    return store.folder / "figures" / f"{name}.svg"


def _files_of_earlier_versions(store: Store, name: str) -> tuple[Path, Path]:
    """The files that earlier versions wrote beside the SVG."""
    return store.folder / "figures" / f"{name}.png", store.folder / "derived" / "pictures" / f"{name}.webp"


def _figure_hashes_path(store: Store) -> Path:
    return store.folder / "derived" / "figures.json"


def read_file_index(path: Path, empty: Index) -> Index:
    """Read which files an earlier report has written; `empty` where that is not known."""
    try:
        file_index = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return empty
    return file_index if isinstance(file_index, type(empty)) else empty
