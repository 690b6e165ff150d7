"""The model gives the counts of real kernels, for every row measured with virtual swap."""

from __future__ import annotations

import pytest

from vswaplab.backends.compressors import available
from vswaplab.workloads.corpus import KINDS
from vswaplab.workloads.kernel_tables import Comparison, KernelRow, compare, kernel_rows, table

ROWS = [row for row in kernel_rows() if row.virtual]


def ident(row: KernelRow) -> str:
    return f"{row.compressor}-{row.mix}{'' if row.swapfile else '-no_swapfile'}"


def test_table_has_every_kind_of_page_for_each_setting() -> None:
    """Nine kinds of page each with lzo, lz4 and no zswap, and with lzo where no swapfile is on."""
    settings = [("lzo", False), ("lzo", True), ("lz4", True), ("off", True)]
    expected = [(compressor, swapfile, mix) for compressor, swapfile in settings for mix in KINDS]
    assert sorted((row.compressor, row.swapfile, row.mix) for row in ROWS) == sorted(expected)


@pytest.mark.parametrize("row", ROWS, ids=ident)
def test_counts_and_bytes_agree_with_the_kernel(row: KernelRow) -> None:
    """Pages, zeros, stored, incompressible, slots: equal; pool and charged bytes: within the codec's tolerance."""
    found = list(compare([row]))
    assert [(each.column, each.kernel, each.model) for each in found if not each.agrees] == [], table(found)
    with_bytes = row.compressor in ("off", *available())
    # without a swapfile two columns are missing: slots after all went out, and after half came back
    assert len(found) == (17 if row.swapfile else 15) + 2 * with_bytes


@pytest.mark.skipif("lzo" in available(), reason="python-lzo is installed, so the bytes of lzo are compared above")
def test_bytes_of_lzo_are_left_out_without_its_library() -> None:
    """Byte counts of lzo rows are compared only when python-lzo (the extra 'lzo') is there to produce them."""
    row = next(row for row in ROWS if row.compressor == "lzo")
    assert not [each for each in compare([row]) if "bytes" in each.column]


@pytest.mark.skipif("lzo" not in available(), reason="python-lzo (the extra 'lzo') is not installed")
def test_bytes_of_lzo_are_compared_with_its_library() -> None:
    """With python-lzo, pool bytes are within 0.5 % and charged bytes within 0.3 % of the kernel's."""
    rows = [row for row in ROWS if row.compressor == "lzo"]
    assert len([each for each in compare(rows) if "bytes" in each.column and each.agrees]) == 2 * len(rows)


def test_table_names_each_count_that_differs() -> None:
    """The printed table shows a disagreement with both numbers, and how many counts agree."""
    row = ROWS[0]
    found = [Comparison(row, "vswap_used", 2048, 2048, 0), Comparison(row, "zswap_pool_total_bytes", 100, 93, 5)]
    text = table(found)
    assert "1/2" in text
    assert "zswap_pool_total_bytes: kernel 100, model 93" in text
