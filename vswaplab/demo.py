"""``vswaplab demo``: 256 real pages go out and come back, told in text.

A process writes pages that real programs had in memory, all of them are reclaimed, some are written back from zswap to
the swapfile, and all are read again and compared. Beside each step stands what the kernel's own files read then.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vswaplab.errors import InvariantError
from vswaplab.strict import integer, path_of, seed_number
from vswaplab.units import PAGE_SIZE

if TYPE_CHECKING:
    from vswaplab.mm.machine import Machine
    from vswaplab.mm.process import Process

__all__ = ["NR_PAGES", "Step", "add_commands", "story", "tell"]

NR_PAGES = 256
_WRITEBACK_PAGES = 64
_MEMINFO = ("SwapTotal", "SwapFree", "SwapCached", "Zswap", "Zswapped")

Step = dict[str, Any]
"""What happened (`step`), where the pages are after it (`pages`: by backing), and the kernel files (`swaps`, …)."""


def story(folder: Path, seed: int = 0, design: str = "virtual") -> list[Step]:
    """Run the story on a machine of a design whose swapfile lies in `folder`; return its steps.

    Raises `InvariantError` if a page comes back other than it went, or a structure is broken at the end.
    """
    from vswaplab.mm.machine import Machine
    from vswaplab.workloads.corpus import real_page_array

    folder, seed = path_of(folder, "A folder"), seed_number(seed)
    pages = real_page_array()
    pages = pages[:: len(pages) // NR_PAGES][:NR_PAGES]
    with Machine(ram="16M", design=design, seed=seed) as machine:
        machine.swapon(folder / "swap.img", size="4M")
        process = machine.spawn("app")
        region = process.mmap(NR_PAGES * PAGE_SIZE)
        addresses = range(region.start, region.start + region.length, PAGE_SIZE)
        for address, page in zip(addresses, pages, strict=True):
            process.write(address, page.tobytes())
        steps = [_step(machine, process, addresses, f"A process wrote {NR_PAGES} real pages.")]
        machine.reclaim()
        steps.append(_step(machine, process, addresses, "Everything that can go out was reclaimed."))
        done = machine.writeback(pages=_WRITEBACK_PAGES)
        steps.append(_step(machine, process, addresses, f"zswap wrote {done} cold pages back to the swapfile."))
        for address, page in zip(addresses, pages, strict=True):
            if process.read(address, PAGE_SIZE) != page.tobytes():
                raise InvariantError("contents", f"the page at {address:#x} came back other than it went")
        machine.check()
        steps.append(_step(machine, process, addresses, "All pages were read again, equal byte for byte."))
    return steps


def _step(machine: Machine, process: Process, addresses: range, what: str) -> Step:
    """Return what the machine shows now."""
    where: Counter[str] = Counter()
    for address in addresses:
        pte = process.pte(address)
        where["present" if pte.entry is None else machine.swap.lookup(pte.entry).type.name] += 1
    meminfo = dict(line.split(":", 1) for line in machine.procfs("meminfo").splitlines())
    return {
        "step": what,
        "pages": dict(sorted(where.items())),
        "swaps": machine.procfs("swaps"),
        "meminfo": {name: meminfo[name].strip() for name in _MEMINFO if name in meminfo},
        "zswap/stored_pages": int(machine.debugfs("zswap/stored_pages")),
        "zswap/pool_total_size": int(machine.debugfs("zswap/pool_total_size")),
        **({"vswap/used": int(machine.debugfs("vswap/used"))} if machine.design == "virtual" else {}),
    }


def tell(steps: list[Step]) -> str:
    """Return the steps as text."""
    paragraphs = []
    for number, step in enumerate(steps, 1):
        pages = ", ".join(f"{name} {count}" for name, count in step["pages"].items())
        lines = [f"{number}. {step['step']}", f"   where the pages are: {pages}", "   /proc/swaps:"]
        lines += [f"     {line}" for line in step["swaps"].splitlines()]
        lines += ["   /proc/meminfo: " + ", ".join(f"{name} {value}" for name, value in step["meminfo"].items())]
        lines += ["   debugfs: " + ", ".join(f"{name} {value}" for name, value in step.items() if "/" in name)]
        paragraphs.append("\n".join(lines))
    return "\n\n".join(paragraphs)


def _demo(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="vswaplab-") as folder:
        steps = story(Path(folder), seed=args.seed, design=args.design)
    print(json.dumps(steps, indent=1) if args.json else tell(steps))
    return 0


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``vswaplab demo`` to the command line."""
    parser = commands.add_parser("demo", help="tell how 256 real pages go out and come back")
    parser.add_argument("--seed", type=integer, default=0, help="default: %(default)s")
    parser.add_argument("--design", default="virtual", choices=("legacy", "virtual"), help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_demo)
