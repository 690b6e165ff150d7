"""The reader's machine laid over the model: a small machine with its proportions, a sample, and how it is made.

`model_of` builds a `Machine` of 2,048 slots of swap in which as large a share is used, and as large a share of that
is in zswap, as on the machine read. `write_host` writes a machine's files below a folder, in the kernel's formats and
places, so that `vswaplab.observe.host.read_host` reads a model as it reads a computer. `sample_host` reads such a
folder, which `make_sample` writes for it: for readers whose own computer has no swap in use.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vswaplab.errors import SwapError
from vswaplab.mm.machine import Machine
from vswaplab.mm.memcg import Memcg
from vswaplab.observe.host import GROUP_FILES, PARAMETERS, HostSwap, read_host
from vswaplab.observe.host_compare import host_slots
from vswaplab.observe.procfs import DEBUGFS_FILES, PROCFS_FILES
from vswaplab.strict import choice, path_of
from vswaplab.units import PAGE_SIZE, ZERO_PAGE
from vswaplab.workloads.corpus import page_bytes, real_page_array

__all__ = ["MODEL_SLOTS", "host_or_sample", "make_sample", "model_of", "sample_host", "write_host"]

MODEL_SLOTS = 2047
"""Slots of the model's swapfile: 2,048 pages, one of them the header."""
_SAMPLE_SWAP = "/swapfile"
_SAMPLE_GROUP = "lab.slice"


def sample_host() -> HostSwap:
    """Return the sample: files that a machine of the model wrote in a second, the same each time. Nothing measured."""
    with tempfile.TemporaryDirectory(prefix="vswaplab-") as folder:
        make_sample(folder)
        return replace(read_host(folder), root="the sample")


def host_or_sample(root: str | Path = "/") -> tuple[HostSwap, bool]:
    """Return this computer if it has slots in use and pages in zswap, else the sample; and whether it is the sample."""
    try:
        host = read_host(root)
    except SwapError:
        return sample_host(), True
    return (host, False) if host.telling else (sample_host(), True)


def model_of(host: HostSwap, design: str) -> Machine:
    """Return a machine of either design with the proportions of `host`: shares of slots used and of pages in zswap.

    Its pages are real ones; at least one page is out, or there would be nothing to see. InvalidArgument if the host
    has no swap devices to tell of.
    """
    here = host_slots(host)
    share = min(1.0, here.legacy * host.page_size / host.size) if host.size else 0.0
    out = max(1, round(share * MODEL_SLOTS))
    disk = round(out * (1 - here.zswap_share))
    m = Machine("64M", choice(design, "design", ("legacy", "virtual")), page_cluster=0)
    try:
        m.swapon(size=(MODEL_SLOTS + 1) * PAGE_SIZE)
        pages = real_page_array()
        pages = pages[pages.any(axis=1)][:out]
        app = m.spawn("app")
        region = app.mmap(out * PAGE_SIZE)
        app.write(region.start, pages.tobytes())
        m.reclaim()
        if disk:
            m.writeback(pages=disk)
    except BaseException:
        m.close()
        raise
    return m


def write_host(machine: Machine, folder: str | Path, group: Memcg | None = None) -> None:
    """Write a machine's files below a folder that is there, as Linux lays them out; OSError as the system says it."""
    root = path_of(folder, "A root folder")
    texts = {f"proc/{name}": machine.procfs(name) for name in PROCFS_FILES}
    for name in DEBUGFS_FILES:
        try:
            texts[f"sys/kernel/debug/{name}"] = machine.debugfs(name)
        except SwapError:
            continue  # a machine without zswap, or of the design that has no such file
    if machine.zswap is not None:
        for name in PARAMETERS:
            texts[f"sys/module/zswap/parameters/{name}"] = _parameter(machine, name)
    place = f"/{group.name}" if group is not None else "/"
    texts["proc/self/cgroup"] = f"0::{place}\n"
    if group is not None:
        texts |= {f"sys/fs/cgroup{place}/{name}": group.file(name) for name in GROUP_FILES}
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _parameter(machine: Machine, name: str) -> str:
    """Return a parameter of zswap as its file reads: Y and N for flags [BACKGROUND]."""
    value: object = True if name == "enabled" else getattr(machine.zswap, name)
    return f"{'NY'[value] if isinstance(value, bool) else value}\n"


def make_sample(folder: str | Path) -> Mapping[str, int]:
    """Write the sample below a folder and return what went into it, in pages.

    A legacy machine of 16 MiB with a swapfile of 12 MiB; a program's real pages, some zeros and some noise are pushed
    out, a few are written back, a few are read again.
    """
    real = real_page_array()
    real = real[real.any(axis=1)]
    went = {"real": 2000, "zero": 160, "noise": 90, "written back": 300, "read again": 120}
    with tempfile.TemporaryDirectory(prefix="vswaplab-") as scratch:
        place = Path(scratch) / "swap.img"
        with Machine("16M", "legacy", page_cluster=0, zswap={"compressor": "zstd"}) as m:
            m.swapon(str(place), size="12M")
            group = m.memcg(_SAMPLE_GROUP, swap_max="32M")
            app = m.spawn("app", memcg=group)
            contents = real[: went["real"]].tobytes() + ZERO_PAGE * went["zero"]
            contents += b"".join(page_bytes("random", at) for at in range(went["noise"]))
            region = app.mmap(len(contents))
            app.write(region.start, contents)
            m.reclaim()
            m.writeback(pages=went["written back"])
            app.touch(region.addresses()[: went["read again"]])
            write_host(m, folder, group)
    root = path_of(folder, "A root folder")
    swaps = (root / "proc/swaps").read_text(encoding="utf-8")
    lines = [line.replace(str(place), _SAMPLE_SWAP) for line in swaps.splitlines()]
    text = "".join(_aligned(line) + "\n" for line in lines)
    (root / "proc/swaps").write_text(text, encoding="utf-8")
    (root / "proc/sys/vm").mkdir(parents=True, exist_ok=True)
    (root / "proc/sys/vm/swappiness").write_text("60\n", encoding="utf-8")
    return went


def _aligned(line: str) -> str:
    """Return a line of /proc/swaps with the path that replaced another as wide as the kernel makes it."""
    if not line.startswith(_SAMPLE_SWAP):
        return line
    path, rest = line.split(maxsplit=1)
    return f"{path:<40}{rest}"
