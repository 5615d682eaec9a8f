"""The page: everything a report says as one HTML file that needs nothing else."""
