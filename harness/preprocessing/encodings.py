"""All encodings by name."""

from harness.preprocessing.encoder import Encoding
from harness.preprocessing.image import IMAGE, PRINCIPAL
from harness.preprocessing.tabular_encoders import TABULAR
from harness.preprocessing.text import TEXT

ENCODINGS: dict[str, Encoding] = {encoding.name: encoding for encoding in (*TABULAR, *TEXT, *IMAGE, PRINCIPAL)}
