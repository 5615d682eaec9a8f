"""The pictures of a run as files, where matplotlib is there; else a hint how to get it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from harness.report.complexity import weigh
from harness.report.curves import Trained, Training
from harness.report.figures.costs import pareto_figure
from harness.report.figures.networks import architecture_figure, convergence_figure
from harness.report.layers import Chosen, chosen_architectures
from harness.report.ranking import Ranking
from harness.report.scores import Scores
from harness.store.store import Store, write_atomic

HINT = "No pictures: matplotlib is not installed. `pip install 'evenhand[plots]'`, then `evenhand report` on this folder, draws them."
VERSION = 2  #: of how pictures are drawn: of another one they are drawn again
PARETO, TRAINING, LAYERS = "complexity", "training", "layers"


@dataclass(frozen=True)
class Gallery:
    """Which pictures there are, by name without ending; `hint` says why there are none."""

    names: frozenset[str] = frozenset()
    hint: str = ""

    def show(self, said: str, task: str, kind: str, family: str = "") -> str:
        """A picture as Markdown, or nothing where it is not there; `said` is for who cannot see it."""
        name = file_name(task, kind, family)
        return f"![{said}](figures/{name}.png)" if name in self.names else ""


def draw_all(store: Store, scores: Scores, rankings: list[Ranking], training: Training) -> Gallery:
    """Write every picture into `figures/`, as PNG and SVG; raises `StoreError` where that cannot be done.

    One that shows what it showed before is not drawn again: what each was made of is kept under `derived/`.
    """
    if find_spec("matplotlib") is None:
        return Gallery(hint=HINT)
    drawn, made_of = _read_drawn(store), dict[str, str]()
    for ranking in rankings:
        for name, draw in _pictures(scores, ranking, training):
            files = {ending: store.folder / "figures" / f"{name}.{ending}" for ending in ("png", "svg")}
            made_of[name] = hashlib.sha256(repr((VERSION, draw.args, draw.keywords)).encode()).hexdigest()
            if drawn.get(name) != made_of[name] or not all(path.exists() for path in files.values()):
                for ending, data in draw().items():
                    write_atomic(files[ending], data)
    if made_of != drawn:
        write_atomic(_drawn_file(store), json.dumps(made_of, indent=1).encode())
    return Gallery(frozenset(made_of))


def file_name(task: str, kind: str, family: str = "") -> str:
    """What a picture's file is called, whatever a task or family is called."""
    plain = "_".join(part for part in (task, kind, family) if part)
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip(".-")
    return safe if safe == plain else f"{safe}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}"


def networks_of(ranking: Ranking, training: Training) -> dict[str, list[tuple[str, Trained]]]:
    """The tuned networks of a task by family, best first: a title, and how they were trained."""
    found: dict[str, list[tuple[str, Trained]]] = {}
    for place in ranking.places:
        trained = training.entries.get((ranking.task, place.entry))
        if trained and place.entry.stage == "tuned":
            found.setdefault(place.entry.family, []).append((place.entry.strategy, trained))
    return found


def layers_of(scores: Scores, ranking: Ranking) -> dict[str, list[Chosen]]:
    """The chosen architectures of a task by family."""
    found: dict[str, list[Chosen]] = {}
    for one in chosen_architectures(scores, ranking):
        found.setdefault(one.entry.family, []).append(one)
    return found


def _pictures(scores: Scores, ranking: Ranking, training: Training) -> Iterator[tuple[str, partial[dict[str, bytes]]]]:
    """Every picture of a task: its name, and how it is drawn from which values."""
    families = list(scores.run["families"])
    weighed = weigh(ranking)
    if any(one.front for one in weighed):
        metric = ranking.metric
        draw = partial(pareto_figure, weighed, families, metric.label or metric.name, greater=metric.greater_is_better)
        yield file_name(ranking.task, PARETO), draw
    for family, lines in networks_of(ranking, training).items():
        yield file_name(ranking.task, TRAINING, family), partial(convergence_figure, lines)
    for family, chosen in layers_of(scores, ranking).items():
        yield file_name(ranking.task, LAYERS, family), partial(architecture_figure, chosen)


def _drawn_file(store: Store) -> Path:
    return store.folder / "derived" / "figures.json"


def _read_drawn(store: Store) -> dict[str, str]:
    """What the pictures that lie there were made of; nothing where that is not known."""
    try:
        found = json.loads(_drawn_file(store).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
