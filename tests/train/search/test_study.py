"""Workers that share a study take each trial once, and do those of a dead one again."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.keras_models import MEMORY

from stepcell.runtime.common.errors import ResumeError
from stepcell.train import Network, Options
from stepcell.train.search.sampler import propose
from stepcell.train.search.space import Space
from stepcell.train.search.storage import Storage
from stepcell.train.search.study import SharedStudy
from stepcell.train.search.trial import Trial

SPACE = Space.around(MEMORY, Network("rnn", 12), Options(), {"cell"})
PLAN = {"problem": {"sha256": "d1"}, "options": {"seed": 3}, "packages": {"keras": "3"}}


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/search.db"


def open_study(url, worker="a", plan=PLAN, grace=60, name="search"):
    return SharedStudy(Storage(url, 1, grace), name, plan, SPACE, worker)


def trained(claim, nats=0.5):
    network = claim.candidate.network
    shape = (network.cell, network.units, network.layers, claim.candidate.learning_rate, SPACE.count(network))
    return Trial(claim.number, *shape, "updates", 10, 0.5, 0.75, nats)


@pytest.mark.slow
def test_one_worker_makes_the_trials_of_a_search_without_a_database(url):
    study, done = open_study(url), []
    while (claim := study.claim(7, seed=4)) is not None:
        assert claim.candidate == propose(SPACE, done, 4)
        done.append(trained(claim, 1 / claim.number))
        assert study.record(claim, done[-1])
    assert [one.trial for one in done] == [1, 2, 3, 4, 5, 6, 7]
    assert open_study(url, "b").trials == done
    assert study.running == 0


@pytest.mark.slow
def test_many_workers_at_once_take_no_trial_twice_and_make_no_more_than_wanted(url):
    open_study(url)

    def work(worker):
        study, numbers = open_study(url, worker), []
        while (claim := study.claim(8, seed=1)) is not None:
            numbers.append((claim.number, claim.candidate.network.units, claim.candidate.network.layers))
            study.record(claim, trained(claim))
        return numbers

    with ThreadPoolExecutor(4) as pool:
        taken = [one for numbers in pool.map(work, "abcd") for one in numbers]
    assert sorted(number for number, *_ in taken) == list(range(1, 9))
    assert len({tuple(shape) for _, *shape in taken}) == 8


def test_a_trial_that_is_given_back_is_done_next_with_its_number(url):
    a, b = open_study(url, "a"), open_study(url, "b")
    first = a.claim(3, 0)
    second = b.claim(3, 0)
    assert (first.number, second.number) == (1, 2)
    a.give_back(first)
    again = b.claim(3, 0)
    assert (again.number, again.candidate, again.before) == (1, first.candidate, "a")
    assert not a.record(first, trained(first))
    assert b.record(again, trained(again))


@pytest.mark.slow
def test_the_trial_of_a_killed_worker_is_done_again_once_its_heartbeat_has_ended(url):
    dead, other = open_study(url, "dead", grace=1), open_study(url, "other", grace=1)
    first = dead.claim(2, 0)
    mine = other.claim(2, 0)
    with other.heartbeat(mine):
        assert other.claim(2, 0) is None
        assert other.running == 2
        deadline = time.monotonic() + 20
        while (again := other.claim(2, 0)) is None and time.monotonic() < deadline:
            time.sleep(0.2)
        assert (again.number, again.candidate, again.before) == (1, first.candidate, "dead")
        assert other.claim(2, 0) is None  # its own is alive
    assert not dead.record(first, trained(first))


def test_a_worker_that_starts_again_in_its_folder_need_not_wait_for_its_own_trial(url):
    first = open_study(url, "a").claim(2, 0)
    again = open_study(url, "a").claim(2, 0)
    assert (again.number, again.candidate) == (first.number, first.candidate)


def test_a_trial_that_kills_its_workers_is_given_up(url):
    for _ in range(3):
        assert open_study(url, "a").claim(1, 0).number == 1
    study = open_study(url, "a")
    assert study.claim(1, 0) is None
    assert study.lost == [1]
    assert study.claim(2, 0).number == 2


@pytest.mark.slow
def test_a_trial_that_is_interrupted_often_is_not_given_up(url):
    study = open_study(url)
    for _ in range(5):
        claim = study.claim(1, 0)
        assert claim.number == 1
        study.give_back(claim)


@pytest.mark.parametrize(
    ("plan", "named"),
    [
        ({**PLAN, "problem": {"sha256": "d2"}}, "problem: sha256 'd1' in the study, now 'd2'"),
        ({**PLAN, "options": {"seed": 4}}, "options: seed 3 in the study, now 4"),
        ({**PLAN, "packages": {"keras": "4"}}, "packages: keras '3' in the study, now '4'"),
    ],
)
def test_a_worker_with_other_data_or_options_is_refused(url, plan, named):
    study = open_study(url)
    with pytest.raises(ResumeError, match="is another search") as refused:
        open_study(url, "b", plan)
    assert named in str(refused.value)
    assert open_study(url, "b", plan, name="another").id != study.id


def test_a_study_of_another_program_is_left_alone(url):
    import optuna

    other = optuna.create_study(storage=f"{url}", study_name="search")
    other.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(ResumeError, match="was not made by stepcell"):
        open_study(url)
