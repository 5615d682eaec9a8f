"""Errors whose messages are one line for the user, and the reasons that are stored of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from harness.findings import Parameter, Reason

MAX_MESSAGE = 2000  #: characters of a message that are shown: names of columns and classes may have any length


class EvenhandError(Exception):
    """An error that a user can correct: the message says what was expected, what was found and what to do.

    Attributes
    ----------
    code : str
        Name of the kind of error as it is stored with a skip or a failure; does not change between versions.
    parameters : mapping of str to str or number
        What the message says of this very case, by name: see `findings.Reason`.
    """

    code = "error"

    def __init__(self, *args: object, code: str = "", parameters: Mapping[str, Parameter] | None = None) -> None:
        super().__init__(*args)
        if code:
            self.code = code
        self.parameters = dict(parameters or {})


class UnknownNameError(EvenhandError):
    """A name that nothing is registered under."""

    code = "unknown_name"


class DeclarationError(EvenhandError):
    """A declaration that contradicts itself or another one."""

    code = "invalid_declaration"


class DataError(EvenhandError):
    """Data that cannot be used as they are."""

    code = "unusable_data"


class Unavailable(EvenhandError):  # noqa: N818 -- no error: a reason to skip
    """Data or a package that is not available: the reason, and how to get it."""

    code = "unavailable_data"


class MissingPackageError(Unavailable):
    """A package that is not installed: what needs it, and how to install it."""

    code = "missing_package"


class Inapplicable(EvenhandError):  # noqa: N818 -- a property of the combination, not an error
    """A strategy or family that cannot act on these rows, with the reason.

    With `always`, no other configuration could either, so that the cell ends here.
    """

    code = "inapplicable"

    def __init__(self, reason: str, *, always: bool = False, code: str = "") -> None:
        super().__init__(reason, code=code)
        self.always = always


class StoreError(EvenhandError):
    """A run folder that cannot be read, written or continued."""


class BundleError(EvenhandError):
    """A bundle that cannot be read or used."""


def failure(error: BaseException) -> str:
    """One line about an error: the message of an `EvenhandError`, type and message of any other."""
    text = one_line(str(error))
    return text if isinstance(error, EvenhandError) else f"{type(error).__name__}: {text}"[:500]


def one_line(text: str) -> str:
    """Write a text on one line, of at most `MAX_MESSAGE` characters, without characters that control a terminal."""
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)
    return line if len(line) <= MAX_MESSAGE else line[:MAX_MESSAGE] + "…"


def failure_code(error: BaseException) -> str:
    """The code of an error: that of an `EvenhandError`, `out_of_memory` or `unexpected_error`."""
    if isinstance(error, EvenhandError):
        return error.code
    return "out_of_memory" if isinstance(error, MemoryError) else "unexpected_error"


def failure_reason(error: BaseException) -> Reason:
    """Make the reason that is stored of an error.

    Parameters
    ----------
    error : BaseException
        Whatever was raised.

    Returns
    -------
    Reason
        Code, message and parameters of an `EvenhandError`; of any other the type, and the function that raised it.
    """
    parameters: dict[str, Parameter] = {}
    if isinstance(error, EvenhandError):
        parameters = error.parameters
    elif error.__traceback__ is not None:
        parameters = {"type": type(error).__name__, "origin": _error_origin(error.__traceback__)}
    return Reason(failure_code(error), failure(error), tuple(sorted(parameters.items())))


def _error_origin(traceback: TracebackType) -> str:
    """The module and the name of the function that raised an error."""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    frame = traceback.tb_frame
    return f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_qualname}"
