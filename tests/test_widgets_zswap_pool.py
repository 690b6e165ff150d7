"""The zswap pool as a view: on the page it is the machine's own, at the end and at every step."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nodekit import run_node
from test_observe_pool_history import busy

from vswaplab import Machine
from vswaplab.backends.compressors import get_compressor
from vswaplab.errors import InvalidArgument
from vswaplab.units import PAGE_SIZE
from vswaplab.widgets import ZswapPool
from vswaplab.widgets.zswap_pool import BINS, size_histograms
from vswaplab.workloads.corpus import real_page_array


def case(name: str, machine: Machine) -> dict[str, Any]:
    view, zswap = ZswapPool(machine), machine.zswap
    assert zswap is not None
    by_memcg: dict[int, list[Any]] = {}
    for (memcg, _), lru in zswap.lrus.items():
        by_memcg.setdefault(memcg, []).extend([int(ze.swpentry), ze.referenced] for ze in lru)
    classes = [
        [row.size, sum(row.zspages), row.objs_used] for row in zswap.pools[0].zspool.classes_table() if row.objs_used
    ]
    return {
        "name": name,
        "header": view.header,
        "data": base64.b64encode(view.data).decode(),
        "ages": [[memcg, rows] for memcg, rows in sorted(by_memcg.items())],
        "classes": classes,
        "pages": zswap.pool_pages,
        "stored": zswap.stored_pages,
    }


def test_the_page_has_the_pool_that_the_machine_has(tmp_path: Path) -> None:
    cases = [case(design, busy(design, False)) for design in ("virtual", "legacy")]
    assert run_node(tmp_path, "VSWAPLAB_POOLS", cases, "poollog") == 3 * len(cases)


def test_histograms_are_of_real_pages_compressed_here() -> None:
    rows = {row["codec"]: row for row in size_histograms()}
    assert {"zstd", "lz4", "deflate"} <= set(rows)
    pages = real_page_array()
    sample = pages[:: max(1, len(pages) // 480)]
    lengths = [min(PAGE_SIZE, len(get_compressor("lz4").compress(page.tobytes()))) for page in sample]
    assert rows["lz4"]["mean"] == pytest.approx(np.mean(lengths))
    assert rows["lz4"]["incompressible"] == sum(length >= PAGE_SIZE for length in lengths)
    for row in rows.values():
        assert sum(row["counts"]) == row["pages"] == len(sample)
        assert len(row["counts"]) == BINS


def test_limits_are_the_machines_and_a_trace_has_none() -> None:
    machine = busy("virtual", True)
    assert machine.zswap is not None
    view = ZswapPool(machine)
    assert view.header["limits"]["max"] == machine.zswap.max_pages
    assert view.header["limits"]["accept"] == machine.zswap.accept_threshold_pages
    assert ZswapPool(machine.trace).header["limits"] is None


def test_nothing_to_show_is_one_sentence() -> None:
    with pytest.raises(InvalidArgument, match="zswap stored no page in this trace"):
        ZswapPool(Machine(ram="1M", zswap=None))
    with pytest.raises(InvalidArgument, match="make the Machine with tracing on"):
        ZswapPool(Machine(ram="1M", trace=False))
