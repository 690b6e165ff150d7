"""A notebook as a page: what is folded, what stands at its head, how long it takes; charts as the script finds them."""

from __future__ import annotations

import json
import re
from html import unescape

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from vswaplab.export.site.front import front_page, journey
from vswaplab.export.site.lessons import CHART_TYPE, chart_html, described, lesson, minutes_of, reading_minutes

HEAD = """# The [first](x) page

Where does *it* go? And back.

| part | minutes |
|---|---|
| 1. Out | 7 |
| 2. In | 5 |
"""


def written(text: str) -> nbformat.NotebookNode:
    return new_output("execute_result", data={"text/plain": text}, execution_count=1)


def notebook(*cells: nbformat.NotebookNode) -> nbformat.NotebookNode:
    return new_notebook(cells=[new_markdown_cell(HEAD), *cells])


def folded(cell: nbformat.NotebookNode) -> bool:
    return "hide-input" in lesson(notebook(cell), "01_page").cells[-1].metadata.get("tags", [])


def test_short_code_that_shows_something_is_read_the_rest_is_folded() -> None:
    sentence = new_output("display_data", data={"text/markdown": "**4** pages", "text/plain": "…"})
    assert not folded(new_code_cell("m.reclaim()", outputs=[written("4")]))
    assert folded(new_code_cell("\n".join(["x = 1"] * 40), outputs=[written("4")]))
    assert folded(new_code_cell("x = 1"))
    assert folded(new_code_cell("Markdown(f'**{n}** pages')", outputs=[sentence]))
    assert folded(new_code_cell("choose(…)", outputs=[written("4")], metadata={"jupyter": {"source_hidden": True}}))


def test_the_notebook_that_was_executed_stays_as_it_is() -> None:
    executed = notebook(new_code_cell("x = 1"))
    before = nbformat.writes(executed)
    lesson(executed, "01_page")
    assert nbformat.writes(executed) == before


def test_the_head_says_how_long_it_takes_and_leads_to_the_lab() -> None:
    page = lesson(notebook(new_markdown_cell("word " * 1000)), "01_page", "The computer is <this> one.")
    head = page.cells[0].source
    assert head.startswith("# The [first](x) page\n")
    assert "5 min to read, 12 with the questions" in head
    assert "docs/site/lab.html#01_page" in head
    assert "_downloads/01_page.ipynb" in head
    assert "The computer is &lt;this&gt; one." in head
    assert "| 1. Out | 7 |" in head


def test_minutes_are_those_of_the_table_and_of_the_words() -> None:
    assert minutes_of(notebook()) == 12
    assert reading_minutes(notebook()) == 1
    assert reading_minutes(notebook(new_markdown_cell("word " * 2000))) == 10


def test_the_front_page_names_each_lesson_with_its_question() -> None:
    (one,) = described({"01_page": notebook()})
    assert (one["title"], one["sentence"], one["minutes"]) == ("The [first](x) page", "Where does it go?", 12)
    text = front_page([one])
    assert "Where does it go?" in text
    assert "notebooks/01_page" in text


def test_a_chart_carries_its_data_and_its_words_and_can_not_end_its_script() -> None:
    layout = {"width": 900, "height": 300, "meta": {"alt": 'two "bars"'}}
    text = chart_html([{"name": "</script>"}], layout, [{"name": "0 %"}])
    assert text.count("</script>") == 1
    found = re.search(rf'<script type="{re.escape(CHART_TYPE)}">(.*?)</script>', text)
    assert found is not None
    assert json.loads(found[1]) == {"data": [{"name": "</script>"}], "layout": layout, "frames": [{"name": "0 %"}]}
    assert 'data-width="900" data-height="300"' in text
    label = re.search(r'aria-label="([^"]*)"', text)
    assert label is not None
    assert unescape(label[1]) == 'two "bars"'
    assert "frames" not in chart_html([], layout)


def test_the_front_pages_story_is_two_machines() -> None:
    """Out, written back, swapped off, read: legacy takes a slot at once; swapoff ends its entry, not the other's."""
    stages = journey()

    def told(design: str, what: str) -> list[str]:
        return [stage[what] for stage in stages[design]]

    assert (
        told("legacy", "contents") == told("virtual", "contents") == ["memory", "zswap", "swapfile", "memory", "memory"]
    )
    assert told("legacy", "slot") == ["free", "taken", "holds", "off", "off"]
    assert told("virtual", "slot") == ["free", "free", "holds", "off", "off"]
    assert told("legacy", "pte") == ["frame", "entry", "entry", "frame", "frame"]
    assert told("virtual", "pte") == ["frame", "entry", "entry", "entry", "frame"]
    assert len(set(told("virtual", "named")[1:4])) == 1
