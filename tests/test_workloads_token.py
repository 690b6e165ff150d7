"""Scenario tokens: round trips, every typing error refused, the same state in a program and on the command line."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_widgets_js import JS_TESTS, NODE

from vswaplab import lab
from vswaplab.cli import main
from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.workloads.scenario_data import load_scenario, scenario_names
from vswaplab.workloads.scenarios import run_scenario
from vswaplab.workloads.token import Token, _digest, decode_token, make_token, open_token

OWN: dict[str, Any] = {"name": "mine", "operations": [{"op": "spawn", "process": "app"}, {"op": "reclaim"}]}
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "cpus": st.integers(1, 8),
        "ram": st.sampled_from(["1M", "16M"]),
        "zswap": st.none() | st.fixed_dictionaries({"compressor": st.sampled_from(["zstd", "lz4"])}),
    },
)


@st.composite
def tokens(draw: st.DrawFn) -> Token:
    name = draw(st.sampled_from(["one_page", "fork_3"]))
    return make_token(
        name,
        step=draw(st.integers(0, len(load_scenario(name)["operations"]))),
        design=draw(st.sampled_from([None, "virtual", "legacy"])),
        seed=draw(st.none() | st.integers(0, 2**32 - 1)),
        settings=draw(SETTINGS),
        event=draw(st.none() | st.integers(0, 2**32 - 1)),
    )


@settings(max_examples=30)
@given(tokens())
def test_a_token_says_again_what_was_put_into_it(token: Token) -> None:
    text = token.encode()
    assert decode_token(text) == token
    assert decode_token(f" {text.lower()}\n") == token
    assert decode_token("vs1-" + text[4:].replace("-", "")) == token
    assert decode_token("vs1-" + text[4:].replace("0", "O").replace("1", "l")) == token


def same_to_a_reader(text: str) -> str:
    return text.strip().upper().replace("O", "0").replace("I", "1").replace("L", "1")


@settings(max_examples=20)
@given(tokens(), st.data())
def test_any_one_changed_character_is_refused(token: Token, data: st.DataObject) -> None:
    text = token.encode()
    letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-vs é*"
    for at in range(len(text)):
        for letter in data.draw(st.lists(st.sampled_from(letters), min_size=8, max_size=8, unique=True)):
            changed = text[:at] + letter + text[at + 1 :]
            if same_to_a_reader(changed) == same_to_a_reader(text):
                continue
            with pytest.raises(InvalidArgument, match=r"^[^\n]{10,200}\.$"):
                decode_token(changed)


def test_every_single_character_of_one_token_is_refused_for_every_other() -> None:
    text = make_token("one_page", step=6).encode()
    for at in range(len(text)):
        for code in range(32, 127):
            changed = text[:at] + chr(code) + text[at + 1 :]
            if same_to_a_reader(changed) != same_to_a_reader(text):
                with pytest.raises(InvalidArgument):
                    decode_token(changed)


@settings(max_examples=30)
@given(tokens(), st.data())
def test_letters_swapped_lost_or_added_are_refused(token: Token, data: st.DataObject) -> None:
    text = token.encode()
    at = data.draw(st.integers(4, len(text) - 2))
    swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    for changed in (swapped, text[:at] + text[at + 1 :], text[:at] + text[at] + text[at:], text[:at], text + "0"):
        if changed.replace("-", "") != text.replace("-", ""):
            with pytest.raises(InvalidArgument):
                decode_token(changed)


@given(st.text(max_size=60) | st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ-", max_size=40).map("vs1-".__add__))
def test_any_other_text_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^[^\n]+\.$"):
        decode_token(text)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "begin with vs1-"),
        ("one_page", "begin with vs1-"),
        ("vs2-0179-ZPRB", "version 2, and version 1 is read here"),
        ("vs1-", "typing error"),
        ("vs1-0179-ZPUB-0VSF-D3R", "no 'U' in it"),
        ("vs1-" + "0" * 2000, "is text that begins with"),
        (7, "not 7"),
    ],
)
def test_what_is_wrong_with_a_token_is_said(text: Any, part: str) -> None:
    with pytest.raises(InvalidArgument, match=part):
        decode_token(text)


def test_tokens_are_short_and_stay_as_they_are() -> None:
    """What teachers have pasted into exams opens in later versions too."""
    assert make_token("one_page", step=6).encode() == "vs1-0179-ZPRB-0VXP-C9G"
    assert all(len(make_token(name, design="legacy", seed=7).encode()) <= 28 for name in scenario_names())


def test_no_two_scenarios_share_a_digest() -> None:
    assert len({_digest(load_scenario(name)) for name in scenario_names()}) == len(scenario_names())


@pytest.mark.parametrize("design", ["virtual", "legacy"])
def test_the_state_is_that_of_the_scenario_after_so_many_operations(design: str) -> None:
    whole = load_scenario("fork_1")
    for step in (0, 1, 5, 9, len(whole["operations"])):
        part = {**whole, "operations": whole["operations"][:step]}
        token = make_token("fork_1", step=step, design=design).encode()
        with open_token(token) as opened, run_scenario(part, design) as run:
            assert opened.machine.snapshot().state == run.machine.snapshot().state
            assert opened.phases == run.phases
            opened.machine.check()


def test_a_scenario_of_ones_own_is_given_beside_the_token(tmp_path: Path) -> None:
    token = make_token(OWN, step=1).encode()
    assert decode_token(token, OWN).scenario == OWN
    assert decode_token(token, {**OWN, "name": "renamed", "about": "It does the same."}).step == 1
    with pytest.raises(NotFound, match="does not ship, or has changed since"):
        decode_token(token)
    with pytest.raises(InvalidArgument, match="not of the scenario 'one_page'"):
        decode_token(token, "one_page")


@pytest.mark.parametrize(
    "settings_of",
    [
        {"step": 99},
        {"step": -1},
        {"seed": -1},
        {"design": "other"},
        {"event": -1},
        {"settings": {"design": "legacy"}},
        {"settings": {"nonsense": 1}},
        {"settings": ["cpus"]},
        {"step": True},
        {"settings": {"cpus": 1000}},
    ],
)
def test_what_no_machine_can_be_is_no_token(settings_of: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=r"\.$"):
        make_token("one_page", **settings_of)


def test_the_command_line_prints_a_token_and_opens_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", "one_page", "--step", "6", "--design", "legacy", "--token"]) == 0
    token = capsys.readouterr().out.splitlines()[-1]
    assert main(["token", token]) == 0
    printed = capsys.readouterr().out
    for part in ("one_page", "legacy", "Filename", "now", "reclaim"):
        assert part in printed
    assert main(["token", token.lower(), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["step"], told["operations"], told["design"], told["next"]) == (6, 13, "legacy", "mark out")
    assert told["now"]["slots_used"] == 1
    assert main(["run", "one_page", "--json", "--token"]) == 0
    assert decode_token(json.loads(capsys.readouterr().out)["token"]).step == 13
    own = tmp_path / "mine.json"
    own.write_text(json.dumps(OWN), encoding="utf-8")
    assert main(["token", make_token(OWN).encode(), "--scenario", str(own)]) == 0
    capsys.readouterr()
    assert main(["token", token[:-1] + ("1" if token[-1] == "0" else "0")]) == 2
    assert "typing error" in capsys.readouterr().err
    assert main(["run", "one_page", "--design", "both", "--token"]) == 2


def test_a_stepper_opens_at_the_event_of_a_token() -> None:
    at_end = lab.open_stepper(make_token("one_page", step=8).encode())
    earlier = lab.open_stepper(make_token("one_page", step=8, event=3).encode())
    assert at_end.step == at_end.last > 3
    assert earlier.step == 3
    assert earlier.last == at_end.last
    assert decode_token(earlier.token) == make_token("one_page", step=8, event=3)


def test_a_page_reads_and_writes_tokens_as_python_does(tmp_path: Path) -> None:
    found = []
    for event in (None, 0, 3, 127, 128, 70_000, 2**32 - 1):
        for made in ({"step": 0}, {"step": 6, "seed": 2**32 - 1}, {"design": "legacy", "settings": {"cpus": 2}}):
            token = make_token("one_page", event=event, **made)  # type: ignore[arg-type]
            state = replace(token, event=None).encode()
            found.append({"text": token.encode(), "state": state, "event": event})
    text = found[-1]["text"]
    wrong = [f"{text[:at]}{'7' if text[at] != '7' else '8'}{text[at + 1 :]}" for at in range(len(text))]
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps({"tokens": found, "wrong": [*wrong, "", "vs1-", "vs1-U", text + "0"]}), encoding="utf-8")
    run = subprocess.run(
        [NODE, "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", "--test", JS_TESTS / "token.test.mjs"],
        env={**os.environ, "VSWAPLAB_TOKENS": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout[-3000:]
