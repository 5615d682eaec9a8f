"""How the searches of a run went, from their journals."""

from harness.report.searches.sections import sections as sections
