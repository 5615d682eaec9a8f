"""Two entries or two runs side by side: what differs, and why one is above the other."""
