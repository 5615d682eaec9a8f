"""Texts as sequences of word numbers: what is learned, and on which rows."""

import pickle

import numpy as np
import pytest

from harness.preprocessing.text import MAX_TOKENS, PADDING, UNKNOWN, fit_token_encoder, tokenise


def texts(*rows):
    return np.array(rows, dtype=object)


def fit(*rows, **params):
    return fit_token_encoder(texts(*rows), np.zeros(len(rows), np.int64), 0, **params)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Don't wait: £1000 on 08712300220!", ["don't", "wait", ":", "£", "0000", "on", "0000000000", "!"]),
        ("WIN 2nd prize, txt 87121", ["win", "0", "nd", "prize", ",", "txt", "00000"]),
        ("over18's only_now", ["over", "00", "'", "s", "only", "_", "now"]),
        ("ÉTÉ là-bas 😀", ["été", "là", "-", "bas", "😀"]),
        (" \n\t", []),
    ],
)
def test_words_are_lower_cased_symbols_stand_alone_and_numbers_count_by_their_length(text, tokens):
    assert tokenise(text) == tokens


def test_numbers_of_like_length_are_one_word():
    assert tokenise("0871230") == tokenise("99999999")
    assert tokenise("87121") != tokenise("871210")


def test_the_frequent_come_first_and_equals_in_alphabetical_order():
    encoder = fit("b a c", "c a b", "c only")
    assert encoder.words == ("c", "a", "b")  # "only" is there once
    assert fit("c only", "c a b", "b a c").words == encoder.words


def test_of_too_many_words_the_most_frequent_are_kept():
    assert fit("b a c", "c a b", "c", vocabulary=1).words == ("c",)


def test_rows_are_numbers_padded_at_the_end_and_cut_there():
    encoder = fit("a b", "a b", "a")
    rows = encoder.transform(texts("b a", "a", "new a a", ""))
    assert rows.dtype == np.int32
    assert rows.tolist() == [[3, 2], [2, PADDING], [UNKNOWN, 2], [UNKNOWN, PADDING]]


def test_the_length_is_that_of_most_training_rows_within_a_bound():
    few = [" ".join("a" * 30)]
    assert fit(*["a a a"] * 99, *few).length == 3
    assert fit(*["a a a"] * 9, *few).length == 30
    assert fit(" ".join("a" * 5 * MAX_TOKENS)).length == MAX_TOKENS
    assert fit("", "").length == 1


def test_nothing_of_other_rows_is_learned():
    encoder = fit("free entry", "free entry")
    before = encoder.words
    assert (encoder.transform(texts("win win win", "win win")) <= UNKNOWN).all()
    assert encoder.words == before


def test_an_encoder_survives_pickling():
    encoder = fit("free entry now", "free entry")
    again = pickle.loads(pickle.dumps(encoder))  # noqa: S301 -- our own
    assert again == encoder
    assert (again.transform(texts("entry free")) == encoder.transform(texts("entry free"))).all()
