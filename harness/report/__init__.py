"""Reports: leaderboards, pages and comparisons, written from evaluated scores."""
