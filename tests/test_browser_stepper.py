"""The stepper in Chromium: both ways, by keyboard alone, its state, light and dark, narrow, no fault for axe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser.harness import Chromium, Tab, wait_until
from browser.viewkit import open_views, serious
from test_widgets_js import lived, told

from vswaplab import Backing, Machine
from vswaplab.units import PAGE_SIZE
from vswaplab.widgets import BackingFlow, StateMachine, Stepper
from vswaplab.workloads.corpus import real_page_array

pytestmark = pytest.mark.browser

_STATE = """() => {
  const player = document.querySelector(".vswaplab-stepper").player, {tape} = player, {c} = tape.log, s = tape.state;
  const name = (e) => `${c.entry_type[e]}:${c.entry_number[e]}`;
  const ptes = [...s.pteKind].flatMap((kind, p) => kind ? [[c.pte_pid[p], c.pte_vpn[p], kind === 1,
    kind === 1 ? c.frame_pfn[s.pteRef[p]] : name(s.pteRef[p])]] : []);
  const entries = [...s.backing].flatMap((backing, e) => backing === 255 ? [] : [[name(e), backing, s.count[e]]]);
  return {position: tape.position, ptes, entries};
}"""


def shown(tab: Tab) -> dict[str, Any]:
    found: dict[str, Any] = tab.page.evaluate(_STATE)
    return found


def agrees(tab: Tab, stepper: Stepper, position: int) -> bool:
    """Tell whether the page stands at a position with the state that Python rebuilds for it."""
    page, python = shown(tab), told(stepper.model.state(position))
    entries = [entry[:3] for entry in python["entries"]]
    return bool(page["position"] == position and page["ptes"] == python["ptes"] and page["entries"] == entries)


@pytest.fixture(params=["virtual", "legacy"])
def stepper(request: pytest.FixtureRequest) -> Stepper:
    return Stepper(lived(request.param))


def test_keys_alone_step_play_and_jump(stepper: Stepper, chromium: Chromium, tmp_path: Path) -> None:
    tab = open_views(chromium, tmp_path, stepper)
    keyboard, last = tab.page.keyboard, stepper.last
    tab.page.locator(".vswaplab-view").focus()
    assert agrees(tab, stepper, last)
    for key, position in (
        ("ArrowLeft", last - 1),
        ("Shift+ArrowLeft", last - 11),
        ("ArrowRight", last - 10),
        ("Home", 0),
        ("ArrowRight", 1),
        ("PageDown", stepper.header["phases"][0][1]),
        ("PageDown", stepper.header["phases"][1][1]),
        ("PageUp", stepper.header["phases"][0][1]),
        ("End", last),
    ):
        keyboard.press(key)
        assert agrees(tab, stepper, position), key
    keyboard.press("Home")
    for _ in range(6):
        keyboard.press("+")
    keyboard.press(" ")
    wait_until(lambda: shown(tab)["position"] == last, "playing to the end", 20)
    assert agrees(tab, stepper, last)
    tab.check()
    tab.page.context.close()


def test_buttons_fields_and_folds_work_and_words_follow(stepper: Stepper, chromium: Chromium, tmp_path: Path) -> None:
    tab = open_views(chromium, tmp_path, stepper)
    page, status = tab.page, tab.page.locator(".vswaplab-status")
    page.get_by_role("button", name="Step back", exact=True).click()
    assert agrees(tab, stepper, stepper.last - 1)
    page.get_by_label("Event number").fill("20")
    page.keyboard.press("Enter")
    record = stepper.model.record(20)
    assert record is not None
    assert agrees(tab, stepper, 20)
    assert record.describe() in status.inner_text()
    assert record.kernel.function in status.inner_text()
    page.get_by_label("Jump to a phase").select_option(label=stepper.model.phases[0].label)
    assert agrees(tab, stepper, stepper.model.phases[0].position)
    page.get_by_text("The same as a table").click()
    position = stepper.model.phases[0].position
    rows = stepper.model.twin(position).count("<tr><td>")
    wait_until(lambda: page.locator(".vswaplab-twin tbody tr").count() == rows, "the table", 5)
    page.get_by_text("Show me the kernel").click()
    page.get_by_text("The calls behind this picture").click()
    call = f"machine.trace[{stepper.model.steps[position - 1]}]"
    wait_until(lambda: call in page.locator("pre").last.inner_text(), "the calls", 5)
    tab.check()
    tab.page.context.close()


def test_picture_says_what_it_shows_and_pointing_names_a_mark(
    stepper: Stepper, chromium: Chromium, tmp_path: Path
) -> None:
    tab = open_views(chromium, tmp_path, stepper)
    canvas = tab.page.locator("canvas")
    assert "Slot graph" in str(canvas.get_attribute("aria-label"))
    where = tab.page.evaluate(
        """() => {
          const {graph} = document.querySelector(".vswaplab-stepper").player, box = graph.surface, {c} = graph.log;
          const at = box.canvas.getBoundingClientRect();
          return [at.left + c.pte_x[0] * box.scale, at.top + c.pte_y[0] * box.scale];
        }"""
    )
    tab.page.mouse.move(*where)
    tip = tab.page.locator(".vswaplab-tip")
    tip.wait_for()
    assert tip.inner_text().startswith("PTE of process")
    tab.check()
    tab.page.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1040, 390])
def test_it_fits_and_axe_finds_no_serious_fault(theme: str, width: int, chromium: Chromium, tmp_path: Path) -> None:
    stepper = Stepper(lived("virtual"))
    tab = open_views(chromium, tmp_path, stepper, theme=theme, width=width)
    for fold in tab.page.locator("summary").all():
        fold.click()
    assert serious(tab) == []
    widest = tab.page.evaluate("document.documentElement.scrollWidth")
    assert widest <= width
    tab.check()
    tab.page.context.close()


_COMPARE = """() => {
  const {layer, surface} = document.querySelector(".vswaplab-view").player.graph;
  const read = () => {
    const {image} = layer;
    return image.getContext("2d").getImageData(0, 0, image.width, image.height).data;
  };
  const mended = read();
  layer.key = "";
  surface.now();
  const anew = read();
  let differ = 0, painted = 0;
  for (let i = 0; i < anew.length; i++) {
    differ += Math.abs(mended[i] - anew[i]) > 40;
    painted += anew[i] > 0;
  }
  return {differ: differ / anew.length, painted, repainted: layer.repainted, same: mended.length === anew.length};
}"""


@pytest.mark.parametrize("design", ["virtual", "legacy"])
def test_many_marks_that_were_brought_up_to_date_look_as_painted_anew(
    design: str, chromium: Chromium, tmp_path: Path
) -> None:
    """Of thousands of marks only those that changed are painted; the picture is that of painting all."""
    machine = Machine(ram="4M", design=design, page_cluster=0)
    machine.swapon(size="2M")
    app = machine.spawn("app")
    region = app.mmap(300 * PAGE_SIZE)
    pages = real_page_array()[:300].copy()
    pages[::9] = 0
    app.write(region.start, pages.tobytes())
    machine.reclaim()
    machine.writeback(80)
    app.touch(region.addresses()[:120])
    stepper = Stepper(machine)
    tab = open_views(chromium, tmp_path, stepper)
    page = tab.page
    go = """async (position) => {
      const {transport, graph} = document.querySelector(".vswaplab-view").player;
      transport.go(position);
      graph.surface.now();
      return graph.layer.repainted;
    }"""
    repainted = [page.evaluate(go, stepper.last - back) for back in (0, 1, 2, 3, 40, 300, 299, 900, 5)]
    assert repainted[0] == 0  # it stood there
    assert 0 < max(repainted[1:4]) < 8
    found = page.evaluate(_COMPARE)
    assert found["same"]
    assert found["repainted"] > 1000
    assert found["painted"] > 10_000
    assert found["differ"] < 1e-4
    tab.check()
    page.context.close()


def test_a_log_of_another_version_is_one_sentence_in_place_of_the_view(chromium: Chromium, tmp_path: Path) -> None:
    stepper = Stepper(lived("virtual"))
    stepper.header = {**stepper.header, "version": 99}
    tab = open_views(chromium, tmp_path, stepper)
    assert tab.page.locator(".vswaplab-error").inner_text() == "This player reads step logs of version 1, not 99."
    tab.page.context.close()


def test_state_machine_counts_both_ways_and_goes_to_a_chosen_event(chromium: Chromium, tmp_path: Path) -> None:
    view = StateMachine(lived("virtual"))
    tab = open_views(chromium, tmp_path, view)
    page, canvas = tab.page, tab.page.locator("canvas")
    page.locator(".vswaplab-view").focus()
    at_end = str(canvas.get_attribute("aria-label"))
    assert "taken to FOLIO 26 times" in at_end
    page.keyboard.press("Home")
    wait_until(lambda: "Nothing has happened" in str(canvas.get_attribute("aria-label")), "the beginning", 5)
    page.keyboard.press("End")
    wait_until(lambda: canvas.get_attribute("aria-label") == at_end, "the end", 5)
    page.get_by_label("Transition whose events are listed").select_option(label="ZSWAP to SWAPFILE (6)")
    page.get_by_text("Events of the chosen transition").click()
    page.locator(".vswaplab-events button").first.click()
    position = tab.page.evaluate("document.querySelector('.vswaplab-view').player.tape.position")
    assert "swapfile" in page.locator(".vswaplab-status").inner_text()
    assert 0 < position < view.last
    assert serious(tab) == []
    tab.check()
    tab.page.context.close()


def test_flow_has_the_counts_of_each_step(chromium: Chromium, tmp_path: Path) -> None:
    view = BackingFlow(lived("legacy"))
    tab = open_views(chromium, tmp_path, view, theme="dark", width=390)
    stepper, canvas = Stepper(lived("legacy")), tab.page.locator("canvas")
    tab.page.locator(".vswaplab-view").focus()
    for key, position in (("Home", 0), ("PageDown", stepper.model.phases[0].position), ("End", view.last)):
        tab.page.keyboard.press(key)
        counts = {name: stepper.model.state(position).count(Backing[name]) for name in ("SWAPFILE", "ZSWAP", "FOLIO")}
        for name, count in counts.items():
            words = f"{count} {name}"
            wait_until(lambda words=words: words in str(canvas.get_attribute("aria-label")), words, 5)  # type: ignore[misc]
    assert serious(tab) == []
    tab.check()
    tab.page.context.close()
