"""The frame of a swapoff, the same in both designs: the device stops being written, is emptied, and goes [BACKGROUND].

What empties it is the design's own. Whatever stops that half-way, the device is on again, with its old priority.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from vswaplab.backends.swapfile import SwapDevices, SwapFile
from vswaplab.errors import Busy, Interrupted
from vswaplab.protocols import SwapoffHost, SwapoffReport

__all__ = ["run_swapoff", "stop_if_cancelled"]


def run_swapoff(devices: SwapDevices, type: int, empty: Callable[[SwapFile, SwapoffReport], None]) -> SwapoffReport:
    """Take device `type` off with the help of `empty`, and report what that took, its requests and its time."""
    started = time.perf_counter()
    report = SwapoffReport(type=type)
    si = devices.begin_swapoff(type)
    reads, sequential = si.device.reads, si.device.sequential_reads
    devices.swapoff_report = report
    try:
        empty(si, report)
        if si.inuse_pages:
            raise Busy(f"swapoff stopped: {si.inuse_pages} slots of device {type} can't be moved; free them first.")
    except BaseException:
        devices.abort_swapoff(type)
        raise
    finally:
        devices.swapoff_report = None
    report.io_requests = si.device.reads - reads
    report.io_sequential = si.device.sequential_reads - sequential
    devices.finish_swapoff(type)
    report.seconds = time.perf_counter() - started
    return report


def stop_if_cancelled(host: SwapoffHost) -> None:
    """Interrupted (-EINTR) if a signal is pending."""
    if host.cancelled():
        raise Interrupted("swapoff was interrupted; the device is still on and complete, run it again.")
