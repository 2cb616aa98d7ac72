"""What the documentation shows of the benchmarks: one run, whole, and as it was measured."""

from __future__ import annotations

import dataclasses
import importlib
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, Iterator

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks").is_dir(), reason="not run from a source tree"
)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def source_tree(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(ROOT))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
        del sys.modules[name]


def module(name: str) -> Any:
    return importlib.import_module(f"benchmarks.{name}")


def figure(name: str, **fields: Any) -> Any:
    known = {"ours": 1.0, "bare": None, "ratio": None, "target": None, "unit": "ms"}
    return module("measure").Figure(name, **{**known, **fields})


def run_of(*figures: Any) -> Any:
    report = module("report")
    machine = {"processor": "P", "cores": "2", "system": "S", "python": "CPython 3.11"}
    return report.Run(list(figures), module("measure").Scale(), machine, {"requests": "2.0"})


def some_run() -> Any:
    return run_of(
        figure("small <b>", ours=5.0, bare=10.0, ratio=0.5, target=0.6, beside="b & c"),
        figure("slow", ours=13.0, bare=10.0, ratio=1.25, target=1.0),
        figure("many", ours=300.0, bare=100.0, ratio=3.0, target=2.5, unit="req/s", at_least=True),
        figure("few", ours=20.0, bare=10.0, ratio=2.0, target=2.5, unit="req/s", at_least=True),
        figure("big", ours=96.0, bare=100.0, ratio=0.96, target=0.95, unit="MiB/s", at_least=True),
        figure("bounded", ours=4.0, target=16.0, unit="MiB"),
        figure("less than nothing", ours=-115.0, target=25.0, unit="µs"),
        figure("loose", ours=4.0),
        module("measure").skipped("absent", "no such thing here", 4.5, at_least=True),
    )


def test_the_pages_show_one_run_and_nothing_else() -> None:
    publish = module("publish")
    for path, expected in publish.pages(publish.published()).items():
        again = "python -m benchmarks --write"
        assert path.read_text(encoding="utf-8") == expected, f"{path.name}: {again}"


def test_a_published_run_was_a_whole_one() -> None:
    run = module("publish").published()
    assert run.scale == module("measure").Scale()
    assert run.groups == list(module("__main__").BENCHMARKS)


def test_every_row_is_on_the_page_and_those_with_a_target_in_the_readme() -> None:
    publish = module("publish")
    figures = publish.published().figures
    assert len({figure.name for figure in figures}) == len(figures)
    texts = {path.name: text for path, text in publish.pages(publish.published()).items()}
    assert set(texts) == {"performance.json", "performance.svg", "performance.md", "README.rst"}
    chart = ElementTree.fromstring(texts.pop("performance.svg"))
    shown = {text.text for text in chart.iter(f"{SVG}text")}
    readme = texts.pop("README.rst")
    for row in figures:
        assert row.name in shown
        for text in texts.values():
            assert text.count(row.name) >= 1
        assert (f"\n{row.name} " in readme) == (row.target is not None)


def test_the_table_of_the_readme_is_short() -> None:
    tables = module("tables")
    rows = [tables.short_row(figure) for figure in some_run().figures]
    assert rows[0] == ("small <b>", "0.50 \N{MULTIPLICATION SIGN} b & c", "≤ 0.60", "met")
    assert rows[5] == ("bounded", "4.00 MiB", "≤ 16 MiB", "met")
    assert "loose" not in tables.restructured(some_run())
    assert max(map(len, tables.restructured(module("publish").published()).splitlines())) <= 105


def test_every_benchmark_is_explained() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    for name in module("__main__").BENCHMARKS:
        assert f"\n| `{name}` | " in page


def test_directions_and_verdicts() -> None:
    tables = module("tables")
    rows = [tables.row(figure)[3:6] for figure in some_run().figures]
    assert rows == [
        ("0.50", "≤ 0.60", "met"),
        ("1.25", "≤ 1.00", "MISSED"),
        ("3.00", "≥ 2.50", "met"),
        ("2.00", "≥ 2.50", "MISSED"),
        ("0.96", "≥ 0.95", "met"),
        ("", "≤ 16 MiB", "met"),
        ("", "≤ 25 µs", "met"),
        ("", "", ""),
        ("", "≥ 4.50", "SKIPPED"),
    ]


def test_a_target_that_is_missed_by_a_hair() -> None:
    missed = figure("slow", ours=6.041, bare=10.0, ratio=0.6041, target=0.6)
    assert module("tables").row(missed)[3:6] == ("0.6041", "≤ 0.60", "MISSED")


def test_what_was_skipped_says_why() -> None:
    for form in ("text", "markdown", "restructured"):
        (line,) = (
            line
            for line in getattr(module("tables"), form)(some_run()).splitlines()
            if "absent" in line
        )
        assert "(no such thing here)" in line
        assert "SKIPPED" in line


def test_the_chart_says_in_words_what_it_shows() -> None:
    root = ElementTree.fromstring(module("chart").svg(some_run()))
    assert root.get("role") == "img"
    described = {element.get("id"): element.text for element in root if element.tag != f"{SVG}text"}
    assert set(root.get("aria-labelledby", "").split()) <= set(described)
    description = described["description"] or ""
    assert "small <b>: 0.50 \N{MULTIPLICATION SIGN}, target ≤ 0.60, met." in description
    assert "few: 2.00 \N{MULTIPLICATION SIGN}, target ≥ 2.50, MISSED." in description
    assert "bounded: 4.00 MiB, target ≤ 16 MiB, met." in description
    assert "absent: not measured, no such thing here." in description


def test_bars_are_as_long_as_the_figures() -> None:
    root = ElementTree.fromstring(module("chart").svg(some_run()))
    bars = {}
    for row in root.iter(f"{SVG}g"):
        rectangle, name = row.find(f"{SVG}rect"), row.find(f"{SVG}text")
        assert name is not None
        if rectangle is not None:
            bars[name.text] = (rectangle.get("class"), float(rectangle.get("width", "0")))
    assert set(bars) == {"small <b>", "slow", "many", "few", "big", "bounded"}
    assert bars["slow"][1] / bars["small <b>"][1] == pytest.approx(2.5, rel=0.01)
    assert bars["many"][1] / bars["few"][1] == pytest.approx(1.5, rel=0.01)
    assert [kind for kind, _ in bars.values()] == ["met", "missed", "met", "missed", "met", "met"]


def test_the_same_run_is_the_same_drawing() -> None:
    report, chart = module("report"), module("chart")
    run = some_run()
    assert chart.svg(report.from_json(report.to_json(run))) == chart.svg(run)


def test_publishing_replaces_what_was_there(tmp_path: Path) -> None:
    publish = module("publish")
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.rst").write_text(
        "before\n\n.. benchmarks: begin\n\nold\n\n.. benchmarks: end\n\nafter\n", encoding="utf-8"
    )
    page = tmp_path / "docs" / "performance.md"
    page.write_text("<!-- benchmarks: begin -->\n<!-- benchmarks: end -->\n", encoding="utf-8")
    publish.publish(some_run(), tmp_path)
    publish.publish(run_of(dataclasses.replace(some_run().figures[0], name="another")), tmp_path)
    readme = (tmp_path / "README.rst").read_text(encoding="utf-8")
    assert readme.startswith("before\n\n.. benchmarks: begin\n\nMeasured on P, 2 cores, S, ")
    assert readme.endswith("\n\n.. benchmarks: end\n\nafter\n")
    assert "old" not in readme
    for text in (readme, page.read_text(encoding="utf-8")):
        assert text.count("another") == 1
        assert "slow" not in text
    assert publish.published(tmp_path).figures[0].name == "another"


def test_a_page_without_a_place_for_the_table(tmp_path: Path) -> None:
    publish = module("publish")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "performance.md").write_text("nothing\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has no place for the table"):
        publish.publish(some_run(), tmp_path)
    assert not (tmp_path / "docs" / "performance.svg").exists()


def test_a_missed_target_and_a_skipped_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = module("__main__")
    monkeypatch.setattr("os.environ", {})
    slow, absent = some_run().figures[1], some_run().figures[-1]

    def measures_slow(scale: Any) -> Iterator[Any]:
        """Miss its target."""
        yield slow

    def measures_absent(scale: Any) -> Iterator[Any]:
        """Measure nothing."""
        yield absent

    monkeypatch.setitem(main.BENCHMARKS, "slow", measures_slow)
    monkeypatch.setitem(main.BENCHMARKS, "absent", measures_absent)
    assert main.main(["slow", "--check"]) == 1
    assert main.main(["slow"]) == 0
    capsys.readouterr()
    assert main.main(["absent", "--check"]) == 0
    shown = capsys.readouterr()
    assert "SKIPPED" in shown.out
    assert "absent: absent SKIPPED, no such thing here" in shown.err


def test_a_run_that_was_kept_is_shown_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "run.json"
    kept.write_text(module("report").to_json(some_run()), encoding="utf-8")
    main = module("__main__")
    assert main.main(["--from", str(kept), "--check"]) == 1
    shown = capsys.readouterr().out
    assert shown == f"{module('tables').machine(some_run())}\n{module('tables').text(some_run())}\n"
