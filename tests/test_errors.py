"""Messages: one line, of bounded length, without control characters, with the file's name."""

import numpy as np
import pytest

from untrained.errors import LONGEST, UserError, from_file, one_paragraph, shown


def test_a_message_is_one_printable_line():
    said = str(UserError("key '\x1b[31mred\x07' of\n  file\tx \udcff  y"))
    assert said == "key '\\x1b[31mred\\x07' of file x \\udcff  y"
    assert said.isprintable()
    assert one_paragraph(said) == said  # escaping twice would hide what was there


def test_a_long_message_keeps_both_ends():
    said = str(UserError("begin " + "x" * 10**6 + " do this"))
    assert len(said) < LONGEST
    assert said.startswith("begin x")
    assert said.endswith("x do this")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.zeros((500, 3)), "float64 of shape (500, 3)"),
        (np.float32(2.5), "2.5"),
        (np.array([7]), "7"),
        ("x" * 1000, None),
        (10**4000, None),
        ({"a": [[[[1]]]]}, "{'a': [[...]]}"),
    ],
)
def test_shown_is_short(value, expected):
    assert len(shown(value)) < 90
    assert expected is None or shown(value) == expected


def test_shown_bears_any_depth():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "[[[...]]]"
    while deep:  # Python frees nested lists by recursion
        deep = deep[0]


def test_from_file_names_the_file_once():
    with pytest.raises(UserError, match=r"^a\.npz: sigma is wrong$"), from_file("a.npz"):
        raise UserError("sigma is wrong")
    with pytest.raises(UserError, match=r"^mask\.png is black$"), from_file("a.npz", "mask.png"):
        raise UserError("mask.png is black")
