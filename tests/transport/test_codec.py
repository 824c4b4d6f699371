"""What goes in comes out: equal, of the same type, with errors only where something can't travel."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okazja._core.messages import Call, Function, Timing
from okazja._transport import codec, pickling
from okazja.errors import NotPicklable, NotRebuilt, RemoteTraceback


class Whole(int):
    """Equal to an int and none: marshal would make it one."""


plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    st.text(st.characters(exclude_categories=[]), max_size=8),
    st.binary(max_size=8),
)
keys = st.one_of(st.integers(), st.text(max_size=4), st.booleans())
values = st.recursive(
    plain | st.builds(Whole, st.integers()) | st.builds(bytearray, st.binary(max_size=4)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner, max_size=4)
        | st.frozensets(plain, max_size=3)
    ),
    max_leaves=12,
)


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(left) is not type(right) or left != right:
        return False
    if isinstance(left, float) and not left:
        return math.copysign(1, left) == math.copysign(1, right)
    if isinstance(left, (list, tuple)):
        return all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    return True


def travel(call: Call) -> tuple[Any, ...]:
    """The entry as a worker reads it."""
    import marshal

    [entry] = marshal.loads(codec.packet([codec.entry(call)]))
    return tuple(entry)


@given(st.lists(values, max_size=4), st.dictionaries(st.text(max_size=4), values, max_size=3))
def test_arguments_arrive(args: list[Any], kwargs: dict[str, Any]) -> None:
    kind, payload = codec.encode_args(tuple(args), kwargs)
    call = Call(7, Function(None, "f", Timing(), b"key"), kind, payload, None)  # type: ignore[arg-type]
    number, _, kind, payload, lo, hi, _, base = travel(call)
    arrived = pickling.loads(payload) if kind else (payload, {})
    assert (number, lo, hi, base) == (7, 0, 1, -1)
    assert same(arrived, (tuple(args), kwargs))


@given(st.lists(values, min_size=1, max_size=8))
def test_items_of_a_chunk_arrive_each_by_itself(items: list[Any]) -> None:
    kind, payload, errors = codec.encode_items(items, star=False)
    assert isinstance(payload, bytes)
    arrived = codec.decode_items(kind, payload)
    if kind & codec.PICKLED:
        arrived = [pickling.loads(item) for item in arrived]
    assert not errors
    assert same(arrived, items)


@given(st.lists(values, max_size=8))
def test_results_of_a_chunk_come_back(results: list[Any]) -> None:
    form, body, unsent = codec.encode_values(results, set(map(type, results)))
    errors: dict[int, BaseException] = {}
    assert same(codec.decode_values(form, body, errors), results)
    assert not unsent
    assert not errors


@given(values)
def test_one_result_comes_back(result: Any) -> None:
    assert same(codec.decode_value(*codec.encode_value(result)), result)


@given(st.lists(values, min_size=1, max_size=6), st.sets(st.integers(0, 5), min_size=1))
def test_only_the_items_that_cant_travel_fail(items: list[Any], bad: set[int]) -> None:
    items = [(_ for _ in ()) if position in bad else item for position, item in enumerate(items)]
    kind, payload, errors = codec.encode_items(items, star=False)
    assert set(errors) == {position for position in bad if position < len(items)}
    if len(errors) == len(items):
        return
    assert isinstance(payload, bytes)
    arrived = codec.decode_items(kind, payload)
    for position, item in enumerate(items):
        if position not in errors:
            travelled = arrived[position]
            assert same(pickling.loads(travelled) if kind & codec.PICKLED else travelled, item)


@given(
    st.lists(values, max_size=3), st.lists(st.sampled_from(["a", "b c", 0, 3, "é"]), min_size=1, max_size=4)
)
def test_the_path_to_the_part_that_cant_be_pickled_is_named(beside: list[Any], steps: list[Any]) -> None:
    value: Any = (_ for _ in ())
    path = "the call"
    for step in reversed(steps):
        value = {step: value} if isinstance(step, str) else [*[None] * step, value, *beside]
    for step in steps:
        path += f"[{step!r}]"
    with pytest.raises(NotPicklable, match="generator") as caught:
        pickling.dumps(value, "the call")
    assert str(caught.value).startswith(f"{path} (inside the call), of type builtins.generator")


class Odd(Exception):
    """Can't be rebuilt from its args."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def test_an_exception_that_cant_be_rebuilt_says_what_it_was() -> None:
    error = codec.decode_error(codec.encode_error(Odd(1, 2)))
    assert isinstance(error, NotRebuilt)
    assert "Odd: 1 and 2" in str(error)
    assert isinstance(error.__cause__, RemoteTraceback)


def test_an_exception_that_cant_be_pickled_says_which_part() -> None:
    error = codec.decode_error(codec.encode_error(ValueError("no", (_ for _ in ()))))
    assert isinstance(error, NotPicklable)
    assert "generator" in str(error)
    assert "ValueError" in str(error.__cause__)
