"""The command line: one sentence on stderr and a meaningful exit code, whatever goes wrong."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzzkit import MAX_SENTENCE
from test_fuzz_strict import KINDS, hostile_path

import vswaplab
from vswaplab import bench
from vswaplab.cli import build_parser, main
from vswaplab.errors import NoSpace


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make ``vswaplab bench`` raise `error`."""

    def discover() -> list[bench.Case]:
        raise error

    monkeypatch.setattr(bench, "discover", discover)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NoSpace("The device is full; swap on another."), "vswaplab bench: The device is full; swap on another.\n"),
        (ValueError("Two lines\nbecome one."), "vswaplab bench: Two lines become one.\n"),
        (
            FileNotFoundError(2, "No such file or directory", "x.npz"),
            "vswaplab bench: x.npz: No such file or directory.\n",
        ),
    ],
)
def test_error_is_one_sentence_and_exit_code_2(
    error: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, error)
    assert main(["bench"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", sentence)


def test_interrupt_is_130_and_silent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    assert main(["bench"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, TypeError("defect"))
    with pytest.raises(TypeError, match="defect"):
        main(["bench"])


def test_reader_that_went_away_is_no_error() -> None:
    """``vswaplab … | head`` ends quietly."""
    code = (
        "import sys; from vswaplab import bench, cli\n"
        "bench.discover = lambda: [bench.Case(f'case{n}', 'x', 'y', lambda: 1.0) for n in range(100_000)]\n"
        "sys.exit(cli.main(['bench', '--list']))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["bench", "--nonsense"]])
def test_wrong_usage_is_exit_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    assert "usage: vswaplab" in capsys.readouterr().err


def test_version_is_the_projects(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"vswaplab {vswaplab.__version__}\n"


def test_module_and_script_are_the_same_command() -> None:
    script = Path(sys.executable).with_name("vswaplab")
    runs = [
        subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
        for command in ([sys.executable, "-m", "vswaplab"], [str(script)])
    ]
    assert runs[0] == runs[1]


def test_every_command_has_help() -> None:
    from vswaplab.cli import build_parser

    (commands,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    helped = {action.dest for action in commands._choices_actions if action.help}
    assert helped == set(commands.choices)


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must be refused: exit code 2, one line on stderr or the usage; return it."""
    code: object
    try:
        code = main(argv)
    except SystemExit as stopped:
        code = stopped.code
        printed = capsys.readouterr()
        assert printed.err.startswith("usage: ")
    else:
        printed = capsys.readouterr()
        assert printed.err.count("\n") == 1
        assert printed.err.endswith(".\n")
        assert printed.err.startswith(f"vswaplab {argv[0]}: ")
        assert len(printed.err) <= MAX_SENTENCE + 200
    assert (code, printed.out) == (2, "")
    assert "Traceback" not in printed.err
    return printed.err


COMMANDS: dict[str, list[str]] = {
    "replay sqlite --contents none --ram": ["", "0", "1K1"],
    "replay sqlite --contents none --ram 64K --swap-size": ["", "200T"],
    "replay sqlite --contents zero --ram 512K --seed": ["-1", "4294967296"],
    "replay sqlite --ram 64K --contents": ["", "zeros"],
    "replay sqlite --ram 64K --compressor": ["", "zst"],
    "replay sqlite --ram 64K --design": ["", "both"],
    "replay sqlite --ram 64K --unit": ["", "byte", "bytes", "both"],
    "replay --ram=64K": ["sqlit", "/", "/dev/zero", "/dev/null", ".npy", "x.npz"],
    "run": ["two_pages", "/", "/dev/zero", ".json"],
    "run one_page --design": ["", "all"],
    "run one_page --step": ["-1", "14", "4294967296"],
    "token": ["", "one_page", "vs1-", "vs1-0179-ZPRB-0VXP-C90", "vs2-0179-ZPRB-0VXP-C9G"],
    "token vs1-0179-ZPRB-0VXP-C9G --scenario": ["two_pages", "/", "/dev/zero", ".json"],
    "overhead --size": ["", "0", "1P", "4096P"],
    "overhead --size 1M --usage": ["", "101", "-1", "infinity"],
    "overhead --size 1M --design": ["", "both"],
    "overhead --size 1M --backend": ["", "both"],
    "overhead --size 1M --baseline": ["", "both"],
    "overhead --size 1M --mode": ["", "both"],
    "overhead --size 1M --layout": ["", "both"],
    "overhead --size 1M --seed": ["-1", "4294967296"],
    "swapoff --mapped 1M --swapped": ["0", "-1", "1000000000000"],
    "swapoff --swapped 16 --mapped": ["", "-1", "1P"],
    "swapoff --swapped 16 --mapped 1M --strangers": ["-1", "1000000"],
    "swapoff --swapped 16 --mapped 1M --repeat": ["0", "-1", "1000000"],
    "swapoff --swapped 16 --mapped 1M --design": ["", "all"],
    "kernel --design": ["", "all"],
    "swapoff --swapped 16 --mapped 1M --backing": ["", "tape"],
    "kernel --kernel": ["9.9", "6.12\0"],
    "kernel --table": ["", "none"],
    "demo --seed": ["-1", "4294967296"],
    "demo --design": ["", "both"],
    "stress --seconds": ["0", "-1", "4294967296", "infinity"],
    "stress --steps": ["0", "-1", "some"],
    "stress --steps 1 --seed": ["-1", "4294967296"],
    "stress --design": ["", "all"],
    "bench": ["nothing.of.the.kind"],
    "html --notebook": ["99"],
    "progress --answers": ["/nowhere", "/dev/zero", ""],
    "grade README.md --lab": ["", "lab9"],
    "grade README.md --lab lab1_resolve --jobs": ["0", "-1", "1000"],
    "grade README.md --lab lab1_resolve --seconds": ["0", "-1", "100000"],
    "grade README.md --lab lab1_resolve --memory": ["0", "-1", "1"],
    "grade README.md --lab lab1_resolve --budget": ["0", "-1", "1000000"],
    "grade README.md --lab lab1_resolve --roster": ["/nowhere", "/dev/zero", ""],
    "grade --lab lab1_resolve": ["/nowhere", ""],
    "assign": ["/nowhere", "/dev/zero", "", "README.md"],
    "html --notebooks": ["/nowhere", "/dev/zero", ""],
}
"""What a command is given that is right, and what comes last and can't be meant; to these are added `ANYWHERE`."""

ANYWHERE = (
    *("nan", "1e3", "\u0661\u0662", "9" * 30, "9" * 5000, "1_0", "0x1000", "True", "None", "a\nb", "a\0b", "\u202e"),
    *("\ud800", "a" * 300, "../" * 2000),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_hostile_arguments_are_refused(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever stands in the place of an argument, it is exit code 2 and one line, and never a traceback."""
    *start, last = command.split()
    option = last.startswith("--")
    for value in (*COMMANDS[command], *ANYWHERE):
        refused([*start, f"{last}={value}"] if option else [*start, last, value], capsys)


def test_every_option_with_a_value_is_attacked() -> None:
    """No option that takes a value is left out above, but for those that name files to write."""
    (commands,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    for name, parser in commands.choices.items():
        for action in parser._actions:
            if action.option_strings and action.nargs != 0 and action.dest not in ("out", "swap_path", "folder"):
                wanted = action.option_strings[0]
                assert any(each.startswith(name) and each.endswith(wanted) for each in COMMANDS), (name, wanted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".json", ".npy", ".npz", ".txt"])
def test_hostile_files_are_refused(tmp_path: Path, kind: str, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder, a FIFO, a device, a circle of links, a terabyte of nothing: one line at once."""
    path = hostile_path(tmp_path, kind)
    named = path.with_suffix(suffix)
    if kind in ("folder", "circle", "fifo", "zero", "terabyte"):
        path.rename(named)
    argv = ["run", str(named)] if suffix == ".json" else ["replay", str(named), "--ram", "64K"]
    assert "Traceback" not in refused(argv, capsys)


@pytest.mark.parametrize(
    "kind", ["folder", "circle", "fifo", "zero", "below a file", "long", "longer", "nul", "surrogate"]
)
def test_hostile_places_to_write_are_refused(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no swapfile can be made, nothing is replayed; where there is no folder, no scenario is run."""
    path = str(hostile_path(tmp_path, kind))
    refused(["replay", "sqlite", "--ram", "512K", "--contents", "none", "--swap-path", path], capsys)
    if kind != "folder":
        refused(["run", "one_page", "--folder", path], capsys)
        refused(["html", "--notebooks", path], capsys)


def test_no_memory_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where memory runs out all the same, that is said, and it is exit code 2."""
    failing(monkeypatch, MemoryError())
    assert main(["bench"]) == 2
    assert capsys.readouterr().err == "vswaplab bench: There is not enough memory for this; ask for less.\n"


@pytest.mark.parametrize("command", [["run", "one_page"], ["demo"], ["overhead", "--size", "1M"], ["run", "größer"]])
def test_a_terminal_of_ascii_is_no_error(command: list[str]) -> None:
    """An old locale: what it has no character for is written as an escape."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    ended = subprocess.run(
        [sys.executable, "-m", "vswaplab", *command], env=environment, capture_output=True, check=False
    )
    assert ended.returncode == (2 if command[1:] == ["größer"] else 0), ended.stderr
    assert b"Traceback" not in ended.stderr
    (ended.stdout + ended.stderr).decode("ascii")
