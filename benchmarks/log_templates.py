"""Grouping accuracy of mined templates on the labelled messages of loghub.

    git clone https://github.com/logpai/loghub && python benchmarks/log_templates.py loghub

A message is right if the messages that have its template are exactly those that have its label.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

from stepcell.runtime.data.templates import TemplateMatcher, TemplateMiner


def accuracy(path: Path) -> tuple[int, int, float]:
    """Return the number of templates, of labels, and the share of messages that are grouped right."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["Content"], row["EventId"]) for row in csv.DictReader(file)]
    miner = TemplateMiner()
    for message, _ in rows:
        miner.add(message)
    match = TemplateMatcher(miner.templates).match
    found, labelled = defaultdict(set), defaultdict(set)
    for index, (message, label) in enumerate(rows):
        found[match(message)].add(index)
        labelled[label].add(index)
    groups = set(map(frozenset, found.values()))
    right = sum(len(group) for group in labelled.values() if frozenset(group) in groups)
    return len(found), len(labelled), right / len(rows)


for table in sorted(Path(sys.argv[1]).glob("*/*_2k.log_structured.csv")):
    templates, labels, share = accuracy(table)
    print(f"{table.parent.name:12} {templates:4} templates, {labels:4} labels, accuracy {share:.3f}")
