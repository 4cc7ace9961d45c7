import re
from html.parser import HTMLParser
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.recsys.report import ReportData, exposure_of, render
from components.recsys.report.figures import counts_of, number, share
from components.recsys.report.markdown import to_html
from components.recsys.report.style import style

HOSTILE = "<script>alert('1')</script>\"&$x_1$\\"
VOID = {"meta", "br", "path", "use", "rect", "line", "circle"}
METRICS = ("ndcg", "recall", "hit_rate", "coverage", "novelty", "diversity", "popularity_lift", "gini")


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.02, "high": value + 0.02}


def evaluation(name: str, value: float, group: str = "warm") -> dict[str, Any]:
    metrics = {metric: estimate(value) for metric in METRICS}
    slices = [
        {"attribute": attribute, "group": each, "users": users, "judged": users >= 30, "metrics": metrics}
        for attribute, each, users in (("activity", "cold", 12), ("activity", group, 300), ("age_group", "18-29", 99))
    ]
    counts = {"catalogue": 50}
    return {
        "name": name,
        "k": 10,
        "split": "user_time",
        "users": 312,
        "metrics": metrics,
        "slices": slices,
        "notes": ["a note"],
        "counts": counts,
    }


def quality(ok: bool = True, text: str = "a perfectly good sentence") -> dict[str, Any]:
    checks = [
        {
            "name": "missing",
            "severity": "stop",
            "ok": ok,
            "column": "item_id",
            "rows": 12,
            "share": 0.12,
            "threshold": 0.05,
            "examples": [text],
            "sentence": "12 rows lack an item.",
        },
        {
            "name": "volume",
            "severity": "warn",
            "ok": False,
            "column": "",
            "rows": 3,
            "share": 0.6,
            "threshold": 0.5,
            "examples": [],
            "sentence": "Fewer rows than before.",
        },
    ]
    summary = {
        "rows": 12345,
        "users": 312,
        "items": 50,
        "first": "2025-03-01T10:00:00",
        "last": "2025-04-02T10:00:00",
        "density": 0.0063,
        "events": {"view": 9000, text: 100},
        "per_day": {"2025-03-01": 5, "2025-03-02": 9, "2025-03-03": 1},
        "history_lengths": {"1": 10, "2-3": 30, "4-7": 8},
        "popularity": [50, 20, 10, 1],
        "top_items": [{"item": text, "events": 50}],
        "quarantine": {"missing value (item_id)": 12, "none of these": 0},
        "cleaning": {"exact_duplicates": 40, "trimmed": 0},
    }
    return {
        "ok": ok,
        "sentence": "Stopped by the check 'missing'." if not ok else "All well.",
        "checks": checks,
        "summary": summary,
    }


def whole(text: str = "plain") -> ReportData:
    comparison = {
        "challenger": "ease",
        "against": text,
        "metric": "ndcg",
        "value": 0.24,
        "other": 0.2,
        "difference": 0.04,
        "low": 0.02,
        "high": 0.06,
        "p": 0.0004,
        "users": 312,
        "passed": True,
    }
    judged = {
        "attribute": "age",
        "group": text,
        "users": 99,
        "challenger": 0.2,
        "champion": 0.196,
        "difference": 0.004,
        "low": -0.01,
        "high": 0.02,
        "p": 0.4,
        "state": "safe",
    }
    verdict = {
        "promote": True,
        "outcome": "promoted",
        "chosen": "ease",
        "reasons": [f"beats {text}"],
        "metric": "ndcg",
        "k": 10,
        "comparisons": [comparison],
        "slices": [judged],
        "champion": "",
    }
    manifest = {
        "digest": "9f2c" * 16,
        "model": "ease",
        "created": "2026-01-02T03:04:05+00:00",
        "config": {"l2": 500.0, text: text},
        "settings": {"train": {"seed": 42}},
        "data": {"events": {"rows": 12345, "sha256": "ee" * 32}, "users": None},
        "data_version": {"events": 3, "users": None},
        "code_version": "0.1.0",
    }
    record = {
        "step": "prepare",
        "created": "2026-01-02T03:04:05+00:00",
        "inputs": {"events": "ab" * 32},
        "files": {text: "1"},
        "digest": "cd" * 32,
    }
    return ReportData(
        quality=quality(text=text),
        evaluations={"ease": evaluation("ease", 0.24, text), "popularity": evaluation("popularity", 0.1, text)},
        verdict=verdict,
        manifest=manifest,
        card=f"# Model card: {text}\n\n- about {text}\n\n| metric | value |\n| - | -: |\n| {text} | 1 |\n",
        samples=[
            {"user": text, "history": [text], "items": [{"title": text, "score": 0.5, "reason": text}]},
            {"user": "somebody new"},
        ],
        lineage={"split": record},
        timings={"ingest": 1.23, "train ease": {"seconds": 0.5, "cached": True}, "unknown": {}},
        exposure={"the events": [5.0, 1.0, 0.0], text: [3.0, 3.0, 3.0]},
    )


class Page(HTMLParser):
    """Balance of tags, ids, and what would be fetched or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: dict[str, int] = {}
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.scope: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name == "href":
                self.links.append(str(value))
            if name.startswith("on") or (name in ("src", "href", "action", "data") and not str(value).startswith("#")):
                self.fetched.append(f"{tag} {name}={value}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page() -> str:
    return render(whole())


def test_the_page_is_whole_and_fetches_nothing(page: str) -> None:
    parsed = Page(page)
    assert parsed.open == []
    assert parsed.fetched == []
    assert not {"script", "link", "img", "iframe", "object"} & set(parsed.tags)
    assert not re.search(r"@import|url\((?!#)|https?://", page)
    assert "default-src 'none'" in page


def test_ids_are_unique_and_links_lead_somewhere(page: str) -> None:
    parsed = Page(page)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {link.removeprefix("#") for link in parsed.links} <= set(parsed.ids)


def test_every_section_is_there(page: str) -> None:
    sections = ["candidates", "gate", "groups", "exposure", "samples", "data", "quality", "card", "lineage", "timings"]
    assert [each for each in sections if f'<section id="{each}">' not in page] == []
    for text in (
        "ease was promoted",
        "9f2c" * 16,
        "everloop serve",
        "12,345 events of 312 users on 50 items",
        "2025-03-01 to 2025-04-02",
        "0.240",
        "[0.220, 0.260]",
        "+0.040",
        "exact duplicates",
        "missing value (item_id)",
        "ee" * 32,
        "cd" * 6,
        "somebody new",
        "By age group",
    ):
        assert text in page, text
    assert "none of these" not in page


def test_it_can_be_heard_and_printed(page: str) -> None:
    parsed = Page(page)
    assert '<html lang="en">' in page
    assert (
        parsed.tags["svg"] == page.count('role="img" aria-label=') == len(re.findall(r"<svg[^>]*><title>", page)) >= 7
    )
    assert parsed.tags["table"] == parsed.tags["caption"]
    assert parsed.tags["h1"] == 1
    assert "@media print" in page
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_plots_keep_text_as_text_and_take_their_colours_from_the_page(page: str) -> None:
    plots = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert "<text" in plots
    assert ">popularity</text>" in plots
    assert set(re.findall(r"#[0-9a-f]{6}\b", plots)) == set()
    assert set(re.findall(r"var\((--[\w-]+)\)", plots)) <= set(re.findall(r"(--[\w-]+):", style()))


def test_equal_reports_give_equal_bytes(page: str) -> None:
    assert render(whole()) == page


def test_what_comes_with_the_data_is_escaped_everywhere() -> None:
    text = render(whole(HOSTILE))
    parsed = Page(text)
    assert parsed.open == []
    assert "script" not in parsed.tags
    assert parsed.fetched == []
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 15


@pytest.mark.parametrize("text", ["京都の旅 رحلة ✈️🏝", "$a$$ \\frac{", "a\nb", "x" * 500, "", '" onload="x'])
def test_titles_in_any_script_and_shape_are_shown(text: str) -> None:
    parsed = Page(render(whole(text)))
    assert parsed.open == []
    assert parsed.fetched == []


def test_a_run_that_the_data_gate_stopped_says_so_first() -> None:
    text = render(ReportData(quality=quality(ok=False)))
    assert "The data gate stopped this run" in text
    assert "Stopped by the check &#39;missing&#39;." in text
    assert text.index('class="state stopped"') < text.index('class="state warned"')
    assert text.index('<section id="quality">') < text.index('<section id="data">')
    assert text.count('<section id="quality">') == 1
    assert "everloop serve" not in text
    assert 'id="candidates"' not in text


def test_a_rejected_candidate_leaves_the_champion() -> None:
    data = whole()
    verdict = {**(data.verdict or {}), "outcome": "rejected", "promote": False}
    assert "ease was not promoted: nothing serves yet" in render(ReportData(verdict=verdict))
    assert "ease was not promoted: the champion stays" in render(ReportData(verdict={**verdict, "champion": "ab"}))
    assert "Nothing new to release" in render(ReportData(verdict={**verdict, "outcome": "unchanged"}))


def test_an_empty_report_is_still_a_page() -> None:
    text = render(ReportData())
    assert Page(text).open == []
    assert "This run has no verdict" in text


@pytest.mark.parametrize(
    "part", ["quality", "evaluations", "verdict", "manifest", "card", "samples", "lineage", "timings", "exposure"]
)
def test_any_part_may_be_missing_or_alone(part: str) -> None:
    full = vars(whole())
    empty = vars(ReportData())
    assert Page(render(ReportData(**{**full, part: empty[part]}))).open == []
    assert Page(render(ReportData(**{**empty, part: full[part]}))).open == []


def test_unknown_figures_are_shown_as_unknown() -> None:
    nothing = dict.fromkeys(("value", "low", "high"))
    bare = {**evaluation("ease", 0.1), "metrics": dict.fromkeys(METRICS, nothing)}
    for part in bare["slices"]:
        part["metrics"] = dict.fromkeys(METRICS, nothing)
    text = render(ReportData(evaluations={"ease": bare, "odd": {"metrics": {}}}))
    assert "unknown" in text
    assert Page(text).open == []


def test_many_candidates_keep_the_chosen_one_in_the_plots() -> None:
    many = {f"model_{index}": evaluation(f"model_{index}", 0.5 - index / 100) for index in range(9)}
    text = render(
        ReportData(evaluations=many, verdict={"chosen": "model_8", "outcome": "rejected", "metric": "ndcg", "k": 10})
    )
    groups = text[text.index('id="groups"') :]
    assert ">model_8</text>" in groups
    assert ">model_7</text>" not in groups
    assert "model_7" in text


def test_exposure_counts_places_and_what_no_list_shows() -> None:
    lists = pl.DataFrame(
        {"user_id": ["a", "b", "c"], "items": [["x", "y"], ["x"], []]}, schema_overrides={"items": pl.List(pl.String)}
    )
    assert exposure_of(lists, 4) == [2.0, 1.0, 0.0, 0.0]
    assert exposure_of(lists.clear(), 2) == [0.0, 0.0]


def test_counts_are_read_in_the_shapes_in_which_steps_write_them() -> None:
    assert counts_of({"a": 1, "b": None}) == [("a", 1.0)]
    assert counts_of([["a", 1], ("b", 2)]) == [("a", 1.0), ("b", 2.0)]
    assert counts_of([{"item_id": "7", "title": "A film", "events": 3}]) == [("A film", 3.0)]
    assert counts_of([5, 6]) == [("0", 5.0), ("1", 6.0)]
    assert counts_of(None) == counts_of("text") == counts_of([None, {}]) == []


def test_ranges_stand_in_their_order_whatever_the_order_of_the_keys() -> None:
    text = render(ReportData(quality={"summary": {"history_lengths": {"1": 5, "16-31": 9, "2-3": 4, "4-7": 6}}}))
    assert "1: 5, 2-3: 4, 4-7: 6, 16-31: 9" in text


def test_numbers_are_written_as_people_read_them() -> None:
    assert [number(each) for each in (None, 0, 12345, 12345.0, 1234.56, 0.123456, "x", True)] == [
        "",
        "0",
        "12,345",
        "12,345",
        "1,234.6",
        "0.1235",
        "x",
        "True",
    ]
    assert [share(each) for each in (None, 0, 0.0063, 1)] == ["", "0 %", "0.63 %", "100 %"]


def test_markdown_of_cards_becomes_html() -> None:
    html = str(
        to_html("# T\n\nsome **bold** `a*b`\nmore\n\n- one\n- two\n\n| a | b\\|c |\n| - | -: |\n| 1 | &lt;2 |\n")
    )
    assert html.startswith(
        "<h3>T</h3><p>some <strong>bold</strong> <code>a*b</code> more</p><ul><li>one</li><li>two</li></ul>"
    )
    assert '<th scope="col" class="number">b|c</th>' in html
    assert '<td class="number">&lt;2</td>' in html


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("<>&\"'`*#|-\\ \nab$;=/"), max_size=60))
def test_no_markdown_makes_a_tag_that_is_not_ours(text: str) -> None:
    parsed = Page(str(to_html(text)))
    assert parsed.open == []
    assert parsed.fetched == []
    ours = {
        "h3",
        "h4",
        "h5",
        "h6",
        "p",
        "ul",
        "li",
        "div",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "code",
        "strong",
    }
    assert set(parsed.tags) <= ours


def _luminance(color: str) -> float:
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out_enough(scheme: str) -> None:
    # WCAG 2.2: 4.5 for text, 3 for marks.
    light, dark = str(style()).split("@media (prefers-color-scheme: dark)")
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light if scheme == "light" else dark.split("* {")[0]))
    pairs = [(name, paper, 4.5) for name in ("ink", "soft", "link") for paper in ("paper", "raised")]
    pairs += [(name, paper, 4.5) for name in ("good", "warn", "bad") for paper in ("paper", f"{name}-paper")]
    pairs += [("ink", f"{name}-paper", 4.5) for name in ("good", "warn", "bad")]
    pairs += [(f"series-{index}", "paper", 4.5) for index in range(6)] + [("faint", "paper", 3.0)]
    for front, back, least in pairs:
        bright, dim = sorted((_luminance(colors[front]), _luminance(colors[back])), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= least, (front, back)
