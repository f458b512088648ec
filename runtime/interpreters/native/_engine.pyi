import numpy as np
from numpy.typing import NDArray

KINDS: list[tuple[int, str, int]]
OPERATION_BYTES: int
REPEATED_BYTES: int

class Engine:
    steps: int
    pending: int
    def __new__(
        cls,
        operations: int,
        count: int,
        prepared: int,
        moves: int,
        move_count: int,
        symbol: int,
        symbols: int,
        kind: int,
        later: bool,
        keep: object,
    ) -> Engine: ...
    def step(self, id: int) -> int: ...
    def peek(self, id: int) -> int: ...
    def expect(self, id: int) -> int: ...
    def settle(self) -> None: ...
    def run(self, ids: int, count: int, answers: int, answer: int, bytes: int) -> int: ...
    def run_rows(self, ids: int, count: int, before: int, before_count: int, after: int, after_count: int) -> int: ...

class Steps:
    def step_id(self, id: int) -> NDArray[np.float32]: ...
    def _copied(self, id: int) -> NDArray[np.float32] | None: ...
    def _bind_engine(self, engine: Engine | None, answer: NDArray[np.float32] | None) -> None: ...
