"""Page contents: made pages are byte for byte those of the kernel measurements; real pages are read with care."""

from __future__ import annotations

import hashlib
import json
import lzma
from pathlib import Path

import pytest

from vswaplab.errors import InvalidArgument, NotFound, SwapError
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads import corpus

# Of the generator with which data/kernel/ was measured: sha256 over all pages of all kinds in order, of each kind
# alone, and of each mix as little-endian 32-bit indices into the former.
ALL_PAGES_SHA256 = "5a2e18cabacbec880fea8ed28a0651e1e7859e08e48121c167864bf7f6b888c3"
KIND_SHA256 = {
    "zero": "ad7facb2586fc6e966c004d7d1d16b024f5805ff7cb47c7a85dabd8b48892ca7",
    "same": "bea7a9cb1c9babebeb2429022dcfc585b56e8786fc09959a441e4ebe6a6455e1",
    "sparse": "a8094b0927f40cac6ada9b8a6386bdd258052a47449507aa4af5b7c197738e2d",
    "text": "9ce47980b0c76e87d534f8b9beb63da1062a10282f35b8addb011759d395fbbe",
    "heap": "7d441fb7ac542b5a32d0fda32a63471173af51719402456114f1309e7165ce1f",
    "half": "761aa6c56b4fdde7b09c54d44e69b38a0166237c54365c3f0fd345e91678b67c",
    "rnd75": "19359c9b55ce4e8365b66773cfce6fb76fa26edf150e6bd4d3c34ffa0a1606b7",
    "rnd90": "3a715790ab903d5994405c4e34bd392231526e4a753591d2817b79b86b4c7b65",
    "random": "34b5d91790242f4ce74eb05983359c62b41936a47476e533c65714f51f279552",
}
MIX_SHA256 = {
    "zero": "9f1dcbc35c350d6027f98be0f5c8b43b42ca52b7604459c0c42be3aa88913d47",
    "same": "11a931ac2bf6ed877b6af3a979df75f98bd0da6747ca928cb46d89d1fa6cbc31",
    "sparse": "4a3167c27a90ad582512e09d228343205fdc789de0a9463896125fd58d987799",
    "text": "4c8b3eb2efb2f857d5a7eadef525ba3427c445c5e3ddc7a8094f4cdd12dd87cc",
    "heap": "21efac0ca32a5130048c4b09acb7995f0f2e1b2bfef603e36bc3b7d7ef76d879",
    "half": "76366aaa368b86b5377b8694ae088c02f3895b985d09cf3483ce1989191df2dd",
    "rnd75": "d376f247c3a2f1704448f5b644ec37e5009dec32fdf7587cd0496eeddfada484",
    "rnd90": "a2e96b85582fb3a94a2fb6c738d6d9d71030a79a476b9d10aa66b5363d987e3f",
    "random": "bb7ad0da460172a68327198c1fe86b77e982e83d86736fd262a794580525a029",
    "desktop": "81753d3bec5ce5775b884b736c1f825b12c69b42d5d2f57532b46e3f72fbd1d1",
    "server": "af179f8eb6affa7d0cac259f62c2ebafa4543544088898f32498e33ea68ef91c",
    "hostile": "9a92aef6040e9f9824554bdc826b178e58280256b8ab0b18a3de4bf648ad6ab2",
}


def _kind_bytes(kind: str) -> bytes:
    return b"".join(corpus.page_bytes(kind, p) for p in range(corpus.KINDS[kind]))


def test_every_made_page_is_the_page_the_kernels_were_measured_with() -> None:
    """All 5,377 pages, kind by kind and together, have the original generator's hash."""
    blobs = {kind: _kind_bytes(kind) for kind in corpus.KINDS}
    assert {kind: hashlib.sha256(blob).hexdigest() for kind, blob in blobs.items()} == KIND_SHA256
    assert hashlib.sha256(b"".join(blobs.values())).hexdigest() == ALL_PAGES_SHA256


def test_every_mix_lays_its_pages_out_in_the_measured_order() -> None:
    """Each mix names the original generator's 2,048 pages in the original's order."""
    base, at = {}, 0
    for kind, count in corpus.KINDS.items():
        base[kind], at = at, at + count
    digests = {
        name: hashlib.sha256(b"".join((base[kind] + p).to_bytes(4, "little") for kind, p in pages)).hexdigest()
        for name, pages in corpus.MIXES.items()
    }
    assert digests == MIX_SHA256


def test_mix_pages_are_the_bytes_of_the_named_pages() -> None:
    """`mix_pages` returns whole pages in the order of `MIXES`."""
    pages = corpus.mix_pages("server")
    assert len(pages) == corpus.MIX_PAGES
    assert {len(page) for page in pages} == {PAGE_SIZE}
    assert pages[100] == corpus.page_bytes(*corpus.MIXES["server"][100])


@pytest.mark.parametrize(("kind", "p"), [("zeros", 0), ("text", -1)])
def test_unknown_made_page_is_refused(kind: str, p: int) -> None:
    """A kind or a page that does not exist is EINVAL, and the message helps."""
    with pytest.raises(InvalidArgument, match=r"choose one of|p must be a whole number"):
        corpus.page_bytes(kind, p)


def test_unknown_mix_is_refused() -> None:
    """A mix that does not exist is EINVAL and the message lists those that do."""
    with pytest.raises(InvalidArgument, match="desktop"):
        corpus.mix_pages("laptop")


def test_real_pages_are_3840_of_five_kinds() -> None:
    """The shipped real pages: 768 of each of five kinds of process, none of a kind missing."""
    assert corpus.real_page_array().shape == (3840, PAGE_SIZE)
    by_kind = [corpus.real_pages(kind) for kind in corpus.REAL_KINDS]
    assert [len(pages) for pages in by_kind] == [768] * 5
    assert [page for pages in by_kind for page in pages] == corpus.real_pages()


def test_real_pages_can_not_be_changed_in_place() -> None:
    """The array is shared by all callers, so it is read-only."""
    with pytest.raises(ValueError, match="read-only"):
        corpus.real_page_array()[0, 0] = 1


def test_real_pages_of_unknown_kind_are_refused() -> None:
    """A kind of process that the data does not have is EINVAL."""
    with pytest.raises(InvalidArgument, match="sqlite"):
        corpus.real_pages("cobol")


def test_missing_data_folder_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ENOENT with the name of the variable when the data folder is not where it should be."""
    monkeypatch.setenv("VSWAPLAB_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(NotFound, match="VSWAPLAB_DATA"):
        corpus.real_pages()


INDEX = {"index": [{"kind": "a", "first": 0, "pages": 2}], "page_bytes": PAGE_SIZE, "pages": 2}


def _write(folder: Path, index: object, packed: bytes) -> None:
    (folder / "pages").mkdir()
    (folder / "pages" / "pages.json").write_text(json.dumps(index))
    (folder / "pages" / "pages_2x4KiB.raw.xz").write_bytes(packed)


GOOD = lzma.compress(bytes(range(256)) * 32)


def test_small_page_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The control of the cases below: the same folder undamaged gives two pages."""
    _write(tmp_path, INDEX, GOOD)
    monkeypatch.setenv("VSWAPLAB_DATA", str(tmp_path))
    assert corpus.real_pages("a") == [bytes(range(256)) * 16] * 2


@pytest.mark.parametrize(
    ("index", "packed", "message"),
    [
        (INDEX, GOOD[:-8], "truncated"),
        (INDEX, GOOD[:40], "truncated"),
        (INDEX, b"", "truncated"),
        (INDEX, b"not xz at all", "damaged"),
        (INDEX, GOOD[:100] + b"\xff\xff" + GOOD[102:], "damaged"),
        (INDEX, lzma.compress(bytes(3 * PAGE_SIZE)), "does not hold"),
        (INDEX, lzma.compress(bytes(1 * PAGE_SIZE)), "does not hold"),
        (INDEX | {"page_bytes": 8192}, GOOD, "page_bytes must be 4096"),
        (INDEX | {"pages": 1 << 40}, GOOD, "1 to 65536"),
        (INDEX | {"pages": "many"}, GOOD, "pages must be a whole number"),
        (INDEX | {"pages": float("inf")}, GOOD, "holds Infinity"),
        (INDEX | {"index": [{"kind": "a", "first": 1, "pages": 2}]}, GOOD, "must be 1"),
        ([], GOOD, "not an index"),
    ],
)
def test_damaged_page_files_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, index: object, packed: bytes, message: str
) -> None:
    """A truncated, damaged, too long or inconsistent file is one clear EINVAL."""
    _write(tmp_path, index, packed)
    monkeypatch.setenv("VSWAPLAB_DATA", str(tmp_path))
    with pytest.raises(InvalidArgument, match=message) as caught:
        corpus.real_pages()
    assert isinstance(caught.value, SwapError)
    assert "\n" not in str(caught.value)


def test_xz_bomb_takes_no_more_memory_than_the_index_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """64 MiB of zeros behind a two-page index are refused after two pages."""
    _write(tmp_path, INDEX, lzma.compress(bytes(64 << 20), preset=0))
    monkeypatch.setenv("VSWAPLAB_DATA", str(tmp_path))
    with pytest.raises(InvalidArgument, match="does not hold"):
        corpus.real_pages()
