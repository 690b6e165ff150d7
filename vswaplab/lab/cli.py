"""The command of the lab: ``vswaplab progress`` shows, exports or forgets the answers kept in a folder."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from vswaplab.errors import InvalidArgument, NotPermitted
from vswaplab.lab.progress import FILE_NAME, Progress
from vswaplab.strict import path_of, shown

__all__ = ["add_commands"]


def _progress(args: argparse.Namespace) -> int:
    folder = path_of(args.answers, "A folder")
    if not folder.is_dir():
        raise InvalidArgument(f"{shown(folder)} is no folder; name the one of the notebooks with --answers.")
    progress = Progress(folder / FILE_NAME)
    if args.out is not None:
        print(progress.export(args.out))
    elif args.reset:
        number = progress.reset()
        if progress.unwritten:
            raise NotPermitted(f"Nothing is forgotten. {progress.note}")
        print(f"Answers forgotten: {number}.")
    else:
        print(json.dumps(progress.as_dict(), indent=1) if args.json else progress)
    return 0


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``vswaplab progress`` to the command line."""
    parser = commands.add_parser("progress", help="show, export or forget the answers kept beside notebooks")
    parser.add_argument("--answers", default=".", metavar="DIR", help="folder of the notebooks; default: this one")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write a copy of the answers")
    parser.add_argument("--reset", action="store_true", help="forget all answers")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_progress)
