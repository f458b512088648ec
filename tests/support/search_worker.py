"""A worker of a search in a process of its own, with short heartbeats: URL, folder, trials, and what happens to it.

"hang 2": at the first update of the second trial that it takes, it prints a line and does nothing more.
"wait 2": at the same moment it prints a line and goes on when it reads one.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from stepcell.runtime.common.errors import StepcellError
from stepcell.train import Memory, Network, Options
from stepcell.train.search.shared import Team, search_together


def main(url: str, folder: str, trials: str, event: str = "none", which: str = "0") -> None:
    taken = []

    @contextmanager
    def watch(number, candidate, resumed):
        taken.append((number, resumed))
        quiet = len(taken) != int(which)

        def observe(row):
            nonlocal quiet
            if not quiet:
                quiet = True
                print(f"in trial {number}", flush=True)
                if event == "hang":
                    time.sleep(600)
                sys.stdin.readline()

        yield observe

    try:
        found = search_together(
            Memory.conflicting(), Network("rnn", 12), Options(seed=3, max_updates=100), Path(folder), int(trials),
            Team(url, heartbeat_seconds=1, missing_heartbeats=3), fixed={"cell", "layers"}, watch=watch,
            say=lambda text: print(text, flush=True), checkpoint_seconds=0.0,
        )  # fmt: skip
    except StepcellError as error:
        print(f"error: {error}")
        raise SystemExit(1) from None
    print(json.dumps({**found.to_json(), "taken": taken}))


if __name__ == "__main__":
    main(*sys.argv[1:])
