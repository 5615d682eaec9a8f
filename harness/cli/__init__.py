"""The command line: one command, one short function. `evenhand --help` lists them in the order of these imports."""

from harness.cli import run, deploy, registry  # noqa: F401, I001 -- each adds its commands
from harness.cli.app import app

__all__ = ["app"]
