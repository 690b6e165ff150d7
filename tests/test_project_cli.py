"""The command line: one sentence on stderr and a meaningful exit code, whatever goes wrong."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

import vswaplab
from vswaplab import bench
from vswaplab.cli import main
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
