"""Every encoding there is, by name."""

from harness.search.encode import TABULAR
from harness.search.encoding import Encoding
from harness.search.texts import TEXT

ENCODINGS: dict[str, Encoding] = {encoding.name: encoding for encoding in (*TABULAR, *TEXT)}
