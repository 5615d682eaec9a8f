"""Charts of a task that stand on the page and in `leaderboard.md`, a file each."""
