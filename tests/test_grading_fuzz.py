"""Whatever a notebook is, grading it leaves no exception, and each submission has exactly one row.

``VSWAPLAB_EXAMPLES=10000 make test TEST_ARGS=tests/test_grading_fuzz.py`` runs longer, ``VSWAPLAB_SEED`` elsewhere.
"""

from __future__ import annotations

import csv
import os
import shutil
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from fuzzkit import check_sentence
from gradekit import DOUBLE
from notebookfuzz import files_below, mutated_zip, old_notebook, put, right_notebook

from vswaplab.errors import InvalidArgument
from vswaplab.lab.grading.collect import collect, one_line
from vswaplab.lab.grading.labs import LABS
from vswaplab.lab.grading.remote import Limits
from vswaplab.lab.grading.results import Results, report
from vswaplab.lab.grading.runner import grade_all

EXAMPLES = int(os.environ.get("VSWAPLAB_EXAMPLES", "120"))
SEED = int(os.environ.get("VSWAPLAB_SEED", "0"))
BATCH = 20
SANDBOXED = 6
"""One batch of so many is graded in sandboxes, the others without."""
QUICK = Limits(seconds=5, memory=512 << 20, budget=60)


def held(folder: Path, out: Path, unsafe: bool, told: Counter[str]) -> None:
    """Grade a folder; hold what comes of it to one whole row for each submission."""
    found = collect([folder], DOUBLE.name, LABS)
    assert len(found.submissions) + len(found.skipped) == files_below(folder)
    digests = {each.name: each.digest() for each in found.submissions}
    assert len({name.casefold() for name in digests}) == len(found.submissions)
    with Results(out, DOUBLE) as results:
        graded = grade_all(
            found.submissions,
            DOUBLE,
            QUICK,
            jobs=2,
            unsafe=unsafe,
            on_result=lambda submission, each: results.add(each, digests[submission.name]),
        )
        results.finish()
        results.close(finished=True)
    assert [each.name for each in graded] == sorted(digests)
    for each in graded:
        told["submissions"] += 1
        told["refused" if not each.outcomes else "graded"] += 1
        told[f"{each.points} points"] += 1
        assert not each.failed, (each.name, each.log)
        assert 0 <= each.points <= DOUBLE.points
        assert each.outcomes or each.reason
        assert one_line(each.name) == each.name
        report(each, DOUBLE).encode()
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["points"]) for row in rows] == [each.points for each in graded]
    assert len({row["submission"] for row in rows}) == len(graded)
    assert len(list((out / "reports").iterdir())) == len(graded)
    with Results(out, DOUBLE, resume=True) as again:
        assert sorted(name for name, _ in again.begun) == sorted(digests)
        assert {key[0]: each.points for key, each in again.begun.items()} == {each.name: each.points for each in graded}


@pytest.mark.parametrize("tree", [right_notebook, old_notebook])
def test_the_notebooks_that_are_changed_are_right(tree: object, tmp_path: Path) -> None:
    import json

    assert callable(tree)
    (tmp_path / "anna.ipynb").write_text(json.dumps(tree()), encoding="utf-8")
    graded = grade_all([tmp_path / "anna.ipynb"], DOUBLE, QUICK, unsafe=True)
    assert [(each.points, each.reason) for each in graded] == [(5, "")]


def test_a_damaged_zip_is_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    given, told = tmp_path / "all.zip", Counter[str]()
    for number in range(3 * EXAMPLES):
        rng = Random(f"{SEED}/zip/{number}")
        given.write_bytes(mutated_zip(rng))
        found = collect([given], DOUBLE.name, LABS)
        names = [each.name for each in found.submissions]
        assert len({name.casefold() for name in names}) == len(names), number
        assert [one_line(name) for name in names] == names
        for each in found.submissions:
            try:
                told["read"] += bool(each.read())
            except InvalidArgument as error:
                check_sentence(error)
                told["refused"] += 1
    assert told["refused"]
    assert told["read"]


@pytest.mark.slow
def test_no_exception_leaves_the_grader_and_each_has_one_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox = shutil.which("bwrap") is not None
    told, started, wrong = Counter[str](), time.monotonic(), list[str]()
    for first in range(0, EXAMPLES, BATCH):
        folder, out = tmp_path / f"in{first}", tmp_path / f"out{first}"
        rng = Random(f"{SEED}/{first}")
        folder.mkdir()
        for number in range(first, min(EXAMPLES, first + BATCH)):
            put(folder, number, rng)
        shutil.copy(__file__, folder / "not-one.ipynb")  # there is always one
        try:
            held(folder, out, not sandbox or first // BATCH % SANDBOXED != 0, told)
        except Exception:
            wrong.append(f"VSWAPLAB_SEED={SEED}, {folder}:\n{traceback.format_exc()}")
            continue
        shutil.rmtree(folder)
        shutil.rmtree(out)
        if EXAMPLES > 1000 and (first % (25 * BATCH) == 0 or first + BATCH >= EXAMPLES):
            with capsys.disabled():
                figures = f"{time.monotonic() - started:.0f} s, {len(wrong)} batches wrong: {dict(told)}"
                print(f"\n{first + BATCH} of {EXAMPLES}, {figures}", flush=True)
    assert not wrong, "\n".join(wrong)
    assert told["refused"]
    assert told["graded"]
