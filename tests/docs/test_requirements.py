"""The table of ``docs/requirements.md`` is complete, and what shows a requirement is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

import pytest
from test_conformance import defined_in

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "requirements.md"
CI = ROOT / ".ci" / "run"

# The numbers of the specification: its sections, and how many bullets each has. Those of 16.1 are
# sections again.
BULLETS = {
    "2.1": 7,
    "2.2": 5,
    "2.3": 4,
    "3.1": 2,
    "3.2": 4,
    "3.3": 0,
    "4.1": 4,
    "4.2": 4,
    "4.3": 2,
    "5.1": 4,
    "5.2": 4,
    "5.3": 4,
    "6.1": 7,
    "6.2": 4,
    "6.3": 6,
    "6.4": 4,
    "6.5": 3,
    "7.1": 6,
    "7.2": 3,
    "7.3": 0,
    "8.1": 3,
    "8.2": 3,
    "9.1": 4,
    "9.2": 3,
    "9.3": 3,
    "10.1": 3,
    "10.2": 3,
    "10.2.2": 4,
    "10.3": 4,
    "10.4": 4,
    "11.1": 3,
    "11.2": 4,
    "12.1": 3,
    "12.2": 3,
    "12.3": 4,
    "12.4": 2,
    "13.1": 3,
    "13.2": 3,
    "14.1": 2,
    "14.2": 2,
    "14.3": 3,
    "15.1": 4,
    "15.2": 2,
    "16.1": 0,
    "16.2": 8,
    "17.1": 0,
    "17.2": 0,
    "17.3": 0,
}

# What a later release brings: recordings, caching, OAuth flows.
LATER = {"11.1.3", "12.2.1", "12.2.2", "12.2.3", "16.2.2", "16.2.6", "16.2.7"}


class Row(NamedTuple):
    section: str
    number: str
    text: str
    met_by: str
    shown: str

    @property
    def tests(self) -> List[str]:
        return [one.strip("`") for one in self.shown.split("<br>") if one.startswith("`")]

    @property
    def steps(self) -> List[str]:
        return re.findall(r"\bstep `([^`]*)`", self.shown)


def read_rows() -> Iterator[Row]:
    section = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        heading = re.match(r"### ([\d.]+) \S", line)
        if heading:
            section = heading[1]
        elif line.startswith("| ") and set(line) - set("|- ") and "| shown by |" not in line:
            number, text, met_by, shown = (cell.strip() for cell in line.strip("|").split(" | "))
            yield Row(section, number, text, met_by, shown)


ROWS = list(read_rows())


def key(number: str) -> Tuple[int, ...]:
    return tuple(map(int, number.split(".")))


def numbers() -> Iterator[str]:
    for section, count in BULLETS.items():
        if not count:
            yield section
        for bullet in range(1, count + 1):
            yield f"{section}.{bullet}"


def test_every_number_has_a_row_in_order() -> None:
    assert [row.number for row in ROWS] == sorted(numbers(), key=key)


def test_every_row_is_in_its_section() -> None:
    assert not [row for row in ROWS if not f"{row.number}.".startswith(f"{row.section}.")]


def test_every_row_says_what_and_where() -> None:
    assert not [row.number for row in ROWS if not row.text or not row.met_by]


def test_what_comes_later_is_marked_and_nothing_else() -> None:
    assert {row.number for row in ROWS if row.shown == "later"} == LATER
    assert not [row.number for row in ROWS if row.number not in LATER and not row.tests + row.steps]


def test_every_test_that_is_named_exists() -> None:
    missing = []
    for row in ROWS:
        for test in row.tests:
            path, _, name = test.partition("::")
            there = (ROOT / path).is_file() and name in defined_in(path)
            if not there or not name.split("::")[-1].startswith("test_"):
                missing.append((row.number, test))
    assert not missing


@pytest.mark.skipif(not CI.is_file(), reason="not run from a checkout")
def test_every_step_that_is_named_is_one_of_ci() -> None:
    steps = re.findall(r"^ *step (['\"])(.*?)\1", CI.read_text(encoding="utf-8"), re.MULTILINE)
    known = [name for _, name in steps]
    for row in ROWS:
        for step in row.steps:
            assert any(one == step or one.startswith(f"{step}, ") for one in known), step


def test_headings_are_the_sections() -> None:
    text = PAGE.read_text(encoding="utf-8")
    headings: Dict[str, str] = dict(re.findall(r"^### ([\d.]+) (.+)$", text, re.MULTILINE))
    assert list(headings) == [section for section in BULLETS if section != "10.2.2"]
