"""Charts: whole SVG for every eye and ear, nothing a strict policy would refuse."""

import re
from datetime import date, timedelta
from xml.etree import ElementTree

import pytest

from services.market import charts
from services.market.charts import Line
from services.market.desk import MarketDesk


def line(values: list[float], name: str = "AAPL") -> Line:
    return Line(name, tuple(date(2020, 1, 1) + timedelta(days=i) for i in range(len(values))), tuple(values))


@pytest.fixture(scope="module")
def pictures() -> list[charts.Picture]:
    return charts.chart_html(MarketDesk().evidence("AAPL and KO", {"timeframe": "5y"}))


def test_a_pack_gives_prices_and_falls(pictures) -> None:
    assert ["indexed to 100" in p.caption for p in pictures] == [True, False]
    assert "2022-12-28" in pictures[0].caption
    assert charts.chart_html(MarketDesk().evidence("hello")) == []


def test_nothing_in_it_is_refused_by_a_strict_policy(pictures) -> None:
    for picture in pictures:
        root = ElementTree.fromstring(picture.html)
        for element in root.iter():
            assert element.tag not in ("script", "style", "image", "foreignObject", "a")
            assert not any(name == "style" or name.startswith("on") or "href" in name for name in element.attrib)


def test_it_has_a_title_a_description_and_a_table(pictures) -> None:
    for picture in pictures:
        root = ElementTree.fromstring(picture.html)
        svg = root.find("svg")
        ids = svg.get("aria-labelledby").split()
        assert [svg.find("title").get("id"), svg.find("desc").get("id")] == ids and svg.get("role") == "img"
        assert "AAPL" in svg.find("desc").text and "KO" in svg.find("desc").text
        assert len(root.findall(".//tbody/tr")) == 12 and root.find(".//caption").text
    assert len(set(re.findall(r' id="([^"]+)"', "".join(p.html for p in pictures)))) == 4


def test_every_point_and_word_lies_inside(pictures) -> None:
    for picture in pictures:
        svg = ElementTree.fromstring(picture.html).find("svg")
        for polyline in svg.iter("polyline"):
            for point in polyline.get("points").split():
                x, y = map(float, point.split(","))
                assert 0 <= x <= charts.WIDTH and 0 <= y <= charts.HEIGHT
        for text in svg.iter("text"):
            assert 0 <= float(text.get("x")) <= charts.WIDTH and 0 <= float(text.get("y")) <= charts.HEIGHT


@pytest.mark.parametrize("values", [[5.0, 5.0, 5.0], [1e-6, 2e-6, 3e-6], [1e9, 3e9, 2e9], [100.0, 101.0], [0.5, 0.9, 0.1]])
def test_any_range_has_a_scale(values) -> None:
    for picture in (charts.price_chart([line(values)], "USD"), charts.drawdown_chart([line(values)])):
        ElementTree.fromstring(picture.html)
        assert "nan" not in picture.html.lower()


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (95.0, 183.0), (-0.57, 0.0), (3783.2, 3783.2), (1e-7, 9e-7), (12.0, 120_000.0)])
def test_a_scale_is_round_and_spans(low, high) -> None:
    ticks = charts.scale(low, high)
    step = ticks[1] - ticks[0]
    assert ticks[0] <= low + 1e-12 and ticks[-1] >= high - step and 2 <= len(ticks) <= 12
    assert float(f"{step:.0e}") == pytest.approx(step)


def test_names_are_escaped() -> None:
    picture = charts.price_chart([line([1.0, 2.0], '<b onload="x">&')], "USD", 'a "source" <i>')
    assert "<b" not in picture.html and "<i>" not in picture.html


def test_a_sparkline_says_what_it_is() -> None:
    svg = ElementTree.fromstring(charts.sparkline([1, 2, 3], "AAPL, last 60 days"))
    assert svg.get("aria-label") == "AAPL, last 60 days" and "mk-up" in svg.get("class")
    assert charts.sparkline([1], "x") == ""
