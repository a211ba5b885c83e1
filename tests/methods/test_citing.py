"""BibTeX of methods and stop rules."""

from __future__ import annotations

import re

import pytest

import untrained as ut
from untrained.methods.citing import KEYS, bibtex, entries
from untrained.rules.parse import RULES


def test_every_method_says_what_to_cite() -> None:
    unknown = set(ut.METHODS) - set(KEYS)
    assert not unknown, f"add {unknown} to untrained/methods/citing.py, their papers to the .bib"
    assert set(KEYS) <= {*ut.METHODS, *RULES}


def test_every_entry_is_used_and_complete() -> None:
    """Check that each key exists, that each entry is asked for, and has title, author and year."""
    asked = {key for keys in KEYS.values() for key in keys} | {"untrained"}
    assert asked == set(entries())
    for text in entries().values():
        assert text.count("{") == text.count("}")
        assert all(f"  {field} = {{" in text for field in ("title", "author", "year"))


ENTRY = re.compile(r"@(\w+)\{(\w+),\n((?:  \w+ = \{.+\},?\n)+)\}\n?\Z")
FIELD = re.compile(r"  (\w+) = \{(.+)\}(,?)")
WANTED = {
    "article": {"journal"},
    "inproceedings": {"booktitle"},
    "book": {"publisher"},
    "software": {"note"},
}
"""Kind of entry -> fields that BibTeX's styles ask for, beside title, author and year."""


@pytest.mark.parametrize("key", entries())
def test_an_entry_is_bibtex_that_any_style_can_print(key: str) -> None:
    """Parse it: kind, key, fields with commas between them; nothing missing, no name cut short."""
    found = ENTRY.match(entries()[key].strip() + "\n")
    assert found is not None, "no BibTeX entry of one field a line"
    kind, name, body = found.groups()
    lines = [FIELD.fullmatch(line) for line in body.splitlines()]
    assert all(line is not None for line in lines)
    fields = {line[1]: line[2] for line in lines if line}
    assert [bool(line[3]) for line in lines if line] == [True] * (len(lines) - 1) + [False]
    assert (name, len(fields)) == (key, len(lines)), "each field once"
    assert WANTED[kind] | {"title", "author", "year"} <= set(fields)
    assert fields["year"].isdigit()
    assert "others" not in re.split(r"\s+and\s+", fields["author"]), "name every author"
    if kind == "article":
        assert {"doi", "eprint"} & set(fields) or {"volume", "pages"} <= set(fields)
    assert ("eprint" in fields) == (fields.get("archiveprefix") == "arXiv")
    for value in fields.values():
        depth = 0
        for letter in value.replace("\\{", "").replace("\\}", ""):
            depth += {"{": 1, "}": -1}.get(letter, 0)
            assert depth >= 0
        assert depth == 0


@pytest.mark.parametrize("name", [n for n in ut.METHODS if KEYS.get(n)])
def test_the_authors_and_the_year_are_those_of_the_card(name: str) -> None:
    """Check the first author's name, where the card names one, against the first entry."""
    entry = entries()[KEYS[name][0]]
    first = ut.METHODS[name].source.split(",")[0].split()[0]
    if name in ("house", "fillin", "dct", "tv"):
        return
    plain = entry.replace("{\\~n}", "n").replace('{\\"o}', "o")
    assert first in plain


def test_an_entry_stands_once_and_the_program_last() -> None:
    text = bibtex(["deepred", "red", "no-such-name"])
    assert text.count("@article{romano2017red") == 1
    assert text.rstrip().rpartition("@")[2].startswith("software{untrained")
    assert "VERSION" not in text
