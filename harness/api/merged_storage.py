"""What the Optuna dashboard reads: studies in memory with titles, and importances only where trials suffice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study._frozen import FrozenStudy
    from optuna.trial import FrozenTrial

WsgiApp: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
#: Trials with a score that a study needs for importances, in all and for each parameter: with fewer they are chance.
MIN_IMPORTANCE_TRIALS, MIN_TRIALS_PER_PARAMETER = 30, 10
IMPORTANCES = re.compile(r"/api/studies/(\d+)/param_importances")


class TitledStudies(InMemoryStorage):
    """A storage in memory that hands out the title of a study, which can change, in the place of its name.

    The cards of the dashboard show the name of a study and nothing else of it. Studies are found by both.
    """

    def __init__(self) -> None:
        super().__init__()
        self.titles: dict[int, str] = {}

    def set_title(self, study_id: int, title: str) -> None:
        """Set the title of a study."""
        self.titles[study_id] = title

    def get_all_studies(self) -> list[FrozenStudy]:
        """List the studies with their titles."""
        studies = super().get_all_studies()
        for study in studies:
            study.study_name = self.titles.get(study._study_id, study.study_name)
        return studies

    def get_study_name_from_id(self, study_id: int) -> str:
        """The title of a study, or its name where it has none."""
        name = super().get_study_name_from_id(study_id)
        return self.titles.get(study_id, name)

    def get_study_id_from_name(self, study_name: str) -> int:
        """The number of the study of this name or title."""
        for study_id, title in self.titles.items():
            if title == study_name:
                return study_id
        return super().get_study_id_from_name(study_name)

    def delete_study(self, study_id: int) -> None:
        """Delete a study and its title."""
        super().delete_study(study_id)
        self.titles.pop(study_id, None)


def explain_absent_importances(app: WsgiApp, storage: BaseStorage) -> WsgiApp:
    """Make the dashboard state how many trials importances need, in the place of importances from fewer.

    Parameters
    ----------
    app : WSGI application
        The dashboard.
    storage : BaseStorage
        Its studies.

    Returns
    -------
    WSGI application
        The dashboard, which answers such requests with one bar of no length that is named by the reason.
    """

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        match = IMPORTANCES.fullmatch(environ.get("PATH_INFO", ""))
        reason = explain_too_few_trials(storage, int(match[1])) if match else ""
        if not reason:
            return app(environ, start_response)
        bar = {"name": reason, "importance": 0.0, "distribution": "CategoricalDistribution"}
        response = json.dumps({"param_importances": [[bar]]}).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(response)))])
        return [response]

    return serve


def explain_too_few_trials(storage: BaseStorage, study_id: int) -> str:
    """State how many trials with a score a study needs for importances; empty where it has them, or does not exist."""
    try:
        trials = storage.get_all_trials(study_id, deepcopy=False, states=(TrialState.COMPLETE,))
    except KeyError:
        return ""  # the dashboard has its own answer
    required_trials = count_required_trials(trials)
    if len(trials) >= required_trials:
        return ""
    return f"too few trials: {len(trials)} of {required_trials}"


def count_required_trials(trials: Sequence[FrozenTrial]) -> int:
    """The number of trials with a score that importances of the parameters of some trials need."""
    parameters: set[str] = set()
    for trial in trials:
        parameters |= trial.params.keys()
    return max(MIN_IMPORTANCE_TRIALS, MIN_TRIALS_PER_PARAMETER * len(parameters))
