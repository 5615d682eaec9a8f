"""Every encoding there is, by name."""

from harness.search.encode import TABULAR
from harness.search.encoding import Encoding
from harness.search.pictures import IMAGE
from harness.search.principal import PRINCIPAL
from harness.search.texts import TEXT

ENCODINGS: dict[str, Encoding] = {encoding.name: encoding for encoding in (*TABULAR, *TEXT, *IMAGE, PRINCIPAL)}
