"""Markdown and YAML stay what they are around any text."""

from __future__ import annotations

import html
import re

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from stepcell.runtime.format.markdown import code, fenced, front_matter, plain, table

READER = MarkdownIt("commonmark").enable("table")
ANY = st.text(st.characters())  # half surrogate pairs too
ODD = ["a|b", "`", "``` ```", "\n---\n", "***", "[x](y)", "<b>", "&amp;", "$x$", "", " ", "\\", "\ud800", "\u202e"]


def shown(line):
    """The text that a reader sees of a line of Markdown."""
    return html.unescape(re.sub(r"</?(p|code)>", "", READER.render(line)).rstrip("\n"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("press 7", "`press 7`"),
        ("door=open", "`door=open`"),
        ("a|b", "<code>&#39;a&#124;b&#39;</code>"),
        ("", "<code>&#39;&#39;</code>"),
        ("x" * 61, f"`{'x' * 60}...`"),
    ],
)
def test_plain_text_stays_as_it_is_and_other_text_is_quoted(text, expected):
    assert code(text) == expected


@given(ANY)
@example("a`b")
@example("*a* _b_")
def test_a_code_span_shows_its_text_or_how_python_writes_it(text):
    text = text[:60]
    assert shown(code(text)) in (text, repr(text))


@given(st.lists(ANY, min_size=2, max_size=2), ANY)
@example(["a|b", "c\n| d"], "x")
@example(["`", "`"], "---")
def test_a_table_keeps_its_rows_and_cells_and_a_heading_its_line(cells, title):
    page = f"# {plain(title)}\n\n{table(['', ''], [list(map(code, cells))] * 2)}\n\nend"
    tokens = [token.type for token in READER.parse(page)]
    assert [tokens.count(f"{name}_open") for name in ("heading", "table", "tr", "td", "paragraph")] == [1, 1, 3, 4, 1]
    assert page.encode()


@given(st.text("`\na~", max_size=30))
def test_a_block_of_code_ends_where_its_content_ends(content):
    (token,) = READER.parse(fenced("sh", content))
    assert (token.type, token.info, token.content) == ("fence", "sh", content + "\n")


@given(ANY, st.floats(allow_nan=False, allow_infinity=False))
@example("---", 1e-7)
@example("yes", 1e22)
@example("\x85\ufeff\ufffe\U0001f600", 0.0)
@example("1e5: [", 12345678.0)
def test_metadata_are_read_back_as_they_were(text, number):
    content = {"a": text, "b": [text, "x"], "c": [{"d": {"e": number}, "f": [{"g": text}]}]}
    page = front_matter(content)
    assert page.count("\n---") == 1
    found = yaml.safe_load(page.removeprefix("---\n").removesuffix("\n---"))
    escaped = found["a"]
    assert (escaped == text) or not text.isprintable()
    value = found["c"][0]["d"]["e"]
    assert isinstance(value, (int, float))
    assert value == pytest.approx(number, rel=1e-5)
    assert found == {"a": escaped, "b": [escaped, "x"], "c": [{"d": {"e": value}, "f": [{"g": escaped}]}]}


@pytest.mark.parametrize("text", ODD)
def test_odd_text_is_one_line_everywhere(text):
    for made in (code(text), plain(text), front_matter({"a": text}).split("\n", 1)[1].rsplit("\n", 1)[0]):
        assert len(made.splitlines()) == 1
        assert made.encode()
