"""The spool: a queue whose records outlive their writer."""

from __future__ import annotations

import multiprocessing
import os
from contextlib import closing

from hypothesis import given
from hypothesis import strategies as st

from guard.dying import write_and_die
from kvassay.guard.spool import Spool


@given(st.lists(st.one_of(st.none(), st.binary(max_size=40)), max_size=60))
def test_it_is_a_queue_that_refuses_what_it_has_no_room_for(steps: list[bytes | None]) -> None:
    """None takes; records of 8 bytes more than they are long go round a ring of 100."""
    queue: list[bytes] = []
    with closing(Spool(100)) as spool:
        for step in steps:
            if step is None:
                assert spool.take() == (queue.pop(0) if queue else None)
            elif sum(len(record) + 8 for record in (*queue, step)) <= 100:
                assert spool.put(step) is not None
                queue.append(step)
            else:
                assert spool.put(step) is None


def test_what_stands_in_front_of_a_position_can_be_left_out() -> None:
    with closing(Spool(1000)) as spool:
        ends = [spool.put(record) for record in (b"a", b"b", b"c")]
        assert ends[1] is not None
        spool.skip_to(ends[1])
        spool.skip_to(0)
        assert (spool.take(), spool.take()) == (b"c", None)


def test_memory_is_given_back_when_it_is_empty() -> None:
    with closing(Spool(2**26)) as spool:
        for _ in range(3):
            spool.put(b"x" * 2**23)
            spool.take()
        spool.put(b"y")
        assert os.fstat(spool.file.fileno()).st_blocks * 512 < 2**20
        assert spool.take() == b"y"


def test_a_record_outlives_its_writer() -> None:
    """The writer dies while its reader is still starting."""
    mine, its = multiprocessing.Pipe(duplex=False)
    writer = multiprocessing.get_context("spawn").Process(target=write_and_die, args=(its,))
    writer.start()
    assert [mine.recv() for _ in range(2) if mine.poll(60)] == [b"first", b"last"]
    writer.join()
    assert writer.exitcode == 9
