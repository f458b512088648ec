"""A large log is read, sorted and split within little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
from pathlib import Path
from large_log import Generated, peak
from stepcell.train import Events
empty = peak()
problem = Events.from_file(Path(sys.argv[1]), Generated("event", "machine", "time", end="<end>"))
problem.data.table()
problem.batches(0, 50, 0)
print(len(problem.corpus.train.ids) + len(problem.corpus.held_out.ids), peak() - empty)
"""


@pytest.mark.slow
def test_five_million_events_need_less_memory_than_their_arrays():
    benchmarks = Path(__file__).parents[3] / "benchmarks"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(benchmarks)!r})\n{CODE}", "5000000"]
    events, memory = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert events == 5_000_000
    assert memory < 300e6  # 60 bytes an event: runs, sorted rows, two parts, their inputs, targets and weights
