"""The byte ledger in Chromium: keys, sliders, presets; what the page says equals Python's sums."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser.harness import Chromium, Tab, wait_until
from browser.viewkit import open_views, serious

from vswaplab.observe.ledger_mix import Mix, mix_crossover, mix_ledger
from vswaplab.widgets import ByteLedger
from vswaplab.widgets.ledger import PRESETS

pytestmark = pytest.mark.browser

_STATE = """() => {
  const p = document.querySelector(".vswaplab-view").player, lines = {};
  for (const design of p.designs) lines[design] = p.lines(design).map(({name, total}) => [name, total]);
  const kept = document.querySelector(".vswaplab-place").model.get("settings");
  return {settings: p.settings, kept, crossing: p.crossing().live, lines};
}"""


def shown(tab: Tab) -> dict[str, Any]:
    found: dict[str, Any] = tab.page.evaluate(_STATE)
    return found


def agrees(tab: Tab) -> dict[str, Any]:
    """Check that the page's sums for its settings are Python's, and that the trait has them; return the settings."""
    found = shown(tab)
    settings: dict[str, Any] = found["settings"]
    assert found["kept"] == settings
    mix = Mix(**{name: settings[name] for name in Mix.__dataclass_fields__})
    for design, lines in found["lines"].items():
        python = mix_ledger(design, mix, settings["usage"]).structures
        assert lines == [[name, line.bytes] for name, line in python.items()]
    if settings["count"] == "everything":
        assert found["crossing"] == mix_crossover(mix, settings["baseline"])
    return settings


def test_keys_alone_move_the_usage_and_the_words_follow(chromium: Chromium, tmp_path: Path) -> None:
    tab = open_views(chromium, tmp_path, ByteLedger())
    page, keyboard, status = tab.page, tab.page.keyboard, tab.page.locator(".vswaplab-status")
    page.locator(".vswaplab-view").focus()
    for key, usage in (
        ("ArrowRight", 51),
        ("ArrowLeft", 50),
        ("Shift+ArrowLeft", 40),
        ("PageUp", 25),
        ("PageUp", 0),
        ("PageDown", 25),
        ("End", 100),
        ("ArrowRight", 100),
        ("Home", 0),
    ):
        keyboard.press(key)
        assert agrees(tab)["usage"] == usage, key
    assert "legacy 25.00 MiB, virtual 0.00 MiB. Virtual costs 25.00 MiB less" in status.inner_text()
    keyboard.press("End")
    assert "legacy 153.00 MiB (19.125 bytes an entry), virtual 193.00 MiB" in status.inner_text()
    assert "equal at 38.46 %, 3,226,388 entries" in status.inner_text()
    canvas = page.locator("canvas")
    wait_until(lambda: "Cursor at 100 %" in str(canvas.get_attribute("aria-label")), "the picture", 5)
    assert "legacy from 25.00 to 153.00 MiB: swap_map, swap_cgroup" in str(canvas.get_attribute("aria-label"))
    tab.check()
    page.context.close()


def test_sliders_work_by_keyboard_and_shares_add_up(chromium: Chromium, tmp_path: Path) -> None:
    tab = open_views(chromium, tmp_path, ByteLedger("mixed"))
    page, keyboard = tab.page, tab.page.keyboard
    page.get_by_label("Share on the disk", exact=True).focus()
    keyboard.press("End")
    settings = agrees(tab)
    assert (settings["zero"], settings["zswap"], settings["disk"]) == (0, 0, 100)
    keyboard.press("ArrowLeft")
    assert agrees(tab)["zswap"] == 1
    page.get_by_label("Size of the device", exact=True).focus()
    keyboard.press("ArrowRight")
    assert agrees(tab)["slots"] == 2 * 8_388_608
    assert "[published for 32 GiB, as posted, packed]" in page.locator(".vswaplab-ledger-boxes").inner_text()
    page.get_by_label("Live slots in each cluster", exact=True).focus()
    keyboard.press("End")
    assert agrees(tab)["live_per_cluster"] == 1
    page.get_by_label("How bytes are counted").select_option("as allocated")
    page.get_by_label("Unit").select_option("entry")
    page.get_by_label("virtual swap keeps the swapfile").check()
    settings = agrees(tab)
    assert (settings["mode"], settings["unit"], settings["swapfile"]) == ("as allocated", "entry", True)
    assert page.get_by_label("Preset").input_value() == ""
    box = page.locator("canvas").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 46 + 2, box["y"] + 150)
    assert agrees(tab)["usage"] <= 2
    tab.check()
    page.context.close()


def test_what_python_assigns_is_shown(chromium: Chromium, tmp_path: Path) -> None:
    view = ByteLedger()
    tab = open_views(chromium, tmp_path, view)
    page = tab.page
    view.settings = {**view.settings, "slots": 1 << 18, "zero": 20, "zswap": 30, "disk": 50, "usage": 80}
    set_it = '(to) => document.querySelector(".vswaplab-place").model.set("settings", to)'
    page.evaluate(set_it, view.settings)
    assert agrees(tab) == view.settings
    said = page.locator(".vswaplab-status").inner_text()
    costs = [view.ledger(design).mib for design in ("legacy", "virtual")]
    assert all(f"{design} {mib:.2f} MiB" in said for design, mib in zip(("legacy", "virtual"), costs, strict=True))
    assert f"equal at {view.crossover:.2f} %" in said
    assert [each.inner_text() for each in page.locator("output").all()][:2] == ["1 GiB", "80 %"]
    tab.check()
    page.context.close()


@pytest.mark.parametrize("preset", list(PRESETS))
def test_presets_set_what_python_sets_and_spell_the_sum_out(preset: str, chromium: Chromium, tmp_path: Path) -> None:
    tab = open_views(chromium, tmp_path, ByteLedger(slots=1 << 16, usage=3))
    page = tab.page
    page.get_by_label("Preset").select_option(preset)
    view = ByteLedger(preset)
    assert agrees(tab) == view.settings
    assert page.get_by_label("Preset").input_value() == preset
    page.locator(".vswaplab-view").focus()
    page.keyboard.press("ArrowLeft")
    assert page.get_by_label("Preset").input_value() == preset
    page.get_by_label("Preset").select_option(preset)
    said = page.locator(".vswaplab-ledger-boxes").inner_text()
    if preset == "24 instead of 8":
        assert all(each in said for each in ("+128.00", "+16 B"))
        assert said.count("left out") >= 6
        assert "virtual costs more from the first entry on" in page.locator(".vswaplab-status").inner_text()
    if preset == "net":
        assert all(each in said for each in ("+40.00", "\u221225.00", "+5 B"))
        assert "left out" not in said
    if preset.startswith("posting"):
        assert "20 of 20 agree" in said
    if preset.startswith("mainline"):
        assert "Virtual less Linux 7.2" in said
        assert "three of the five structures that 6.19 has are gone from mainline" in said
        assert "20 of 20 agree" in said  # the published table is of 6.19, whatever stands beside it
        assert "Linux 7.2" in page.locator(".vswaplab-status").inner_text()
    tab.check()
    page.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1040, 390])
def test_it_fits_says_the_same_as_a_table_and_axe_finds_nothing(
    theme: str, width: int, chromium: Chromium, tmp_path: Path
) -> None:
    view = ByteLedger("24 instead of 8" if theme == "light" else "allocated, zswap")
    tab = open_views(chromium, tmp_path, view, theme=theme, width=width)
    page = tab.page
    for fold in page.locator("summary").all():
        fold.click()
    rows = page.locator(".vswaplab-twin tbody tr")
    names = sum(len(view.ledger(design).structures) + 1 for design in ("legacy", "virtual"))
    wait_until(lambda: rows.count() == names, "the table", 5)
    assert f'mode="{view.mix.mode}"' in page.locator("pre").inner_text()
    assert serious(tab) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tab.check()
    page.context.close()
