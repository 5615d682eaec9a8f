"""The winner leaves the house: bundles, and what is done with them."""
