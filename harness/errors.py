"""Errors whose messages are one line for the user."""


class EvenhandError(Exception):
    """An error that a user can correct: the message says what was expected, what was found and what to do."""


class UnknownNameError(EvenhandError):
    """A name that nothing is registered under."""


class DeclarationError(EvenhandError):
    """A declaration that contradicts itself or another one."""


class DataError(EvenhandError):
    """Data that cannot be used as they are."""


class Unavailable(EvenhandError):  # noqa: N818 -- no error: a reason to skip
    """Data or a package that is not available: the reason, and how to get it."""


class Inapplicable(EvenhandError):  # noqa: N818 -- a property of the combination, not an error
    """A strategy or family that cannot act on these rows, with the reason.

    With `always`, no other configuration could either, so that the cell ends here.
    """

    def __init__(self, reason: str, *, always: bool = False) -> None:
        super().__init__(reason)
        self.always = always


class StoreError(EvenhandError):
    """A run folder that cannot be read, written or continued."""


class BundleError(EvenhandError):
    """A bundle that cannot be read or used."""


def failure(error: BaseException) -> str:
    """One line about an error: the message of an `EvenhandError`, type and message of any other."""
    text = " ".join(str(error).split())
    return text if isinstance(error, EvenhandError) else f"{type(error).__name__}: {text}"[:500]
