"""An evaluation as one HTML file: everything is in it, so that it can be read offline."""

from __future__ import annotations

from base64 import b64encode
from html import escape

from .evaluation import Evaluation
from .picture import draw
from .tables import Table, figures_table, mistakes_table, positions_table, reliability_table, remarks

_STYLE = """
body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .2rem .8rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; }
"""


def html_report(evaluation: Evaluation) -> bytes:
    """Return the report, UTF-8; without matplotlib it has no pictures and says so."""
    pictures = draw(evaluation)
    shown = [f'<img alt="{name}" src="data:image/png;base64,{b64encode(png).decode()}">' for name, png in pictures]
    missing = [] if pictures else ["<p>No pictures without matplotlib: pip install 'stepcell[plot]'</p>"]
    notes = "".join(f"<li>{escape(note)}</li>" for note in remarks(evaluation))
    body = [
        f"<h1>{escape(evaluation.model)}</h1>",
        f"<p><strong>{escape(evaluation.verdict())}</strong></p>",
        _html_table(figures_table(evaluation)),
        f"<ul>{notes}</ul>",
        *shown,
        *missing,
        "<h2>By position in the sequence</h2>",
        _html_table(positions_table(evaluation)),
        "<h2>Calibration</h2>",
        _html_table(reliability_table(evaluation)),
        "<h2>Most frequent mistakes</h2>",
        _html_table(mistakes_table(evaluation)),
    ]
    head = f'<meta charset="utf-8"><title>{escape(evaluation.model)}</title><style>{_STYLE}</style>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{chr(10).join(body)}\n</body></html>\n'.encode()
    )


def _html_table(table: Table) -> str:
    header, rows = table
    lines = ["".join(f"<th>{escape(name)}</th>" for name in header)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>\n" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "\n</table>"
