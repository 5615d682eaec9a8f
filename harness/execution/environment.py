"""The machine and the versions of packages that numbers may depend on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = (
    "evenhand", "numpy", "pandas", "scipy", "scikit-learn", "imbalanced-learn", "optuna", "xgboost-cpu", "xgboost", "lightgbm",
    "catboost", "interpret-core", "tensorflow-cpu", "tensorflow", "keras",
)  # fmt: skip


def describe_host() -> dict[str, Any]:
    """The machine, as far as numbers may depend on it."""
    return {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()}


def package_versions() -> dict[str, str]:
    """The versions of Python and of the packages that numbers depend on."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed
