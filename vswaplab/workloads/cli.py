"""Commands of workloads: ``vswaplab replay``, ``run`` and ``token``, and those of `vswaplab.workloads.kernel_cli`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from vswaplab.errors import InvalidArgument
from vswaplab.mm.machine import DESIGNS
from vswaplab.strict import integer
from vswaplab.workloads import kernel_cli
from vswaplab.workloads.counters import counters
from vswaplab.workloads.progress import progress_on_stderr
from vswaplab.workloads.replay import replay
from vswaplab.workloads.scenario_compare import compare_scenario
from vswaplab.workloads.scenario_data import scenario_names
from vswaplab.workloads.token import decode_token, make_token, open_token
from vswaplab.workloads.trace_unit import UNITS
from vswaplab.workloads.traces import load_trace

__all__ = ["add_commands"]

BOTH = "both"


def _replay(args: argparse.Namespace) -> int:
    trace = load_trace(args.trace, args.unit)
    if not args.json and sys.stderr.isatty():
        print(f"{trace.name}: deciding LRU for {len(trace):,} references", file=sys.stderr)
    report = replay(
        trace,
        args.ram,
        args.design,
        contents=None if args.contents == "none" else args.contents,
        zswap=None if args.compressor == "off" else {"compressor": args.compressor},
        swap_size=args.swap_size,
        swap_path=args.swap_path,
        verify=args.verify,
        seed=args.seed,
        progress=progress_on_stderr(f"replaying {trace.name}"),
    )
    print(json.dumps(report.as_dict(), indent=1) if args.json else report)
    return 0


def _run(args: argparse.Namespace) -> int:
    if args.design == BOTH:
        if args.token or args.step is not None:
            raise InvalidArgument("A token and a step are of one machine; name one design with --design.")
        comparison = compare_scenario(args.scenario, folder=args.folder)
        print(json.dumps(comparison.as_dict(), indent=1) if args.json else comparison)
        return 0
    token = make_token(args.scenario, design=args.design, step=args.step)
    with open_token(token, folder=args.folder) as run:
        if args.json:
            print(json.dumps({**run.as_dict(), **({"token": token.encode()} if args.token else {})}, indent=1))
        else:
            print(run)
            if args.token:
                print(token.encode())
    return 0


def _token(args: argparse.Namespace) -> int:
    token = decode_token(args.token, args.scenario)
    told = token.describe()
    with open_token(token) as run:
        now = {"phase": "now", **counters(run.machine)}
        if args.json:
            print(json.dumps({**told, "phases": run.phases, "now": now}, indent=1))
            return 0
        run.phases.append(now)
        print("\n".join(f"{name:<12}{value}" for name, value in told.items() if value not in ("", None, {})))
        print(f"\n{run}\n\n{run.machine.procfs('swaps')}", end="")
    return 0


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the command line."""
    parser = commands.add_parser("replay", help="replay a reference string through the swap layer")
    parser.add_argument("trace", metavar="TRACE", help="a file, or one of: cc1, python_json, sort, sqlite")
    parser.add_argument(
        "--unit",
        choices=UNITS,
        help="what the numbers of a trace file are: addresses, or pages; default: pages, refused if in doubt",
    )
    parser.add_argument("--ram", required=True, metavar="SIZE", help="memory for the program's pages, such as 512K")
    parser.add_argument("--design", default="virtual", choices=sorted(DESIGNS), help="default: %(default)s")
    parser.add_argument(
        "--compressor", default="zstd", metavar="NAME", help="zstd, lz4, …, or off; default: %(default)s"
    )
    parser.add_argument(
        "--contents",
        default="real",
        metavar="PAGES",
        help="real, a kind of process, a mix, or none; default: %(default)s",
    )
    parser.add_argument(
        "--swap-size", metavar="SIZE", help="size of the swapfile, 0 for none; default: room for every page"
    )
    parser.add_argument(
        "--swap-path", type=Path, metavar="FILE", help="make the swapfile a real file; default: in memory"
    )
    parser.add_argument("--seed", type=integer, default=0, help="chooses the contents of pages; default: %(default)s")
    parser.add_argument("--verify", action="store_true", help="compare every page that comes back with what went out")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_replay)

    parser = commands.add_parser("run", help="run a scenario on a machine and print its counters, phase by phase")
    parser.add_argument("scenario", metavar="SCENARIO", help=f"a .json file, or one of: {', '.join(scenario_names())}")
    parser.add_argument(
        "--design",
        choices=[*sorted(DESIGNS), BOTH],
        help="default: as the scenario says; both: one after each operation, and print what differs",
    )
    parser.add_argument("--folder", type=Path, metavar="DIR", help="make swap devices files in DIR; default: in memory")
    parser.add_argument("--step", type=integer, metavar="N", help="do the first N operations only; default: all")
    parser.add_argument("--token", action="store_true", help="print the token that opens the same state elsewhere")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)

    parser = commands.add_parser("token", help="say what a scenario token is of, and open its state")
    parser.add_argument("token", metavar="TOKEN", help="vs1- and groups of letters and digits")
    parser.add_argument("--scenario", metavar="FILE", help="the scenario, where it is not one that ships")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_token)

    kernel_cli.add_commands(commands)
