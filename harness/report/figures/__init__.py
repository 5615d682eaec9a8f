"""The figures of a report; matplotlib is imported only when one is drawn."""
