"""The verdict of an evaluation: against the best baseline of each measure, and what speaks against the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stepcell.runtime import Manifest, Vocabulary
from stepcell.runtime.evaluation import Baseline, Evaluation, SymbolScores, read_evaluation_data
from stepcell.runtime.evaluation.report import remarks


def scores(bits, right, symbols=200, confidence=0.5):
    """Scores of symbols that are all as likely, of which a share was predicted."""
    ranks = np.where(np.arange(symbols) < round(right * symbols), 1, 2).astype(np.int32)
    ids, ones = np.zeros(symbols, np.int32), np.ones(symbols)
    return SymbolScores(ids, ids, confidence * ones, -bits * np.log(2) * ones, ranks, ones.astype(np.int64))


def evaluation(modes, of_baselines):
    return Evaluation("m", modes, tuple(of_baselines), ("a", "b"), (3,), 50, 2, 0, ())


def test_each_measure_is_compared_with_the_best_baseline_in_that_measure():
    counted = [Baseline("2-gram", scores(1.2, 0.4)), Baseline("5-gram", scores(1.5, 0.48))]
    found = evaluation({"carried": scores(1.1, 0.5)}, counted)
    assert found.verdict() == (
        "the network is worth it: +0.1000 bits per symbol against the 2-gram and +2.00 points of accuracy against the "
        "5-gram"
    )
    assert found.to_json()["best_baselines"] == {"accuracy": "5-gram", "top_3": "2-gram", "bits_per_symbol": "2-gram"}
    again = [*counted, Baseline("the last symbol again", scores(9.0, 0.7), has_probabilities=False)]
    assert evaluation({"carried": scores(1.1, 0.5)}, again).verdict().endswith(
        "and -20.00 points of accuracy against the last symbol again"
    )  # fmt: skip


def test_events_are_shown_without_gaps_too():
    main, counted = scores(1.0, 0.5, 10), scores(2.0, 0.2, 10)
    targets = np.array([0, 1] * 5, np.int32)
    main, counted = (replace(one, targets=targets) for one in (main, counted))
    found = Evaluation(
        "m", {"carried": main}, (Baseline("2-gram", counted),), ("a", "gap"), (), 50, 1, 0, (), gaps=(1,)
    )
    alone = found.events_alone()
    assert {name: (len(one), one.accuracy) for name, one in alone.items()} == {
        "the network": (5, 0.6),
        "2-gram": (5, 0.2),
    }
    assert "events alone, without gaps: the network 60.00 %, 1.0000 bits; 2-gram 20.00 %, 2.0000 bits" in remarks(found)
    assert replace(found, gaps=()).to_json()["events_alone"] == {}


def test_gaps_are_known_by_the_reader_of_the_model(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("time,event\n" + "".join(f"{n},{'ab'[n % 2]}\n" for n in range(9)))
    options = {"symbol": "event", "order": "time", "gaps": "2"}
    manifest = Manifest("m", Vocabulary(("gap<2", "a", "b", "gap>=2")), (), ())
    assert read_evaluation_data(manifest, path, end="", options=options).gaps == (0, 3)


@pytest.mark.parametrize(
    ("modes", "said"),
    [
        ({"carried": (1.4, 0.5), "memoryless": (1.1, 0.5)},
         "with the state carried, never reset, it needs 0.3000 bits more than without memory: "
         "its memory is of no use on these data"),
        ({"reset": (1.0, 0.5), "carried": (1.4, 0.5), "memoryless": (1.1, 0.5)},
         "with the state carried, never reset, it needs 0.3000 bits more than without memory: "
         "reset it before each sequence"),
        ({"carried": (1.1, 0.5), "memoryless": (1.1, 0.5)}, None),
        ({"carried": (1.1, 0.9)}, "its probabilities are off by 40.0 points, it is too unsure: do not take them, or "
         "thresholds on them, as they are"),
        ({"carried": (1.1, 0.2)}, "its probabilities are off by 30.0 points, it is too sure: do not take them, or "
         "thresholds on them, as they are"),
        ({"carried": (1.1, 0.6, 20)}, None),  # by chance
    ],
)  # fmt: skip
def test_the_verdict_names_memory_that_does_harm_and_confidence_that_is_wrong(modes, said):
    found = evaluation({name: scores(*one) for name, one in modes.items()}, [Baseline("2-gram", scores(2.0, 0.1))])
    assert found.faults() == ([] if said is None else [said])
    assert said is None or found.verdict().endswith(said)
