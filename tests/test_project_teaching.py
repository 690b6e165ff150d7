"""The teachers' page: every token in it opens, and the answer it gives is what is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vswaplab.workloads.counters import counters
from vswaplab.workloads.token import open_token

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
QUESTIONS = {
    token: (said, answer) for token, said, answer in re.findall(r"^\| `(vs1-[^`]+)` \| (.+) \| (\d+) \|$", PAGE, re.M)
}


def used_kib(machine: Any) -> int:
    return int(machine.procfs("swaps").splitlines()[-1].split()[-2])


def slots_used(machine: Any) -> int:
    return sum(si.inuse_pages for si in machine.devices)


def swapped(machine: Any) -> int:
    return int(counters(machine)["swapped"])


def stored(machine: Any) -> int:
    return int(machine.debugfs("zswap/stored_pages"))


def first_byte(machine: Any) -> int:
    entry = machine.swap.entries()[0]
    return int(machine.swap.info[0].swap_map.byte(entry))


ANSWERS: dict[str, Callable[[Any], int]] = {
    "vs1-0179-ZPRB-0VXP-C9G": used_kib,
    "vs1-0179-ZPRB-111X-9WR": used_kib,
    "vs1-053G-ZK2P-0WH3-HT0": slots_used,
    "vs1-093G-ZK2P-0XWG-BBR": slots_used,
    "vs1-053G-ZK2P-1J7J-09R": swapped,
    "vs1-053G-ZK2P-16D8-MF8": stored,
    "vs1-0B4S-25XP-0X3V-XS8": first_byte,
}


def test_every_question_has_its_check() -> None:
    assert set(QUESTIONS) == set(ANSWERS)


@pytest.mark.parametrize("token", ANSWERS)
def test_the_answer_is_what_the_token_opens(token: str) -> None:
    with open_token(token) as run:
        assert ANSWERS[token](run.machine) == int(QUESTIONS[token][1])


@pytest.mark.parametrize("number", sorted(set(re.findall(r"\b0\d\b", PAGE))))
def test_notebooks_that_it_names_are_there(number: str) -> None:
    assert list((ROOT / "notebooks").glob(f"{number}_*.ipynb"))


def test_each_notebook_has_its_notes() -> None:
    numbers = [path.name[:2] for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    assert re.findall(r"^- \*\*(\d\d) ", PAGE, re.M) == numbers


def test_each_misconception_has_an_answer() -> None:
    """D1 to D18, each in the table, each with a notebook that answers it by a run."""
    table = PAGE.split("## What learners get wrong")[1].split("## ")[0]
    rows = re.findall(r"\(D(\d+)\) \| (.+) \|", table)
    assert sorted(int(number) for number, _ in rows) == list(range(1, 19))
    assert all(re.search(r"\b(0\d|10)\b", answer) for _, answer in rows)
