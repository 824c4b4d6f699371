"""Every Python example of the README and of docs/ is run, page by page, in the order of the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from doctest import ELLIPSIS, IGNORE_EXCEPTION_DETAIL
from pathlib import Path

import pytest
from sybil import Document, Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

from okazja.executor import one_liner

ROOT = Path(__file__).parent.parent
PAGES = sorted(page for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")] if page.exists())

EXAMPLES = Sybil(
    parsers=[PythonCodeBlockParser(doctest_optionflags=ELLIPSIS | IGNORE_EXCEPTION_DETAIL), SkipParser()],
    path="..",
)

LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]*))?\)")  # to a file, a heading in it, or both
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@pytest.fixture(autouse=True)
def nothing_kept_warm() -> Iterator[None]:
    """End the executors that ``okazja.map`` keeps for its next call; they would outlive the page on purpose."""
    yield
    while one_liner._warm:
        one_liner._warm.popitem()[1].shutdown()


def read(page: Path) -> Document:
    """The page, parsed; its examples see the names that a script sees."""
    document = EXAMPLES.parse(page)
    # A reader runs the examples as a script, so what they define belongs to `__main__` and travels by value.
    document.namespace["__name__"] = "__main__"
    return document


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An example that fails is named by page and line in the traceback."""
    monkeypatch.syspath_prepend(ROOT / "docs" / "examples")
    monkeypatch.chdir(ROOT)
    for example in read(page):
        example.evaluate()


def anchors(page: Path) -> set[str]:
    """What a link may name after its #, as the site and GitHub make it of the headings."""
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    dead = []
    for file, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = page.parent / file if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(f"{file}#{anchor}" if anchor else file)
    assert not dead
