"""What the command line and Python both call: benchmark, progress, replay, dashboard, TensorBoard."""
