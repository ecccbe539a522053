"""What an annotation allows is what a checked class or function takes, and what its error says."""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, Protocol

import pytest
import torch
from annotated_types import Ge, Gt, Interval, Le, Lt, Predicate
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fedgan.core.arguments import (
    Allowed,
    Channels,
    Count,
    Fraction,
    NonNegative,
    PathText,
    Positive,
    Probability,
    Seed,
    Share,
    Trial,
    allowed,
    also,
    checked,
    component,
    validated,
)


def taking(annotation: object) -> Callable[..., Any]:
    """A checked function with one argument, x, which it returns."""

    def function(*, x):  # type: ignore[no-untyped-def]
        return x

    function.__annotations__["x"] = annotation
    return checked(function)


TAKEN = [
    (Count, 1),
    (Count, 10**30),
    (NonNegative, 0),
    (Seed, 2**40),
    (Positive, 1e-9),
    (Share, 1),
    (Probability, 0),
    (Fraction, 0.5),
    (bool, False),
    (Channels, 3),
    (Literal["serial", "vectorized"], "serial"),
    (Annotated[int, Interval(ge=1, le=8)], 8),
    (Count | None, None),
    (int | Sequence[int], [0, 2]),
    (int | Sequence[int], ()),
    (PathText | None, "a/b"),
]


@pytest.mark.parametrize(("annotation", "value"), TAKEN)
def test_what_is_allowed_is_taken_as_it_is(annotation: object, value: object) -> None:
    assert taking(annotation)(x=value) == value


WHOLE = "a whole number of at least"
QUOTED = " (a number in two kinds of quotes: \"'...'\")"
REFUSED = [
    (Count, 0, f"{WHOLE} 1; got 0"),
    (Count, True, f"{WHOLE} 1; got True"),
    (Count, "3", f"{WHOLE} 1; got '3'"),
    (Count, 3.0, f"{WHOLE} 1; got 3.0"),
    (Count, None, f"{WHOLE} 1; got null"),
    (NonNegative, -1, f"{WHOLE} 0; got -1"),
    (Seed, 1.5, f"{WHOLE} 0; got 1.5"),
    (int, "3", "a whole number; got '3'"),
    (float, True, "a number; got True"),
    (float, float("inf"), "a number; got inf"),
    (Positive, 0, "a number in (0, inf); got 0"),
    (Positive, float("nan"), "a number in (0, inf); got nan"),
    (Share, "all", "a number in (0, 1]; got 'all'"),
    (Share, 0, "a number in (0, 1]; got 0"),
    (Probability, 1, "a number in [0, 1); got 1"),
    (Fraction, 0.0, "a number in (0, 1); got 0.0"),
    (bool, 1, "true or false; got 1"),
    (bool, "false", "true or false; got 'false'"),
    (str, 7, "text; got 7"),
    (Channels, 2, "1 (gray) or 3 (RGB); got 2"),
    (Channels, True, "1 (gray) or 3 (RGB); got True"),
    (Channels, 1.0, "1 (gray) or 3 (RGB); got 1.0"),
    (Literal["serial", "vectorized"], ["serial"], "one of serial, vectorized; got ['serial']"),
    (Annotated[int, Interval(ge=1, le=8)], 9, "a whole number from 1 to 8; got 9"),
    (Annotated[int, Gt(0)], 0, f"{WHOLE} 1; got 0"),
    (Annotated[int, Interval(gt=0, lt=9)], 9, "a whole number from 1 to 8; got 9"),
    (Annotated[int, Le(8)], 9, "a whole number of at most 8; got 9"),
    (Annotated[float, Interval(gt=0, le=180)], 181, "a number in (0, 180]; got 181"),
    (Annotated[float, Interval(gt=0, le=1e6)], 0, "a number in (0, 1e+06]; got 0"),
    (Count | None, 0, f"{WHOLE} 1, or null; got 0"),
    (int | Sequence[int], ["a"], "a whole number or a list, each a whole number; got ['a']"),
    (int | Sequence[int], True, "a whole number or a list, each a whole number; got True"),
    (list[str], "abc", "a list, each text; got 'abc'"),
    (PathText | None, True, "a path, or null; got True"),
    (PathText, 12.5, f"a path{QUOTED}; got 12.5"),
    (PathText | None, 1e5, f"a path, or null{QUOTED}; got 100000.0"),
    (PathText, 20260131, f"a path{QUOTED}; got 20260131"),
    (Annotated[PathText, Allowed("a file")], 202601, f"a file{QUOTED}; got 202601"),
    (Sequence[PathText], ["a", 1.0], f"a list, each a path{QUOTED}; got ['a', 1.0]"),
]


@pytest.mark.parametrize(("annotation", "value", "words"), REFUSED)
def test_what_is_not_allowed_is_refused_in_one_line(annotation: object, value: object, words: str) -> None:
    with pytest.raises(ValueError) as error:
        taking(annotation)(x=value)
    assert str(error.value) == f"x must be {words}"


BOUNDS = [(low, high) for low in ("ge", "gt") for high in ("le", "lt")]
INSIDE: dict[str, Callable[[Any, Any], bool]] = {
    "ge": lambda value, end: value >= end,
    "gt": lambda value, end: value > end,
    "le": lambda value, end: value <= end,
    "lt": lambda value, end: value < end,
}
NUMBERS = st.integers(-(10**6), 10**6)


@given(
    low=NUMBERS, width=st.integers(0, 100), step=st.sampled_from([-1, -0.5, 0, 0.5, 1]), ends=st.sampled_from(BOUNDS)
)
def test_at_and_around_its_bounds_a_number_is_taken_where_it_is_inside(
    low: int, width: int, step: float, ends: tuple[str, str]
) -> None:
    function = taking(Annotated[float, Interval(**{ends[0]: low, ends[1]: low + width})])  # type: ignore[arg-type]
    for value in (low + step, low + width + step):
        if INSIDE[ends[0]](value, low) and INSIDE[ends[1]](value, low + width):
            assert function(x=value) == value
        else:
            with pytest.raises(ValueError):
                function(x=value)


@given(low=NUMBERS, width=st.integers(0, 100), step=st.integers(-1, 1))
def test_at_and_around_its_bounds_a_whole_number_is_taken_where_it_is_inside(low: int, width: int, step: int) -> None:
    function = taking(Annotated[int, Interval(ge=low, le=low + width)])
    for value in (low + step, low + width + step):
        if low <= value <= low + width:
            assert function(x=value) == value
        else:
            with pytest.raises(ValueError, match=f"x must be a whole number from {low} to {low + width}; got {value}$"):
                function(x=value)


@checked
class Component:
    """Some of everything."""

    def __init__(self, *, size: Count, shape: Literal["round", "square"] = "round", seed: Seed = 0) -> None:
        self.size, self.shape, self.seed = size, shape, seed


class Derived(Component):
    """Adds nothing."""


@checked
class Wider(Component):
    """Adds an argument, and passes the others on."""

    def __init__(self, *, size: Count, depth: Count = 1) -> None:
        super().__init__(size=size)
        self.depth = depth


@checked
@dataclass(frozen=True)
class Settings:
    """A dataclass."""

    epochs: Count
    engine: Literal["serial", "vectorized"] = "serial"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Component(siez=4), "siez is not an argument; it has: size, shape, seed; did you mean size?"),  # type: ignore[call-arg]
        (lambda: Component(size=4, qqq=1), "qqq is not an argument; it has: size, shape, seed"),  # type: ignore[call-arg]
        (lambda: Component(), "size must be given"),  # type: ignore[call-arg]
        (lambda: Component(seed=-1, size=0), "size must be a whole number of at least 1; got 0"),
        (lambda: Derived(size=0), "size must be a whole number of at least 1; got 0"),
        (lambda: Wider(size=1, depth=0), "depth must be a whole number of at least 1; got 0"),
        (lambda: Wider(size=1, seed=0), "seed is not an argument; it has: size, depth"),  # type: ignore[call-arg]
        (lambda: Settings(0), "epochs must be a whole number of at least 1; got 0"),
        (lambda: Settings(1, "parallel"), "engine must be one of serial, vectorized; got 'parallel'"),  # type: ignore[arg-type]
    ],
)
def test_names_and_values_of_classes(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == words


def test_a_checked_class_is_what_it_was() -> None:
    made = Wider(size=2, depth=3)
    assert (made.size, made.shape, made.seed, made.depth) == (2, "round", 0, 3)
    assert Settings(2) == Settings(epochs=2)
    assert pickle.loads(pickle.dumps(Settings(2))) == Settings(2)
    assert vars(pickle.loads(pickle.dumps(made))) == vars(made)
    assert Component.__doc__ == "Some of everything."


@component
class Shape:
    """An argument with a default, and memory that is none."""

    seed: Seed = 0
    kind = "plain"

    def __post_init__(self) -> None:
        self.drawn: list[int] = [self.seed]


class Untouched(Shape):
    """Not decorated: its annotation is no argument."""

    note: str = "none"


@component
class Square(Untouched):
    """One that must be given, after the base's default, and the base's attribute made an argument."""

    side: Count
    kind: Literal["plain", "noisy"] = "noisy"


def test_a_component_has_its_fields_and_its_bases_as_arguments() -> None:
    made, other = Square(side=2, seed=3), Square(side=2, seed=3)
    assert (made.side, made.seed, made.kind, made.note, made.drawn) == (2, 3, "noisy", "none", [3])
    assert Untouched(seed=1).kind == Shape().kind == "plain"
    assert (made == other, made == made, len({made, other})) == (False, True, 2), "each is its own, as a plain object"
    assert vars(pickle.loads(pickle.dumps(made))) == vars(made)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Square(seed=1), "side must be given"),  # type: ignore[call-arg]
        (lambda: Square(side=0), "side must be a whole number of at least 1; got 0"),
        (lambda: Square(side=1, seed=-1), "seed must be a whole number of at least 0; got -1"),
        (lambda: Square(side=1, kind="loud"), "kind must be one of plain, noisy; got 'loud'"),  # type: ignore[arg-type]
        (lambda: Square(side=1, note="a"), "note is not an argument; it has: seed, side, kind"),  # type: ignore[call-arg]
        (lambda: Shape(kind="noisy"), "kind is not an argument; it has: seed"),  # type: ignore[call-arg]
        (lambda: Untouched(seed=-1), "seed must be a whole number of at least 0; got -1"),
    ],
)
def test_arguments_of_components(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == words


def test_an_init_that_would_not_be_run_is_refused() -> None:
    with pytest.raises(TypeError, match="^Component has an __init__ of its own: Narrow needs @checked instead$"):

        @component
        class Narrow(Component):
            depth: Count

    with pytest.raises(TypeError, match="Own has an __init__ of its own"):

        @component
        class Own:
            def __init__(self) -> None: ...


def test_a_component_takes_no_argument_by_place() -> None:
    with pytest.raises(TypeError):
        Square(2)  # type: ignore[misc]


class Loads(Protocol):
    """Cannot be checked with isinstance."""

    def load(self) -> int: ...


def test_what_is_no_plain_value_passes_as_it_is() -> None:
    @checked
    def call(a: Tensor, b: nn.Module, c: Loads, d: Callable[[], int] | None, *more: int, **others: int) -> Any:
        return a, b, c, d, more, others

    tensor, module = torch.ones(2), nn.ReLU()
    values = call(tensor, module, "no loader", 7, "f", g="h")  # type: ignore[arg-type]
    assert values[0] is tensor
    assert values[1] is module
    assert values[2:] == ("no loader", 7, ("f",), {"g": "h"})


def test_numbers_become_what_the_annotation_says() -> None:
    share, path = taking(Share)(x=1), taking(PathText)(x=2026)
    assert (type(share), share) == (float, 1.0)
    assert path == "2026", "YAML reads a folder that is named 2026 as a number"


def test_annotations_in_quotes_are_read() -> None:
    """As all are in a module that says ``from __future__ import annotations``."""
    function = taking("Count")
    assert function(x=1) == 1
    with pytest.raises(ValueError, match="^x must be a whole number of at least 1; got 0$"):
        function(x=0)


def test_defaults_are_not_checked() -> None:
    @checked
    def call(x: Count = 0) -> int:
        return x

    assert call() == 0


def test_a_partial_is_checked_before_it_is_called() -> None:
    @checked
    def build(network: Callable[..., object]) -> None: ...

    build(partial(Component, seed=1))  # size is given later
    build(Component)
    build(partial(dict, size=0))
    with pytest.raises(ValueError) as error:
        build(partial(Component, seed=-1))
    assert str(error.value) == "network.seed must be a whole number of at least 0; got -1"
    with pytest.raises(ValueError, match="^network.depht is not an argument; it has: size, shape, seed$"):
        build(partial(Component, depht=1))


def test_a_trial_refuses_in_its_own_words() -> None:
    def even(name: str, value: int) -> None:
        if value % 2:
            raise ValueError(f"{name} is odd")

    @checked
    def draw(*, samples: Annotated[Count, Trial(even)] | None = None, kept: Annotated[object, Trial(even)] = 2) -> None:
        """Numbers in a range, tried after the range, and what no range describes."""

    draw(samples=2, kept=4)
    draw(samples=None)
    for arguments, message in (
        ({"samples": 3}, "samples is odd"),
        ({"samples": 0}, "samples must be a whole number of at least 1, or null; got 0"),
        ({"kept": 5}, "kept is odd"),
    ):
        with pytest.raises(ValueError) as error:
            draw(**arguments)
        assert str(error.value) == message
    with pytest.raises(ValueError, match="^one is odd$"):
        validated("one", Annotated[int, Trial(even)], 1)


Even = Annotated[int, Predicate(lambda number: number % 2 == 0), Allowed("even")]
Small = Annotated[int, Lt(10), Allowed("below ten")]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, None),
        (4, None),
        (0, "a whole number of at least 1, or null; got 0"),
        (13, "even; got 13"),
        (12, "below ten; got 12"),
    ],
)
def test_further_annotations_refuse_in_turn_each_in_its_own_words(value: int | None, words: str | None) -> None:
    call = taking(Annotated[Count, also(Even), also(Small)] | None)
    if words is None:
        assert call(x=value) == value
        return
    with pytest.raises(ValueError) as error:
        call(x=value)
    assert str(error.value) == f"x must be {words}"


@pytest.mark.parametrize("annotation", [Tensor, Loads, Callable[[], int], Tensor | None, list[Tensor], object])
def test_there_are_no_words_for_what_is_not_checked(annotation: object) -> None:
    assert allowed(annotation) is None
    assert allowed(Annotated[float, Ge(0), Lt(5)]) == "a number in [0, 5)"
    assert allowed(Annotated[Literal["cpu", "cuda"], Trial(print)]) == "one of cpu, cuda"
    assert allowed(Annotated[Tensor, Trial(print)]) is None
    assert allowed(Annotated[int, Trial(print)]) == "a whole number", "a trial is no bound"
    assert allowed(Annotated[float, Gt(0), Predicate(bool)]) == "a number in (0, inf)"
