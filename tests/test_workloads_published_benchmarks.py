"""Published measurements: as the fact sheet has them, refused when damaged, drawn and told with their noise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vswaplab import InvalidArgument
from vswaplab.figures.benchmarks_chart import alt_text, benchmarks_chart, benchmarks_table
from vswaplab.workloads import published_benchmarks as module
from vswaplab.workloads.published_benchmarks import Comparison, published_benchmarks

ROOT = Path(__file__).resolve().parent.parent
SAID = {
    ("v6", "usemem 1 x 56G", "free time"): 0.6,
    ("v6", "usemem 52 x 300M random", "sys"): -1.4,
    ("v5", "usemem 52 x 300M random", "sys"): 29.1,
    ("v5", "usemem 52 x 300M random", "throughput"): -17.4,
    ("v5", "memhog 48G", "real"): 3.1,
    ("STE RFC v2", "usemem 1 x 56G", "free time"): -15.0,
    ("RFC v1", "usemem 16 x 2G", "free time"): 53.5,
    ("RFC v1", "kernel build in zswap", "sys"): 6.1,
}
"""Percents that the postings give themselves, to a tenth; where a source has two of one name, the first."""


def test_percents_are_those_of_the_postings() -> None:
    rows = [row for row in published_benchmarks() if row.tag in ("S1", "S6", "S8")]
    for (posted, test, measure), percent in SAID.items():
        found = [row for row in rows if (row.posted, row.test, row.measure) == (posted, test, measure)]
        assert len(found) == 1
        assert round(found[0].percent, 1) == percent


def test_reviewers_figures_are_those_of_the_fact_sheet() -> None:
    free = next(row for row in published_benchmarks() if (row.tag, row.measure) == ("S24", "free time"))
    assert round(free.mean / free.base_mean, 2) == 2.43
    redis = next(row for row in published_benchmarks() if row.test == "Redis")
    assert round(redis.percent) == -19
    assert redis.worse > 0
    assert redis.noise is None


def test_each_source_is_listed() -> None:
    listed = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    assert all(re.search(rf"\| {row.tag} \|", listed) for row in published_benchmarks())


def test_the_regression_of_v5_is_beyond_the_noise_and_v6_is_within() -> None:
    """Of the 52 threads: far beyond two standard errors in v5, none of the four measures in v6."""
    rows = [row for row in published_benchmarks() if row.tag == "S6" and row.test == "usemem 52 x 300M random"]
    noise = {(row.variant, row.measure): row.noise for row in rows}
    assert noise["v5", "sys"] is not None
    assert noise["v5", "sys"] > 7
    assert all(value is not None and value < 2 for (variant, _), value in noise.items() if variant == "v6")


def test_worse_is_worse_whichever_way_the_measure_runs() -> None:
    def row(better: str, mean: float) -> Comparison:
        return Comparison("S0", "x", "t", 4, "m", "s", better, "b", 100.0, 3.0, "x", mean, 4.0)

    assert row("lower", 110).worse == pytest.approx(10)
    assert row("higher", 110).worse == pytest.approx(-10)
    assert row("lower", 110).standard_error == pytest.approx(2.5)
    assert row("lower", 110).noise == pytest.approx(4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "must begin with the columns"),
        ("{head}\nS1,v,t,x,m,s,lower,b,1,,v,2,\n", "line 2 is no comparison"),
        ("{head}\nS1,v,t,,m,s,lower,b,0,,v,2,\n", "line 2 needs positive numbers"),
        ("{head}\nS1,v,t,,m,s,better,b,1,,v,2,\n", "lower or higher"),
        ("{head}\nS1,v,t,,m,s,lower,b,nan,,v,2,\n", "positive numbers"),
        ("{head}\nS1,v\n", "line 2 is no comparison"),
    ],
)
def test_a_damaged_file_is_refused(text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = "tag,posted,test,rounds,measure,unit,better,base,base_mean,base_sd,variant,mean,sd"
    (tmp_path / "published").mkdir()
    (tmp_path / "published/benchmarks.csv").write_text(text.replace("{head}", head), encoding="utf-8")
    monkeypatch.setattr(module, "data_dir", lambda: tmp_path)
    published_benchmarks.cache_clear()
    try:
        with pytest.raises(InvalidArgument, match=message):
            published_benchmarks()
    finally:
        published_benchmarks.cache_clear()


def test_the_chart_has_a_mark_for_each_and_says_so() -> None:
    rows = [row for row in published_benchmarks() if row.tag == "S6"]
    figure = benchmarks_chart(rows)
    assert sum(len(trace.x) for trace in figure.data) == len(rows)
    alt = figure.layout.meta["alt"]
    assert alt == alt_text(rows)
    assert alt.startswith("24 published comparisons")
    assert "v5, usemem 52 x 300M random: sys: +29.1 %" in alt
    shown = {trace.name: list(trace.x) for trace in figure.data}
    assert max(shown["v5 [S6]"]) == pytest.approx(max(row.worse for row in rows if row.variant == "v5"))
    assert len(str(benchmarks_table(rows)).splitlines()) == len(rows) + 2
    assert (
        alt_text(rows[:0])
        == "0 published comparisons; 0 are worse than their base. None is beyond two standard errors."
    )
