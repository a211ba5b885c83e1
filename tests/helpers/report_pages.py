"""For tests of reports: a result as a report takes it, and a reader of its page and pictures."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image

from untrained.report import page as page_module


def both(result):
    """A result as what a report takes: the fit, and what it is about."""
    return result, result.about


def without_reference(result):
    about = replace(result.about, reference=None, metrics=None, classical_metrics=None)
    return replace(result, about=about)


SCRIPT = Path(page_module.__file__).with_name("page.js").read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Tags and attributes of a page; fails on tags that are not closed in order."""

    empty = ("meta", "img", "source", "br", "hr", "link", "input")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.empty:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.seen if name == tag]


def opened(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
