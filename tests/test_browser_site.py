"""The site, opened with the network cut: every page stands, every player plays, nothing outside is asked for."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from base64 import b64decode
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import html5lib
import nbformat
import pytest
from browser.harness import Chromium, Tab, wait_until
from browser.sitekit import internal_targets, links_of, open_page
from test_browser_stepper import agrees
from test_browser_twin import agrees as twins_agree

from vswaplab import lab
from vswaplab.export.site.front import STAGES, journey
from vswaplab.export.static_outputs import widget_models
from vswaplab.observe.ledger_mix import Mix, mix_ledger
from vswaplab.widgets import SwapoffRace, TwinPlayer

pytestmark = [pytest.mark.browser, pytest.mark.notebook]

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
VIEW = re.compile(r'<script type="application/vswaplab\+json">(.*?)</script>', re.DOTALL)
_KINDS = """[...document.querySelectorAll('script[type="application/vswaplab+json"]')]
  .map((each) => JSON.parse(each.textContent).view)"""
TOKEN = "vs1-0H79-ZPRB-1M1T-SRYY"
"""The state that notebook 00 opens first."""
PLAYERS = {
    "stepper": "03_backings_and_transitions",
    "statemachine": "03_backings_and_transitions",
    "flow": "03_backings_and_transitions",
    "breakit": "03_backings_and_transitions",
    "zswappool": "04_zswap_decoupled",
    "twin": "08_sharing_and_lifetime",
}
"""A page with each view that has a cursor."""


def lesson(site: Path, name: str) -> Path:
    return site / "notebooks" / f"{name}.html"


def place(tab: Tab, view: str, at: int = 0) -> Any:
    """Return the locator of a view on the page, mounted."""
    kind = tab.page.locator(".vswaplab-place").all()
    scripts: list[str] = tab.page.evaluate(_KINDS)
    found = kind[[i for i, each in enumerate(scripts) if each == view][at]]
    found.scroll_into_view_if_needed()
    found.locator(".vswaplab-view").wait_for()
    return found


# -- what stands in the files ----------------------------------------------------------------------------------------


def test_every_notebook_is_a_page_and_can_be_had_as_a_file(site: Path) -> None:
    for path in NOTEBOOKS:
        page = lesson(site, path.stem).read_text(encoding="utf-8")
        assert f"{path.stem}.ipynb" in page
        assert "min to read" in page
        assert (site / "_downloads" / path.name).read_bytes() == path.read_bytes()
        assert "widget-view+json" not in page


def test_pages_load_nothing_but_files_of_the_site(site: Path, pages: list[Path]) -> None:
    for page in pages:
        for load in links_of(page).loads:
            assert not re.match(r"(https?:)?//", load), (page.name, load)
            if not load.startswith("data:"):
                assert (page.parent / load.split("?")[0]).resolve().is_file(), (page.name, load)
    for sheet in site.rglob("*.css"):
        for url in re.findall(r"""url\(\s*["']?([^)"']+)""", sheet.read_text(encoding="utf-8")):
            assert not re.match(r"(https?:)?//", url), (sheet.name, url)


def test_a_page_with_all_that_it_loads_weighs_less_than_three_megabytes(site: Path, pages: list[Path]) -> None:
    def packed(path: Path) -> int:
        return len(gzip.compress(path.read_bytes(), 6))

    shared = {path: packed(path) for path in (site / "_static").rglob("*") if path.suffix in (".js", ".css", ".woff2")}
    for page in pages:
        loads = {(page.parent / load.split("?")[0]).resolve() for load in links_of(page).loads}
        later = [path for path in shared if path.name == "plotly.min.js" or path.suffix == ".woff2"]
        whole = packed(page) + sum(shared.get(path, 0) for path in {*loads, *later})
        assert 10_000 < whole < 3_000_000, page.name


def test_every_link_leads_somewhere(pages: list[Path]) -> None:
    ids = {page: set(links_of(page).ids) for page in pages}
    broken = []
    for page in pages:
        for link, target, fragment in internal_targets(page):
            if not target.exists() or (
                fragment and target in ids and fragment not in ids[target] and "site/lab" not in link
            ):
                broken.append((page.name, link))
    assert broken == []


def test_pages_are_valid_html(pages: list[Path]) -> None:
    for page in pages:
        parser = html5lib.HTMLParser()
        parser.parse(page.read_text(encoding="utf-8"))
        assert [(where, error) for where, error, _ in parser.errors] == [], page.name
        found = links_of(page)
        assert [name for name, times in Counter(found.ids).items() if times > 1] == [], page.name
        assert set(found.named) <= set(found.ids), page.name
        assert found.unnamed == [], page.name


def test_pages_have_one_first_heading_and_levels_without_gaps(pages: list[Path]) -> None:
    for page in pages:
        article = (
            page.read_text(encoding="utf-8").partition('<article class="bd-article">')[2].partition("</article>")[0]
        )
        levels = [int(level) for level in re.findall(r"<h([1-6])\b", VIEW.sub("", article))]
        if not levels:
            continue
        assert levels[0] == 1, page.name
        assert levels.count(1) == 1, page.name
        assert all(after - before <= 1 for before, after in pairwise(levels)), page.name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_views_have_what_python_computed(path: Path, root: Path, site: Path) -> None:
    """The bytes that a page gives its views are those that the executed notebook had."""
    (executed,) = (root / "build" / "executed").glob(f"{path.stem}-*.ipynb")
    models = widget_models(nbformat.read(executed, as_version=4).metadata.get("widgets", {}))
    wanted = [bytes(state["data"]) for state in models.values() if state.get("data") and "view" in state]
    found = []
    for text in VIEW.findall(lesson(site, path.stem).read_text(encoding="utf-8")):
        packed = json.loads(text)["packed"].get("data")
        found += [zlib.decompress(b64decode(packed))] if packed else []
    assert sorted(data for data in found if data) == sorted(wanted)


# -- what happens in the browser ---------------------------------------------------------------------------------------


def test_the_stepper_steps_both_ways_to_the_states_of_python(site: Path, chromium: Chromium) -> None:
    stepper = lab.open_stepper(TOKEN)
    with open_page(chromium, lesson(site, "00_start_here")) as tab:
        view = place(tab, "stepper").locator(".vswaplab-view")
        view.focus()
        for key, position in (("End", stepper.last), ("ArrowLeft", stepper.last - 1), ("Home", 0), ("ArrowRight", 1)):
            tab.page.keyboard.press(key)
            assert agrees(tab, stepper, position), key
        tab.page.keyboard.press("End")
        assert agrees(tab, stepper, stepper.last)


def test_the_twin_player_ends_where_python_does(site: Path, chromium: Chromium) -> None:
    player = TwinPlayer("one_page")
    with open_page(chromium, lesson(site, "00_start_here")) as tab:
        place(tab, "twin").locator(".vswaplab-view").focus()
        tab.page.keyboard.press("End")
        assert twins_agree(tab, player, player.last)
        tab.page.keyboard.press("ArrowLeft")
        assert twins_agree(tab, player, player.last - 1)


@pytest.mark.parametrize("view", PLAYERS)
def test_a_player_steps_both_ways_by_keys(view: str, site: Path, chromium: Chromium) -> None:
    with open_page(chromium, lesson(site, PLAYERS[view])) as tab:
        element = place(tab, view)
        element.locator(".vswaplab-view").focus()
        slider, status = element.locator("input[type=range]").first, element.locator("[role=status]").first
        tab.page.keyboard.press("End")
        last, told = int(slider.input_value()), status.inner_text()
        assert last > 0
        tab.page.keyboard.press("ArrowLeft")
        assert int(slider.input_value()) == last - 1
        tab.page.keyboard.press("ArrowRight")
        assert int(slider.input_value()) == last
        assert status.inner_text() == told
        tab.page.keyboard.press("Home")
        assert int(slider.input_value()) == 0


def test_the_race_is_predicted_run_and_stopped_as_in_python(site: Path, chromium: Chromium) -> None:
    race = SwapoffRace(swapped=64, mapped="16M", strangers=3).race
    now = "each => { const {race} = each.player; return race.tracks.map((track) => [...race.now(track)]); }"
    with open_page(chromium, lesson(site, "05_swapoff")) as tab:
        view = place(tab, "race").locator(".vswaplab-view")
        view.get_by_label("PTEs that legacy looks at").fill("64")
        view.get_by_label("PTEs that virtual looks at").fill("0")
        view.focus()
        tab.page.keyboard.press("End")
        view.locator(".vswaplab-race-result table").wait_for()
        assert view.evaluate(now) == [race.tracks[design].samples[-1].tolist() for design in ("legacy", "virtual")]
        told = view.locator(".vswaplab-race-result").inner_text()
        assert f"{race.tracks['legacy'].report.ptes_visited:,}" in told
        assert "exactly" in told
        view.get_by_label("What stops it").select_option("signal 50")
        view.focus()
        tab.page.keyboard.press("End")
        wait_until(lambda: view.inner_text().count("stopped by a signal: EINTR") == 2, "both stopped", 5)
        tab.page.keyboard.press("Home")
        assert view.evaluate(now) == [[0] * 5, [0] * 5]


def test_the_ledger_adds_up_as_in_python(site: Path, chromium: Chromium) -> None:
    sums = """each => ({settings: each.player.settings, lines: Object.fromEntries(["legacy", "virtual"].map((design) =>
      [design, each.player.lines(design).map(({name, total}) => [name, total])]))})"""
    with open_page(chromium, lesson(site, "06_overhead")) as tab:
        view = place(tab, "ledger").locator(".vswaplab-view")
        view.focus()
        for key in ("End", "Shift+ArrowLeft", "PageUp", "Home"):
            tab.page.keyboard.press(key)
            found = view.evaluate(sums)
            mix = Mix(**{name: found["settings"][name] for name in Mix.__dataclass_fields__})
            for design, lines in found["lines"].items():
                python = mix_ledger(design, mix, found["settings"]["usage"]).structures
                assert lines == [[name, line.bytes] for name, line in python.items()], key


def test_the_explorer_goes_from_slot_to_slot_and_back(site: Path, chromium: Chromium) -> None:
    with open_page(chromium, lesson(site, "03_backings_and_transitions")) as tab:
        view = place(tab, "explorer").locator(".vswaplab-view")
        chain = view.locator(".vswaplab-chain")
        view.focus()
        tab.page.keyboard.press("Home")
        assert view.evaluate("each => each.player.slot") == 0
        tab.page.keyboard.press("PageDown")
        first = chain.inner_text()
        tab.page.keyboard.press("PageDown")
        second = chain.inner_text()
        assert first != second
        tab.page.keyboard.press("PageUp")
        assert chain.inner_text() == first


def test_a_permalink_opens_its_step(site: Path, chromium: Chromium) -> None:
    state = lab.open_stepper(TOKEN).header["token"]
    with open_page(chromium, lesson(site, "00_start_here"), fragment=state) as tab:
        place(tab, "stepper").locator(".vswaplab-view").focus()
        tab.page.keyboard.press("Home")
        tab.page.keyboard.press("ArrowRight")
        tab.page.keyboard.press("ArrowRight")
        tab.page.wait_for_function("state => !location.hash.endsWith(state)", arg=state)
        address = str(tab.page.evaluate("location.href"))
    with open_page(chromium, lesson(site, "00_start_here"), fragment=address.partition("#")[2]) as tab:
        stepper = lab.open_stepper(TOKEN)
        tab.page.locator(".vswaplab-stepper").first.wait_for()
        wait_until(lambda: agrees(tab, stepper, 2), "the step of the address", 10)


@pytest.mark.parametrize(("view", "page"), PLAYERS.items())
def test_a_link_to_a_step_opens_its_view_there(view: str, page: str, site: Path, chromium: Chromium) -> None:
    position = "each => Number(each.querySelector('input[type=range]').value)"
    with open_page(chromium, lesson(site, page)) as tab:
        tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        element = place(tab, view)
        element.locator(".vswaplab-view").focus()
        tab.page.keyboard.press("Home")
        tab.page.keyboard.press("ArrowRight")
        tab.page.keyboard.press("ArrowRight")
        wanted = element.evaluate(position)
        element.get_by_role("button", name="Copy a link").click()
        element.get_by_text("Copied.").wait_for()
        link = str(tab.page.evaluate("navigator.clipboard.readText()"))
        assert re.fullmatch(r".*\.html#(view-\d+-\d+|vs1-[0-9A-Z-]+)", link)
    with open_page(chromium, lesson(site, page), fragment=link.partition("#")[2]) as tab:
        found = place(tab, view)
        wait_until(lambda: found.evaluate(position) == wanted, "the step of the link", 5)
        assert found.evaluate("each => each.contains(document.activeElement)")


def test_a_link_to_no_view_says_so(site: Path, chromium: Chromium) -> None:
    with open_page(chromium, lesson(site, "01_a_page_goes_out"), fragment="view-99-3") as tab:
        assert "not on this page" in tab.page.locator(".vswaplab-address").inner_text()


def test_a_question_answers_and_keeps_its_answer(site: Path, chromium: Chromium) -> None:
    with open_page(chromium, lesson(site, "00_start_here")) as tab:
        question = place(tab, "question", 1)
        question.get_by_label("none in either").focus()
        tab.page.keyboard.press("Space")
        tab.page.keyboard.press("Enter")
        feedback = question.locator(".vswaplab-q-feedback")
        wait_until(lambda: "a slot is taken" in (feedback.text_content() or ""), "the message of a wrong answer", 5)
        question.get_by_label("one in legacy, none in virtual").check()
        tab.page.keyboard.press("Enter")
        wait_until(lambda: feedback.get_attribute("data-kind") == "correct", "the right answer", 5)
        tab.page.reload()
        again = place(tab, "question", 1)
        assert again.get_by_label("one in legacy, none in virtual").is_checked()
        assert again.locator(".vswaplab-q-feedback").get_attribute("data-kind") == "correct"


def test_the_front_pages_picture_follows_keys_and_scrolling(site: Path, chromium: Chromium) -> None:
    found = journey()
    with open_page(chromium, site / "index.html") as tab:
        picture = tab.page.locator(".vs-journey-picture")

        def stands(stage: int) -> bool:
            return all(
                tab.page.locator(f".vs-j-{design}").get_attribute(f"data-{name}") == found[design][stage][name]
                for design in ("legacy", "virtual")
                for name in ("contents", "slot", "pte")
            )

        assert stands(0)
        picture.focus()
        for stage in [1, 2, 3, 4, 3, 2, 1, 0]:
            ahead = stage > int(str(tab.page.locator(".vs-journey").get_attribute("data-stage")))
            tab.page.keyboard.press("ArrowRight" if ahead else "ArrowLeft")
            wait_until(lambda stage=stage: stands(stage), f"stage {stage} by key", 5)  # type: ignore[misc]
        tab.page.wait_for_timeout(1000)
        for stage in range(len(STAGES)):
            tab.page.evaluate("at => document.querySelectorAll('.vs-stage')[at].scrollIntoView()", stage)
            wait_until(lambda stage=stage: stands(stage), f"stage {stage} by scrolling", 5)  # type: ignore[misc]


def test_charts_follow_the_theme_and_can_be_taken_away(site: Path, chromium: Chromium) -> None:
    with open_page(chromium, lesson(site, "06_overhead"), width=390) as tab:
        chart = tab.page.locator(".vs-chart").first
        chart.scroll_into_view_if_needed()
        chart.locator(".main-svg").first.wait_for()
        before = chart.locator(".gtitle, .annotation-text, text").first.evaluate("each => getComputedStyle(each).fill")
        tab.page.evaluate("document.documentElement.dataset.theme = 'dark'")
        text = chart.locator("text").first
        wait_until(lambda: text.evaluate("each => getComputedStyle(each).fill") != before, "the dark colours", 5)
        for name in ("SVG", "PNG", "CSV"):
            with tab.page.expect_download() as download:
                chart.get_by_role("button", name=name).click()
            saved = Path(download.value.path())
            assert download.value.suggested_filename.endswith(name.lower())
            assert saved.stat().st_size > 500


def test_a_chart_with_frames_has_a_slider_for_keys(site: Path, chromium: Chromium) -> None:
    with open_page(chromium, lesson(site, "06_overhead")) as tab:
        chart = tab.page.locator(".vs-chart:has(.vs-frames)").first
        tab.page.wait_for_function("[...document.querySelectorAll('.vs-chart')].every((each) => each.dataset.drawn)")
        chart.scroll_into_view_if_needed()
        slider, box = chart.locator("input[type=range]"), chart.locator(".vs-chart-box")
        before = str(box.get_attribute("aria-label"))
        assert "at 100 %" in before
        slider.focus()
        tab.page.keyboard.press("ArrowLeft")
        wait_until(lambda: "at 75 %" in str(box.get_attribute("aria-label")), "the frame before", 5)
        wait_until(lambda: "75 % of" in str(box.text_content()), "its picture", 5)
        assert chart.locator("output").inner_text() == slider.get_attribute("aria-valuetext") == "75 %"
        tab.page.keyboard.press("End")
        wait_until(lambda: box.get_attribute("aria-label") == before, "the last frame", 5)


def test_terms_and_sources_say_what_they_are(site: Path, chromium: Chromium) -> None:
    with open_page(chromium, lesson(site, "03_backings_and_transitions")) as tab:
        term = tab.page.locator("a.vs-term").first
        term.focus()
        hint = tab.page.get_by_role("tooltip")
        hint.wait_for()
        assert hint.inner_text() == term.get_attribute("data-hint")
        tab.page.keyboard.press("Escape")
        assert hint.is_hidden()
        tab.page.locator("a.vs-source").first.click()
        tab.page.wait_for_url("**/docs/sources.html#s*")
        assert tab.page.locator("tr:target").count() == 1


def test_search_finds_a_lesson_without_a_server(site: Path, chromium: Chromium) -> None:
    with open_page(chromium, site / "search.html") as tab:
        tab.page.goto(f"{(site / 'search.html').as_uri()}?q=accept+threshold")
        tab.page.locator("#search-results li").first.wait_for()
        assert tab.page.locator('#search-results a[href*="04_zswap_decoupled"]').count() > 0


def test_the_skip_link_comes_first_and_leads_to_the_article(site: Path, chromium: Chromium) -> None:
    with open_page(chromium, lesson(site, "01_a_page_goes_out")) as tab:
        tab.page.keyboard.press("Tab")
        assert tab.page.evaluate("document.activeElement.closest('#pst-skip-link') !== null")
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_function("location.hash === '#main-content'")


def test_the_lab_page_names_the_notebook_one_came_from(site: Path, chromium: Chromium) -> None:
    with open_page(chromium, lesson(site, "05_swapoff")) as tab:
        tab.page.get_by_role("link", name="Open this in the lab").click()
        tab.page.wait_for_url("**/docs/site/lab.html#05_swapoff")
        assert "notebooks/05_swapoff.ipynb" in tab.page.locator("#vs-this-lesson").inner_text()


def test_the_checks_of_a_page_see_its_faults(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<!doctype html><title>x</title><p id="a"><div id="a"></p><img src="b"><label for="c"></label>', "utf-8"
    )
    parser = html5lib.HTMLParser()
    parser.parse(page.read_text(encoding="utf-8"))
    found = links_of(page)
    assert parser.errors
    assert (found.ids, found.named, found.unnamed) == (["a", "a"], ["c"], ["b"])
