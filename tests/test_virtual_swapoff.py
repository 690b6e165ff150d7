"""swapoff brings a device's pages in and retargets descriptors; whatever stops it leaves everything usable."""

from __future__ import annotations

from contextlib import suppress

import pytest
from swapkit import Kit, KitFolio

from vswaplab.backends.device import Fault
from vswaplab.entry import Backing
from vswaplab.errors import Busy, DeviceIOError, Interrupted, NoMemory


class Host:
    """A machine with `pages` free pages and a signal after `signal_after` questions."""

    def __init__(self, kit: Kit, pages: int = 10**6, signal_after: int = 10**6) -> None:
        self.kit, self.pages, self.signal_after = kit, pages, signal_after
        self.folios: list[KitFolio] = []

    def pagein(self, entry: int) -> KitFolio:
        if not self.pages:
            raise NoMemory("No page.")
        folio = self.kit.into_cache(entry)
        with suppress(DeviceIOError):  # the folio stays, not uptodate
            self.kit.swap.swap_read_folio(folio)
        folio.locked = False
        self.pages -= 1
        self.folios.append(folio)
        return folio

    def cancelled(self) -> bool:
        self.signal_after -= 1
        return self.signal_after < 0


@pytest.fixture
def kit() -> Kit:
    kit = Kit(slots=1000, zswap=True)
    kit.packed = [kit.swapped(b"z" * 4096) for _ in range(5)]
    kit.zswap.enabled = False
    kit.on_disk = [kit.swapped(bytes([i % 255 + 1]) * 4096) for i in range(40)]
    return kit


def intact(kit: Kit, host: Host) -> bool:
    """Every page that was on the device can be had byte for byte."""
    kit.swap.check()
    for i, entry in enumerate(kit.on_disk):
        folio = kit.swap.swap_cache_get_folio(entry) or host.pagein(entry)
        if bytes(folio.data) != bytes([i % 255 + 1]) * 4096:
            return False
    return True


def test_all_pages_come_in_and_page_tables_keep_their_entries(kit: Kit) -> None:
    host = Host(kit)
    report = kit.swap.swapoff(0, host)
    assert (report.pages_read, report.rounds, report.ptes_visited, report.tables_walked) == (40, 2, 0, 0)
    assert [kit.swap.swp_swapcount(entry) for entry in kit.on_disk] == [1] * 40
    assert {kit.swap.lookup(entry).type for entry in kit.on_disk} == {Backing.FOLIO}
    assert all(folio.dirty for folio in host.folios)
    assert not list(kit.devices)
    assert kit.memcgs[1].swap_charge == 0
    assert intact(kit, host)


def test_pages_in_zswap_are_not_touched(kit: Kit) -> None:
    kit.swap.swapoff(0, Host(kit))
    assert {kit.swap.lookup(entry).type for entry in kit.packed} == {Backing.ZSWAP}


def test_an_empty_device_is_off_without_a_scan() -> None:
    kit = Kit(slots=100)
    report = kit.swap.swapoff(0, Host(kit))
    assert (report.slots_scanned, report.rounds) == (0, 0)


def test_reads_go_in_slot_order(kit: Kit) -> None:
    host = Host(kit)
    before = kit.device.device.sequential_reads
    device = kit.device.device
    kit.swap.swapoff(0, host)
    assert device.reads == 40
    assert device.sequential_reads - before >= 38


def test_no_memory_leaves_the_device_on_and_a_second_try_finishes(kit: Kit) -> None:
    host = Host(kit, pages=25)
    prio = kit.device.prio
    with pytest.raises(NoMemory, match="swapoff stopped"):
        kit.swap.swapoff(0, host)
    assert [device.prio for device in kit.devices] == [prio]
    assert kit.device.writeok
    kit.swap.check()
    host.pages = 10**6
    kit.swap.swapoff(0, host)
    assert intact(kit, host)


@pytest.mark.parametrize("after", [0, 1, 20, 41, 60])
def test_a_signal_stops_either_round(kit: Kit, after: int) -> None:
    host = Host(kit, signal_after=after)
    with pytest.raises(Interrupted):
        kit.swap.swapoff(0, host)
    assert kit.device.writeok
    host.signal_after = 10**6
    assert intact(kit, host)
    kit.swap.swapoff(0, host)
    assert intact(kit, host)


def test_an_unreadable_page_is_backed_by_a_folio_that_is_no_page_and_swapoff_goes_on(kit: Kit) -> None:
    """try_to_unuse does not ask whether the folio is uptodate: it is stored, dirty, and the slot is free [S14]."""
    kit.device.device.inject(Fault("read", "EIO", nth=10))
    host = Host(kit)
    report = kit.swap.swapoff(0, host)
    assert (report.pages_lost, report.pages_read, len(kit.devices)) == (1, 39, 0)
    entry = kit.on_disk[9]
    folio = kit.swap.swap_cache_get_folio(entry)
    assert (folio.uptodate, folio.dirty, kit.swap.lookup(entry).type) == (False, True, Backing.FOLIO)
    folio.locked = True
    with pytest.raises(Busy):
        kit.swap.swap_cache_del_folio(folio)  # its entry would lead nowhere
    kit.swap.check()


def test_a_device_that_is_pinned_is_busy(kit: Kit) -> None:
    _, si = kit.swap.tryget_swap_entry(kit.on_disk[3])
    with pytest.raises(Busy):
        kit.swap.swapoff(0, Host(kit))
    kit.swap.put_swap_entry(kit.on_disk[3], si)
    kit.swap.swapoff(0, Host(kit))


def test_the_device_can_be_swapped_on_again(kit: Kit) -> None:
    device = kit.device.device
    kit.swap.swapoff(0, Host(kit))
    again = kit.devices.swapon(device)
    assert (again.type, again.inuse_pages) == (0, 0)
    assert kit.swap.lookup(kit.swapped(b"\x07" * 4096)).type is Backing.SWAPFILE
