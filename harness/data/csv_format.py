"""How a CSV file is written: compression, encoding, separator and header, found before its rows are read."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from harness.data.packed_files import open_unpacked
from harness.data.title_lines import count_titles, title_findings
from harness.errors import DataError
from harness.findings import Finding

FIRST_LINE = 1_000_000  #: bytes within which the first line of a CSV must end
SAMPLE_BYTES = 64_000  #: bytes from which encoding and separator are found
SAMPLE_ROWS = 50
MAX_COLUMNS = 100_000  #: each takes about a millisecond to read
MAX_ZEROS = 0.01  #: share of zero bytes in a sample of a text in UTF-8; in UTF-16 it is a half where letters are Latin
TYPICAL_SHARE = 0.9  #: of the rows that have as many columns as the first line, from which on this is no title
BLOCK_BYTES = 1_000_000  #: bytes that are read at once
SEPARATORS = ",;\t|"
MAX_SHOWN = 60  #: characters of a line in a message
NO_NAME = "(no name)"  #: the name of a column that has none
UTF8, DEFAULT_ENCODING, LAST_ENCODING = "utf-8-sig", "cp1252", "latin-1"
#: First bytes of a file → its encoding; the longest come first.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: Encodings of scripts other than the Latin one, among which charset-normalizer chooses.
OTHER_SCRIPTS = ["cp1251", "koi8_r", "cp1253", "cp932", "euc_jp", "gb18030", "big5", "euc_kr", "cp1255", "cp1256"]
WORD = re.compile(rb"[A-Za-z\x80-\xff]{2,}")
#: Share of bytes outside ASCII, in words that have any, from which a text is in another script: "größe" has two of five.
OTHER_SCRIPT_SHARE = 0.6
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  #: the first line that Excel writes and reads
NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)?|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class CsvFormat:
    """How a CSV file is written.

    Attributes
    ----------
    encoding, separator : str
        Its encoding and the separator of its columns.
    names : tuple of str
        The names of its columns; those of `numbered_column_names` for a file without a header.
    has_header : bool
        Whether its first line has the names.
    skipped_lines : int
        Lines before that: 1 for the line "sep=;" of Excel.
    notes : tuple of Finding
        What is to be said about these choices.
    """

    encoding: str
    separator: str
    names: tuple[str, ...]
    has_header: bool
    skipped_lines: int
    notes: tuple[Finding, ...] = ()


def numbered_column_names(count: int) -> tuple[str, ...]:
    """Name the columns of a file without a header: column_1, column_2, …"""
    return tuple(f"column_{column_number}" for column_number in range(1, count + 1))


def detect_csv_format(path: Path, min_columns: int = 2, has_header: bool = True) -> CsvFormat:
    """Find how a CSV file is written.

    Parameters
    ----------
    path : Path
        The file.
    min_columns : int, default 2
        The smallest number of columns.
    has_header : bool, default True
        Whether its first line has the names of the columns.

    Returns
    -------
    CsvFormat
        Encoding, separator and names.

    Raises
    ------
    DataError
        If the file is not a CSV, has fewer columns, or two columns with one name.
    """
    encoding, encoding_notes = detect_encoding(path)
    with open_unpacked(path) as (decompressed_file, _):
        first_bytes = decompressed_file.read(FIRST_LINE)
    text = _decode_start(first_bytes, encoding, str(path), is_all=len(first_bytes) < FIRST_LINE)
    skipped_lines, text = _skip_blank_lines(text)
    first_line, _, following_lines = text.partition("\n")
    separator_match = SEPARATOR_LINE.fullmatch(first_line.strip(" "))
    if separator_match and following_lines:
        skipped_lines, text = skipped_lines + 1, following_lines
    titles = _find_titles(text[:SAMPLE_BYTES]) if has_header else []
    skipped_lines, text = skipped_lines + len(titles), text.split("\n", len(titles))[-1]
    encoding_notes = (*encoding_notes, *title_findings(titles))
    separator = (
        separator_match[1]
        if separator_match
        else _detect_separator(text[:SAMPLE_BYTES], is_all=len(text) <= SAMPLE_BYTES)
    )
    records = list(_parse_csv_rows(text[:SAMPLE_BYTES], separator))
    header = records[0] if records else []
    if len(header) < min_columns:
        shown_line = ascii(text.partition("\n")[0][:MAX_SHOWN])
        raise DataError(
            f"{path} has one column only, {shown_line}: a target and at least one feature are needed (separators: , ; tab |)"
        )
    names = numbered_column_names(len(header))
    if has_header:
        names = tuple(map(name_column, header))
        encoding_notes = (*encoding_notes, *_check_header(header, records[1:], path))
    return CsvFormat(encoding, separator, names, has_header, skipped_lines, encoding_notes)


def _check_header(header: list[str], rows: list[list[str]], path: Path) -> list[Finding]:
    """Check the names of the columns; a warning where they look like a row of data."""
    if not _looks_like_data(header, rows):
        check_column_names(header, str(path))
        return []
    check_column_names(header, str(path), ": is its first line a row of data? (--no-header)")
    message = (
        f"its first line looks like a row of data ({', '.join(header[:3])}, …) and was taken for names: --no-header"
    )
    return [Finding("header_like_data", "warning", message)]


def name_column(name: str) -> str:
    """Name a column as tables do: one without a name is `NO_NAME`, wherever it is."""
    return name if name.strip() else NO_NAME


def check_column_names(names: list[str], what: str, advice: str = "") -> None:
    """Raise `DataError` where two columns have one name, several have none, or there are more than any table has."""
    if len(names) > MAX_COLUMNS:
        raise DataError(f"{what} has {len(names):,} columns: expected at most {MAX_COLUMNS:,}")
    for name, count in Counter(names).items():
        if count > 1 and name:
            raise DataError(f"{what} has two columns named {name!r}: rename one{advice}")
        if count > 1:
            raise DataError(f"{what} has {count} columns without a name: name them{advice}")


def detect_encoding(path: Path) -> tuple[str, tuple[Finding, ...]]:
    """Find the encoding of a text file: by its first bytes, as UTF-8 where all of it is, else by its words.

    Parameters
    ----------
    path : Path
        The file, packed or not.

    Returns
    -------
    encoding : str
        A name that Python knows.
    notes : tuple of Finding
        The choice, where it was one.

    Raises
    ------
    DataError
        If it is not a text.
    """
    with open_unpacked(path) as (decompressed_file, _):
        byte_block = decompressed_file.read(BLOCK_BYTES)
        for byte_order_mark, encoding in BYTE_ORDER_MARKS:
            if byte_block.startswith(byte_order_mark):
                return encoding, ()
        zero_bytes = byte_block[:SAMPLE_BYTES].count(0)
        if zero_bytes > MAX_ZEROS * len(byte_block[:SAMPLE_BYTES]):
            return _detect_utf16(byte_block[: SAMPLE_BYTES // 2 * 2], path)
        utf8_decoder = codecs.getincrementaldecoder("utf-8")()
        while byte_block:
            try:
                utf8_decoder.decode(byte_block)
            except UnicodeDecodeError:
                sample = _non_ascii_lines(byte_block + decompressed_file.read(BLOCK_BYTES))
                return _guess_encoding(sample, path)
            byte_block = decompressed_file.read(BLOCK_BYTES)
    return UTF8, ()


def _detect_utf16(sample: bytes, path: Path) -> tuple[str, tuple[Finding, ...]]:
    """Tell UTF-16 without a byte order mark by where its zero bytes are."""
    even_zeros, odd_zeros = sample[::2].count(0), sample[1::2].count(0)
    encoding = "utf-16-le" if odd_zeros > even_zeros else "utf-16-be"
    if min(even_zeros, odd_zeros) == 0:
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(sample)
        except UnicodeDecodeError:
            text = ""
        if any(line_end in text for line_end in "\r\n"):
            return encoding, (_make_encoding_finding(encoding),)
    raise DataError(f"{path} is not a text file: expected a CSV, or a file that ends in .parquet, .xlsx or .jsonl")


def _non_ascii_lines(sample_bytes: bytes) -> bytes:
    lines = [line for line in sample_bytes.splitlines() if not line.isascii()]
    return b"\n".join(lines)[:SAMPLE_BYTES]


def _guess_encoding(sample: bytes, path: Path) -> tuple[str, tuple[Finding, ...]]:
    """Choose an encoding for text that is not UTF-8.

    charset-normalizer tells scripts apart, but not the encodings of Western languages in the few words of a table: it reads
    "Köln" as Big5 and "très" as "trčs". For these cp1252 is taken, or Latin-1 where it has no such character.
    """
    from charset_normalizer import from_bytes

    candidate_encodings = [DEFAULT_ENCODING]
    words = [word for word in WORD.findall(sample) if not word.isascii()]
    non_ascii_bytes = sum(sum(word_byte > 127 for word_byte in word) for word in words)
    if non_ascii_bytes > OTHER_SCRIPT_SHARE * sum(map(len, words)):
        match = from_bytes(sample, cp_isolation=OTHER_SCRIPTS).best()
        if match is not None:
            candidate_encodings.insert(0, match.encoding)
    for encoding in candidate_encodings:
        if _is_decodable(path, encoding):
            return encoding, (_make_encoding_finding(encoding),)
    return LAST_ENCODING, (_make_encoding_finding(LAST_ENCODING),)


def _make_encoding_finding(encoding: str) -> Finding:
    return Finding(
        "encoding", "note", f"the file is not UTF-8 and was read as {encoding}: save it as UTF-8 if that is wrong"
    )


def _is_decodable(path: Path, encoding: str) -> bool:
    incremental_decoder = codecs.getincrementaldecoder(encoding)()
    with open_unpacked(path) as (decompressed_file, _):
        try:
            while byte_block := decompressed_file.read(BLOCK_BYTES):
                incremental_decoder.decode(byte_block)
        except UnicodeDecodeError:
            return False
    return True


def _decode_start(first_bytes: bytes, encoding: str, source_description: str, *, is_all: bool) -> str:
    """Decode the beginning of a file; errors that a complete read would find late are raised here."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(first_bytes, final=is_all)
    except UnicodeDecodeError as error:
        raise DataError(f"{source_description} is not {encoding} (byte {error.start}): save it as UTF-8") from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise DataError(
            f"{source_description} is empty, or begins with many empty lines: expected a CSV with names in its first line"
        )
    if not is_all and "\n" not in text.strip("\n"):
        raise DataError(
            f"{source_description}: its first line is longer than {FIRST_LINE // 1_000_000} MB: expected a CSV with names in it"
        )
    return text


def _skip_blank_lines(text: str) -> tuple[int, str]:
    """Return how many lines before the first one are blank, and the text from there on."""
    n_lines = 0
    first_line, _, following_lines = text.partition("\n")
    while not first_line.strip():
        n_lines, text = n_lines + 1, following_lines
        first_line, _, following_lines = text.partition("\n")
    return n_lines, text


def _find_titles(text: str) -> list[str]:
    """Find the lines above that with the names of the columns; empty where the first line may have them."""
    titles: list[str] = []
    for separator in SEPARATORS:
        records, ends = _read_records_with_ends(text, separator)
        if len(records) < 2:
            continue
        if _divides_first_line_as_rows(records):
            return []
        n_titles = count_titles(records[:-1])  # the last one may be cut
        if n_titles and not titles:
            titles = text.split("\n")[: ends[n_titles] - 1]
    return titles


def _read_records_with_ends(text: str, separator: str) -> tuple[list[list[str]], list[int]]:
    """The first rows that are not empty, with the number of the line at which each ends; none where they cannot be parsed."""
    records: list[list[str]] = []
    ends: list[int] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for record in islice(reader, SAMPLE_ROWS):
            if record:
                records.append(record)
                ends.append(reader.line_num)
    except csv.Error:
        return [], []
    return records, ends


def _divides_first_line_as_rows(records: list[list[str]]) -> bool:
    """Whether a separator divides the first line into as many names as nearly all rows have columns, so that it is no title."""
    if not all(name.strip() for name in records[0]):
        return False
    width = len(records[0])
    rows = records[1:-1] or records[1:]
    return width > 1 and sum(len(record) == width for record in rows) >= TYPICAL_SHARE * len(rows)


def _parse_csv_rows(text: str, separator: str, *, is_strict: bool = False) -> Iterator[list[str]]:
    """Parse the first rows of a text; ends where they cannot be parsed."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=is_strict)
    try:
        for record_number, record in enumerate(reader):
            if record_number > SAMPLE_ROWS:
                return
            yield record
    except csv.Error:
        return


def _detect_separator(text: str, *, is_all: bool) -> str:
    """Choose the separator that divides the header, with quotes, and the most rows into the same number of columns."""

    def separator_quality(separator: str) -> tuple[float, int]:
        records = list(_parse_csv_rows(text, separator, is_strict=True))
        if not is_all and len(records) > 1:
            records = records[:-1]  # the last one may be cut
        width = len(records[0]) if records else 0
        if width < 2:
            return 0.0, width
        rows = [record for record in records[1:] if record]
        matching_rows = sum(len(record) == width for record in rows)
        return (1 + matching_rows) / (1 + len(rows)), width

    return max(SEPARATORS, key=separator_quality)


def _looks_like_data(header: list[str], rows: list[list[str]]) -> bool:
    """Whether the header has numbers where the rows have them, in half of its columns or more."""
    numeric_names = [name for name in header if NUMBER.fullmatch(name.strip())]
    if not numeric_names or len(numeric_names) < len(header) / 2:
        return False
    numeric_in_both = 0
    for name, cell in zip(header, rows[0] if rows else [], strict=False):
        numeric_in_both += bool(NUMBER.fullmatch(name.strip())) and bool(NUMBER.fullmatch(cell.strip()))
    return numeric_in_both >= len(header) / 2
