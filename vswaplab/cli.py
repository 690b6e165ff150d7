"""The command line: ``vswaplab COMMAND``, the same core as in the notebooks.

Each command is defined by the module that owns what it runs: ``add_commands(commands)`` adds its parser and sets `run`,
a function of the parsed arguments that returns the exit code. Here is only what all of them share: an error is one
sentence on stderr and exit code 2, Ctrl-C is 130, a reader that went away (``vswaplab … | head``) is nobody's error.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

import vswaplab
from vswaplab import bench, demo, export
from vswaplab.lab import cli as lab
from vswaplab.lab.grading import cli as grading
from vswaplab.observe import ledger_cli
from vswaplab.strict import shown
from vswaplab.testing import stress
from vswaplab.workloads import cli as workloads

__all__ = ["build_parser", "main"]

_MAX_SENTENCE = 600
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with every command in it."""
    parser = argparse.ArgumentParser(prog="vswaplab", description="Linux swap in two designs, as an executable model.")
    parser.add_argument("--version", action="version", version=f"vswaplab {vswaplab.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for owner in (workloads, ledger_cli, demo, bench, export, stress, lab, grading):
        owner.add_commands(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `argv` defaults to the process's own arguments."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # An old locale has no name for every character: it is written as an escape, and the command goes on.
            stream.reconfigure(errors="backslashreplace")
    args = build_parser().parse_args(argv)
    try:
        code = int(args.run(args))
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more on its way out; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except MemoryError:
        print(f"vswaplab {args.command}: There is not enough memory for this; ask for less.", file=sys.stderr)
        return EXIT_ERROR
    except (OSError, ValueError) as error:
        print(f"vswaplab {args.command}: {_sentence(error)}", file=sys.stderr)
        return EXIT_ERROR
    return code


def _sentence(error: OSError | ValueError) -> str:
    """Say on one line what went wrong, without a traceback."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{shown(error.filename)}: {error.strerror}."
    text = " ".join(str(error).split())
    return text if len(text) <= _MAX_SENTENCE else f"{text[:_MAX_SENTENCE]}…"


if __name__ == "__main__":
    sys.exit(main())
