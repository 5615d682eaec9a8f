"""The pictures of a report: values in, files out; matplotlib is imported only when one is drawn."""
