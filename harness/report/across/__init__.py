"""All tasks together: who is better where, and what that says about other tasks."""
