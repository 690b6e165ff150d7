"""The story that `vswaplab demo` tells, and that it is true."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vswaplab.cli import main
from vswaplab.demo import NR_PAGES, Step, story, tell


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    return story(tmp_path_factory.mktemp("demo"))


def test_every_page_is_somewhere_at_each_step(steps: list[Step]) -> None:
    assert [sum(step["pages"].values()) for step in steps] == [NR_PAGES] * 4


def test_pages_go_out_move_to_the_swapfile_and_come_back(steps: list[Step]) -> None:
    written, reclaimed, written_back, read = (step["pages"] for step in steps)
    assert written == {"present": NR_PAGES}
    assert "present" not in reclaimed
    assert reclaimed["ZSWAP"] > NR_PAGES // 2
    assert written_back["SWAPFILE"] == reclaimed.get("SWAPFILE", 0) + 64
    assert written_back["ZSWAP"] == reclaimed["ZSWAP"] - 64
    assert read == {"present": NR_PAGES}


def test_kernel_files_agree_with_the_descriptors(steps: list[Step]) -> None:
    for step in steps[:3]:
        out = sum(count for where, count in step["pages"].items() if where != "present")
        assert step["vswap/used"] == out
        assert step["zswap/stored_pages"] == step["pages"].get("ZSWAP", 0)


def test_same_seed_tells_the_same_story(steps: list[Step], tmp_path: Path) -> None:
    again = story(tmp_path)
    assert [{**step, "swaps": None} for step in again] == [{**step, "swaps": None} for step in steps]


def test_text_and_json_tell_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--json"]) == 0
    told = tell(json.loads(capsys.readouterr().out))
    assert "where the pages are: present 256" in told
    assert told.count("Filename") == 4
