"""Arguments of the public API that can't be meant: each works, or is one sentence, in little memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzkit import HOSTILE, bounded, outcome

from vswaplab import Machine, demo, export
from vswaplab.errors import InvalidArgument, NoMemory, SwapError
from vswaplab.mm.process import MAX_TRANSFER, Process, Region
from vswaplab.mm.shmem import ShmemFile
from vswaplab.observe import ledger_build
from vswaplab.observe.ledger_cli import overhead, peak_bytes
from vswaplab.workloads import corpus, replay, swapoff

PEAK = 1 << 22
MORE = 1 << 28
STRING = np.array([0, 1, 2, 0, 1, 2], np.uint32)


def machine(**settings: Any) -> Machine:
    """Return a small machine."""
    return Machine(**{"ram": "256K", "trace": False, **settings})


def process() -> tuple[Machine, Process, Region]:
    """Return a machine with a swapfile, a process there and a region of it, written."""
    made = machine()
    made.swapon(size="256K")
    app = made.spawn()
    region = app.mmap("16K")
    app.write(region.start, b"x" * 100)
    return made, app, region


def file() -> ShmemFile:
    """Return a tmpfs file of 16 KiB."""
    return machine().shmem_open("f", "16K")


def keyword(call: Callable[..., Any], name: str, **others: Any) -> Callable[[Any], Any]:
    """Return a call with a value for one keyword."""
    return lambda value: call(**{**others, name: value})


CALLS: dict[str, Callable[[Any], Any]] = {
    **{
        f"Machine.{name}": keyword(machine, name)
        for name in (
            *("ram", "design", "cpus", "seed", "zswap", "page_cluster", "trace", "min_free", "privileged", "verify"),
            *("nodes", "default_priority", "overcommit_memory"),
        )
    },
    **{
        f"zswap.{name}": lambda value, name=name: machine(zswap={name: value})
        for name in (
            *("compressor", "max_pool_percent", "accept_threshold_percent", "shrinker", "store_incompressible", "x"),
        )
    },
    **{
        f"zswap at run time: {name}": lambda value, name=name: setattr(machine().zswap, name, value)
        for name in ("compressor", "max_pool_percent", "accept_threshold_percent")
    },
    **{
        f"swapon.{name}": lambda value, name=name: machine().swapon(**{"size": "64K", name: value})
        for name in ("size", "priority", "discard")
    },
    "swapon.path": lambda value: machine().swapon(value if not isinstance(value, str) else f"{value}\0", size="64K"),
    "swapoff": lambda value: process()[0].swapoff(value),
    **{
        f"memcg.{name}": lambda value, name=name: machine().memcg(**{"name": "g", name: value})
        for name in ("name", "max", "swap_max", "zswap_max", "zswap_writeback", "parent", "high")
    },
    **{
        f"memcg.{name} set": lambda value, name=name: setattr(machine().memcg("g"), name, value)
        for name in ("max", "swap_max", "zswap_max", "high")
    },
    **{
        f"memcg.write {name}": lambda value, name=name: machine().memcg("g").write(name, value)
        for name in ("memory.max", "memory.high", "memory.reclaim", "memory.zswap.writeback", "cgroup.procs", "x")
    },
    "memcg.write": lambda value: machine().memcg("g").write(value, "1"),
    "memcg.file": lambda value: machine().memcg("g").file(value),
    "memcg.reclaim": lambda value: machine().memcg("g").reclaim(value),
    **{f"spawn.{name}": lambda value, name=name: machine().spawn(**{name: value}) for name in ("name", "memcg", "cpu")},
    "rmdir": lambda value: machine().rmdir(value),
    "move": lambda value: (lambda made: made.move(made.spawn(), value))(machine()),
    "move_pid": lambda value: (lambda made: made.move_pid(value, made.root_memcg))(machine()),
    **{
        f"mmap.{name}": lambda value, name=name: process()[1].mmap(**{"length": "16K", name: value})
        for name in ("length", "order")
    },
    "munmap address": lambda value: process()[1].munmap(value, 4096),
    "munmap length": lambda value: (lambda made: made[1].munmap(made[2].start, value))(process()),
    "fork": lambda value: process()[1].fork(value),
    "read address": lambda value: process()[1].read(value, 1),
    "read length": lambda value: (lambda made: made[1].read(made[2].start, value))(process()),
    "write address": lambda value: process()[1].write(value, b"x"),
    "write data": lambda value: (lambda made: made[1].write(made[2].start, value))(process()),
    "touch": lambda value: process()[1].touch(value),
    "touch a row": lambda value: process()[1].touch([value]),  # type: ignore[arg-type]
    "touch write": lambda value: (lambda made: made[1].touch(made[2], value))(process()),
    "pte": lambda value: process()[1].pte(value),
    "populate": lambda value: process()[1].populate(value),
    "region.page": lambda value: process()[2].page(value),
    "reclaim pages": lambda value: process()[0].reclaim(value),
    "reclaim memcg": lambda value: process()[0].reclaim(1, value),
    "writeback pages": lambda value: process()[0].writeback(value),
    "writeback memcg": lambda value: process()[0].writeback(1, value),
    "cpu_offline": lambda value: machine().cpu_offline(value),
    "cpu_online": lambda value: machine().cpu_online(value),
    **{name: lambda value, name=name: getattr(machine(trace=8), name)(value) for name in ("procfs", "ledger", "mark")},
    **{
        f"shmem_open {name}": lambda value, name=name: machine().shmem_open(**{"name": "f", "size": "16K", name: value})
        for name in ("name", "size", "memcg")
    },
    "file.read offset": lambda value: file().read(value, 1),
    "file.read length": lambda value: file().read(0, value),
    "file.write offset": lambda value: file().write(value, b"x"),
    "file.write data": lambda value: file().write(0, value),
    "file.truncate": lambda value: file().truncate(value),
    **{
        f"replay {name}": keyword(replay.replay, name, **{"trace": STRING, "ram": "8K", "contents": None})
        for name in ("trace", "ram", "design", "zswap", "swap_size", "verify", "seed")
    },
    "replay swap_path": lambda value: replay.replay(
        STRING, "8K", contents=None, swap_path=value if not isinstance(value, str) else f"{value}\0"
    ),
    "replay contents": lambda value: replay.replay(STRING, "8K", contents=value),
    "replay contents, a row": lambda value: replay.replay(STRING, "8K", contents=[value]),
    "replay zswap, one": lambda value: replay.replay(STRING, "8K", contents=[bytes(4096)], zswap={"compressor": value}),
    "replay a row": lambda value: replay.replay(np.array([value], object), "8K", contents=None),
    **{
        f"measure_swapoff {name}": keyword(swapoff.measure_swapoff, name, **{"design": "virtual", "swapped": 2})
        for name in ("design", "swapped", "strangers", "where", "state", "backing")
    },
    "fastest": lambda value: swapoff.fastest(value, "virtual", 2),
    **{
        f"overhead {name}": keyword(overhead, name, **{"size": "1M", "usages": (50,), "with_crossover": False})
        for name in ("size", "designs", "backends", "usages", "mode", "layout", "seed")
    },
    **{
        f"build {name}": keyword(
            ledger_build.build,
            name,
            **{"design": "virtual", "slots": 512, "backend": "zswap", "usage": 50, "layout": "random"},
        )
        for name in ("design", "slots", "backend", "usage", "layout", "seed")
    },
    "page_bytes kind": lambda value: corpus.page_bytes(value, 0),
    "page_bytes p": lambda value: corpus.page_bytes("zero", value),
    "mix_pages": corpus.mix_pages,
    "real_pages": corpus.real_page_array,
    "story design": lambda value: demo.story(Path("nowhere"), 0, value),
    "story folder": lambda value: demo.story(value if not isinstance(value, str) else f"{value}\0"),
    "find_notebooks": export.find_notebooks,
    "export_notebooks": lambda value: export.export_notebooks(value or 1, Path("\0")),
}
"""Each takes one value in one place, all else being as it should."""

IN_MEMORY_ONLY = corpus.real_page_array()
"""Loaded once and for all, so that it counts for nothing below."""


@pytest.mark.parametrize("name", CALLS)
def test_no_argument_brings_a_traceback(name: str) -> None:
    """Every value in every place works or is one sentence; none takes memory to speak of."""
    before = peak_bytes()
    for value in HOSTILE:
        outcome(lambda value=value: CALLS[name](value))
    assert peak_bytes() - before <= MORE


@pytest.mark.parametrize(
    "name", ["Machine.cpus", "Machine.ram", "build slots", "replay a row", "swapon.size", "fastest"]
)
def test_numbers_that_no_machine_has_are_refused(name: str) -> None:
    """10**30 of anything is refused, and so is what is no number at all."""
    for value in (10**30, -1, float("nan"), "1e3", "\u0661\u0662", True):
        assert isinstance(outcome(lambda value=value: CALLS[name](value)), SwapError)


def test_numpy_numbers_are_numbers() -> None:
    """What comes out of an array, in a notebook, is taken as the number that it is."""
    made, app, region = process()
    assert app.read(np.int64(region.start), np.uint8(3)) == b"xxx"  # type: ignore[arg-type]
    assert region.page(np.int32(-1)) == region.page(3)
    assert made.reclaim(np.int64(1)) >= 0  # type: ignore[arg-type]
    assert machine(cpus=np.int16(2)).online_cpus == [0, 1]
    assert machine(ram=np.int64(1 << 20)).ram_pages == 256


def test_a_terabyte_is_mapped_but_not_read_at_once() -> None:
    """Address space costs nothing; the bytes of it, or page tables for it, are refused before they are taken."""
    app = machine(ram="16M").spawn()
    region = app.mmap("16T")
    with bounded(PEAK):
        assert isinstance(outcome(lambda: app.read(region.start, region.length)), InvalidArgument)
        assert isinstance(outcome(lambda: app.read(region.start, MAX_TRANSFER + 1)), InvalidArgument)
        assert isinstance(outcome(lambda: app.populate(region)), NoMemory)


def test_a_ledger_beyond_the_memory_of_this_machine_is_refused() -> None:
    """Swap of a pebibyte is not built, but refused with the size that can be."""
    with bounded(PEAK):
        assert isinstance(outcome(lambda: overhead("1P", usages=(0,))), NoMemory)


def test_a_swapoff_beyond_the_memory_of_this_machine_is_refused() -> None:
    """Page tables for 4,096 processes of 64 TiB each are refused before the first is mapped."""
    with bounded(PEAK):
        assert isinstance(outcome(lambda: swapoff.measure_swapoff("legacy", 1, "64T", 4096)), NoMemory)
