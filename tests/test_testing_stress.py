"""The stress command: it counts what it did, does the same for the same seed, and finds what is broken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vswaplab import Machine
from vswaplab import stress as module
from vswaplab.cli import main
from vswaplab.errors import InvalidArgument
from vswaplab.stress import stress


def test_a_round_of_each_design_verifies_bytes_and_injects_faults() -> None:
    for report in stress(rounds=2):
        assert report.failure == ""
        assert report.counts["operations"] > 100
        assert report.counts["bytes verified"] > 0
        assert report.counts["machines"] > 0
        assert report.faults > 0
        assert "0 lost" in str(report)


def test_the_same_seed_does_the_same() -> None:
    one, other = (stress(rounds=1, seed=3, designs=["virtual"])[0].counts for _ in range(2))
    assert one == other


class Forgetful(Machine):
    """A machine that forgets a swap count now and then."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        right, calls = self.swap.swap_duplicate_nr, [0]

        def wrong(entry: int, nr: int) -> None:
            calls[0] += 1
            if calls[0] % 50:
                right(entry, nr)

        self.swap.swap_duplicate_nr = wrong  # type: ignore[method-assign]


class Lossy(Machine):
    """A machine whose swap-in damages a byte now and then."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        right, calls = self.swap.swap_read_folio, [0]

        def wrong(folio: Any) -> None:
            right(folio)
            calls[0] += 1
            if not calls[0] % 20:
                folio.data[7] ^= 1

        self.swap.swap_read_folio = wrong  # type: ignore[method-assign]


@pytest.mark.parametrize("broken", [Forgetful, Lossy])
def test_a_broken_machine_is_found_and_how_to_see_it_again_is_said(
    broken: type[Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hypothesis import Phase

    monkeypatch.setattr(module, "PHASES", (Phase.generate,))  # shrinking takes minutes
    report = stress(rounds=4, designs=["virtual"], factory=broken)[0]
    assert report.failure
    assert "--seed" in report.failure
    assert report.as_dict()["lost"] == 1


def test_command_prints_json_and_refuses_no_time_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stress", "--rounds", "1", "--design", "legacy", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"][0]["design"] == "legacy"
    assert found["rows"][0]["lost"] == 0
    assert main(["stress", "--seconds", "0"]) == 2
    with pytest.raises(InvalidArgument, match="above 0"):
        stress(seconds=float("nan"))
