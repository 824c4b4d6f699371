"""What a block raises, whatever came together: nothing is lost, nothing is said twice."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError

from hypothesis import given
from hypothesis import strategies as st

from okazja.errors import GroupCancelled, Interrupted
from okazja.group.ending import Ending

CANCELLATIONS = (Interrupted, CancelledError, asyncio.CancelledError, GroupCancelled)

failures = st.lists(
    st.sampled_from([ValueError, OSError, SystemExit, KeyboardInterrupt]).map(lambda kind: kind()), max_size=4
)
bodies = st.one_of(
    st.none(),
    st.sampled_from([ZeroDivisionError, KeyboardInterrupt, SystemExit, *CANCELLATIONS]).map(
        lambda kind: kind()
    ),
)
overdue = st.one_of(st.none(), st.builds(TimeoutError))


@given(failures, bodies, st.booleans(), overdue, st.booleans())
def test_nothing_is_lost_and_nothing_is_said_twice(
    failed: list[BaseException],
    body: BaseException | None,
    late: bool,
    deadline: TimeoutError | None,
    around: bool,
) -> None:
    error = Ending("threads-1", 9, failed, body, late, deadline, around).error()
    cancellation = isinstance(body, CANCELLATIONS)
    if isinstance(body, KeyboardInterrupt | SystemExit):
        assert error is body
        return
    expected = [*failed, *([body] if body is not None and not cancellation else [])]
    if expected:
        assert isinstance(error, BaseExceptionGroup)
        assert list(error.exceptions) == [*expected, *([deadline] if deadline else [])]
    elif deadline is not None:
        assert error is deadline
    elif cancellation and not late:
        assert error is body
    elif around:
        assert isinstance(error, Interrupted)
    else:
        assert error is None


@given(failures.filter(bool))
def test_an_error_that_the_body_took_from_a_future_stands_once(failed: list[BaseException]) -> None:
    error = Ending("threads-1", 9, failed, failed[0]).error()
    if isinstance(failed[0], KeyboardInterrupt | SystemExit):
        assert error is failed[0]
    else:
        assert isinstance(error, BaseExceptionGroup)
        assert list(error.exceptions) == failed


def test_the_message_counts() -> None:
    one = Ending("threads-1", 1, [ValueError()]).error()
    assert str(one).startswith("1 of 1 task of a group on threads-1 failed")
    body = Ending("threads-1", 3, [], ValueError()).error()
    assert str(body).startswith("the block of a group on threads-1 failed")
