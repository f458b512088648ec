"""Reproduction: claims stand beside measurements, nothing measured is lost, and verdicts follow from figures."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest

from stepcell.runtime.common.errors import ProblemError, ResumeError
from stepcell.train import Memory, Network
from stepcell.train.reproduce import SYSTEMS, Reproduction, as_json, find_systems, table, write_report
from stepcell.train.reproduce.questions import READERS_ASKED
from stepcell.train.reproduce.recipe import Outcome
from stepcell.train.reproduce.reproduction import OURS, PUBLISHED, train_system, ways
from stepcell.train.reproduce.system import Claim, Experiment, System
from stepcell.train.reproduce.table import questions_table, verdict


@dataclass(frozen=True)
class Dice:
    """A recipe that is done at once."""

    epochs: int = 1
    interrupted_at: int = 99

    def run(self, seed, progress=lambda share: None):
        if seed == self.interrupted_at:
            raise KeyboardInterrupt
        progress(1.0)
        return Outcome(0.5 + seed / 10, 0.1, 2.0, {"chance": 0.25, "says": "B"})


def system(recipe, **changes):
    claim = Claim("dice", "a throw", 0.6, "https://example.org/a|b", recipe)
    memory = Memory((tuple("ABCD"),))
    return replace(System("dice", "tutorials", "a throw", memory, Network(units=8), "why", claim), **changes)


def at_once(*_):
    """Stepcell's own training, done at once."""
    return Outcome(1.0, 1.0, 0.5, {"solved": 1.0, "updates": 10, "sequences": 50})


def test_systems_have_names_of_their_own_and_are_found_by_name_and_group():
    names = [one.name for one in SYSTEMS]
    assert len(set(names)) == len(names)
    assert [one.name for one in find_systems(["patterns", "memory"])] == ["memory", "patterns"]
    assert {one.group for one in find_systems(["paper"])} == {"paper"}
    assert find_systems() == list(SYSTEMS)


def test_unknown_systems_are_all_named():
    with pytest.raises(ProblemError, match=r"'nothing', 'neither'.*tutorials.*memory"):
        find_systems(["nothing", "memory", "neither"])


def test_an_interruption_loses_only_what_was_on_its_way(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Reproduction(tmp_path, at_once).run([system(Dice(interrupted_at=1))], seeds=2)
    again = Reproduction(tmp_path, at_once)
    assert [(result.way, result.seed) for result in again.results] == [(PUBLISHED, 0), (OURS, 0)]


def test_what_has_been_measured_is_not_measured_again_unless_the_recipe_has_changed(tmp_path):
    begun = []
    for recipe in (Dice(), Dice(), Dice(epochs=2)):
        Reproduction(tmp_path, at_once).run([system(recipe)], 1, lambda what, share: share or begun.append(what))
    assert begun == ["dice, as published, seed 0", "dice, stepcell, seed 0", "dice, as published, seed 0"]


def test_damaged_results_are_refused(tmp_path):
    (tmp_path / "results.json").write_text('[{"system": "memory"}]')
    with pytest.raises(ResumeError, match="results.json is damaged"):
        Reproduction(tmp_path, at_once)


@pytest.mark.parametrize(
    "change",
    ['"accuracy": 7', '"accuracy": NaN', '"streamed": -1', '"cpu_seconds": Infinity', '"details": ' + "[" * 10**5],
)
def test_results_that_no_measurement_gives_are_refused(change, tmp_path):
    outcome = '"accuracy": 0.5, "streamed": null, "cpu_seconds": 1.0'
    result = '[{"system": "a", "way": "stepcell", "recipe": "b", "seed": 0, "outcome": {%s}}]'
    (tmp_path / "results.json").write_text(result % outcome)
    assert len(Reproduction(tmp_path, at_once).results) == 1
    (tmp_path / "results.json").write_text(result % f"{outcome}, {change}")
    with pytest.raises(ResumeError, match="results.json is damaged"):
        Reproduction(tmp_path, at_once)


def test_the_report_shows_the_claim_every_variant_and_the_source(tmp_path):
    chosen = [system(Dice(), variants={"twice": Dice(epochs=2)})]
    reproduction = Reproduction(tmp_path, at_once)
    reproduction.run(chosen, 2)
    header, rows = table(reproduction, chosen, "tutorials")
    assert dict(zip(header, rows[0], strict=True))["claimed"] == "60 %"
    assert "55.0 % (50.0 to 60.0)" in rows[0]
    assert rows[1][1] == "- twice"
    page, picture = write_report(tmp_path, reproduction, chosen)
    assert "as published: chance 25.0 %, says B" in page.read_text()
    assert "Source: https://example.org" in page.read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")
    described = as_json(reproduction, chosen)[0]
    assert len(described["outcomes"]["twice"]) == 2
    json.dumps(described)


def test_columns_that_nobody_fills_are_left_out(tmp_path):
    chosen = [system(Dice(), claim=None, group="questions")]
    assert "claimed" not in table(Reproduction(tmp_path, at_once), chosen, "questions")[0]


def outcome(accuracy, streamed=None, **details):
    return Outcome(accuracy, streamed, 1.0, details)


@pytest.mark.parametrize(
    ("published", "ours", "said"),
    [
        ([outcome(0.59), outcome(0.61)], [outcome(1.0, solved=1.0)], "claim holds (2 of 2), solved"),
        ([outcome(0.3), outcome(0.55)], [outcome(1.0, solved=1.0)], "claim depends on the seed (1 of 2), solved"),
        ([outcome(0.3)], [outcome(0.9, solved=0.0)], "claim does not hold (0 of 1), stepcell solves 0 of 1"),
        ([outcome(0.6, 0.1)], [], "claim holds (1 of 1), not when streamed"),
        ([], [], "not measured yet"),
    ],
)
def test_the_verdict_follows_from_the_figures(published, ours, said):
    assert verdict(system(Dice()), published, ours) == said


def test_the_claim_that_something_fails_holds_where_it_fails():
    failing = system(Dice(), claim=Claim("dice", "a throw", 0.0, "", Dice()))
    assert verdict(failing, [outcome(0.01)], []) == "claim holds (1 of 1)"
    assert verdict(failing, [outcome(0.5)], []) == "claim does not hold (0 of 1)"


def test_fewer_sequences_than_the_paper_are_only_claimed_when_every_seed_solves():
    experiment = system(Dice(), claim=None, group="paper", experiment=Experiment("paper", "always", 100))
    ours = outcome(1.0, solved=1.0, sequences=50)
    assert verdict(experiment, [], [ours]) == "2.0 times fewer sequences, solved"
    assert "fewer" not in verdict(experiment, [], [ours, outcome(0.5, solved=0.0, sequences=50)])
    assert verdict(experiment, [], [outcome(1.0, solved=1.0, sequences=300)]) == "3.0 times more sequences, solved"


@pytest.mark.slow
def test_stepcell_is_judged_by_the_criterion_of_the_paper_on_fresh_sequences():
    experiment = Experiment("paper", "always", 100, largest_error=0.25, tested=600)
    found = train_system(system(Dice(), claim=None, experiment=experiment), 0, lambda share: None)
    assert found.details["solved"] == found.accuracy == 1.0
    assert found.details["of 600 sequences, error below 0.25"] == 1.0
    assert found.details["sequences"] == found.details["updates"] * 16


def test_every_system_is_trained_as_published_only_if_it_was_published():
    assert all((PUBLISHED in ways(one)) == (one.claim is not None) for one in SYSTEMS)


@pytest.mark.parametrize("question", READERS_ASKED, ids=lambda question: question.text)
def test_every_question_names_what_is_measured(question):
    (system,) = find_systems([question.system])
    assert {way for way, _ in question.measured} <= set(ways(system))


def test_a_question_shows_what_was_measured_for_it(tmp_path):
    reproduction = Reproduction(tmp_path, lambda system, seed, progress: Outcome(0.75, 0.5, 1.0, {"solved": 0.0}))
    chosen = find_systems(["cyclic"])
    assert questions_table(reproduction, chosen)[1][0][2] == "not measured yet"
    reproduction.run(chosen, 2)
    _, rows = questions_table(reproduction, chosen)
    assert [row[2:] for row in rows] == [["stepcell, accuracy: 75.0 %, seeds: 2", "`stepcell reproduce cyclic`"]]
