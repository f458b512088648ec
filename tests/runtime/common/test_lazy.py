"""Properties that are computed once."""

from threading import Event, Thread

from stepcell.runtime.common.lazy import computed_once


class Number:
    def __init__(self, gate=None):
        self.computed, self.gate = 0, gate

    @computed_once
    def double(self):
        self.computed += 1
        if self.gate is not None:
            self.gate.wait(60)
        return 2


def test_a_property_is_computed_at_its_first_use_and_kept():
    number = Number()
    assert (number.computed, number.double, number.double, number.computed) == (0, 2, 2, 1)


def test_no_object_waits_for_the_property_of_another_in_another_thread():
    gate, found = Event(), []
    slow = Thread(target=lambda: found.append(Number(gate).double))
    other = Thread(target=lambda: found.append(Number().double))
    slow.start()
    other.start()
    other.join(30)
    assert found == [2]
    gate.set()
    slow.join()
    assert found == [2, 2]
