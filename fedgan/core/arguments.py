"""Arguments that are checked where they are declared: the annotation says what is allowed, and the error says it too.

A class carries ``@component`` and has ``samples: Count`` among its fields, or carries ``@checked`` and has it among the
arguments of its ``__init__``. What does not fit is refused in one line, under the argument's own name. Other ranges are
written with annotated-types, such as ``Annotated[int, Ge(2)]`` or ``Annotated[float, Interval(gt=0, le=180)]``, choices
as ``Literal["serial", "vectorized"]``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial, wraps
from inspect import BoundArguments, Parameter, signature
from math import inf
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    LiteralString,
    NamedTuple,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
)

from annotated_types import Ge, GroupedMetadata, Gt, Interval, Le, Lt, MinLen, Predicate
from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from fedgan.core.checks import as_typed, unknown

T = TypeVar("T")

# As YAML reads them: "3" and true are no numbers, 3.0 is no whole number; an int is a float, inf and nan are not.
_STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
_PLAINEST = 9999  # the largest number that nobody types with underscores, as 2026_01 may be
_UNCLEAR: LiteralString = "unclear_text"
_QUOTED = " (a number in two kinds of quotes: \"'...'\")"


@dataclass(frozen=True)
class Allowed:
    """What an error says is allowed, in place of the words that are made from the annotation."""

    words: str


@dataclass(frozen=True)
class Trial:
    """A check with its own error, for what no range describes.

    Attributes:
        refuse: called with the argument's name and value, which is not None; raises a ValueError that names it.
    """

    refuse: Callable[[str, Any], None]


def also(annotation: object) -> Trial:
    """A further annotation, with words of its own, for what the one before it allows.

    Example:
        >>> Even = Annotated[int, Predicate(lambda number: number % 2 == 0), Allowed("even")]
        >>> validated("size", Annotated[Count, also(Even)], 0)
        Traceback (most recent call last):
        ...
        ValueError: size must be a whole number of at least 1; got 0
        >>> validated("size", Annotated[Count, also(Even)], 3)
        Traceback (most recent call last):
        ...
        ValueError: size must be even; got 3
    """
    return Trial(lambda name, value: validated(name, annotation, value))


def _as_text(value: object) -> object:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and not (isinstance(value, int) and abs(value) <= _PLAINEST):
        raise PydanticCustomError(_UNCLEAR, "a number that may have been typed in another way")
    return str(value) if is_number else value


def is_filled(text: str) -> bool:
    """Whether there is more than blanks."""
    return bool(text.strip())


def _differ(values: Sequence[object]) -> bool:
    return len(set(values)) == len(values)


Count = Annotated[int, Ge(1)]
NonNegative = Annotated[int, Ge(0)]
Seed = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
Share = Annotated[float, Interval(gt=0, le=1)]
Probability = Annotated[float, Interval(ge=0, lt=1)]
Fraction = Annotated[float, Interval(gt=0, lt=1)]
_PLAIN: dict[object, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}

# Hydra reads a folder that is named 2026 as a number, and 2026_01_31 and 12.50 as numbers that are written otherwise.
PathText = Annotated[str, BeforeValidator(_as_text), Predicate(is_filled), Allowed("a path")]
Numbers = Annotated[
    Sequence[NonNegative],
    MinLen(1),
    Predicate(_differ),
    Allowed("a list of at least one whole number of at least 0, each once"),
]
Channels = Annotated[int, Predicate((1, 3).__contains__), Allowed("1 (gray) or 3 (RGB)")]


def checked(target: T) -> T:
    """Decorate a class (also a dataclass, from outside) or a function: its arguments are checked at every call.

    Those whose annotation is made of numbers, truth values, texts, choices, lists of these and None are checked, by
    pydantic and without conversion, but that an int becomes a float where a float is declared. A ``Trial`` in the
    annotation is made, and a ``functools.partial`` of something checked is checked for what it was given. Others,
    such as tensors and modules, pass as they are, and so do defaults.

    Raises:
        ValueError: in one line: the first argument that is unknown, missing, or not what its annotation allows.

    Example:
        >>> @checked
        ... def draw(*, samples: Count, share: Share = 1.0) -> float:
        ...     return samples * share
        >>> draw(samples=4, share=2)
        Traceback (most recent call last):
        ...
        ValueError: share must be a number in (0, 1]; got 2
        >>> draw(sample=4)
        Traceback (most recent call last):
        ...
        ValueError: sample is not an argument; it has: samples, share; did you mean samples?
    """
    if not isinstance(target, type):
        return _checking(target)  # type: ignore[arg-type, return-value]
    kind: Any = target
    kind.__init__ = _checking(kind.__init__)
    return target


@dataclass_transform(kw_only_default=True, eq_default=False)
def component(cls: type[T]) -> type[T]:
    """Make a class's annotated fields, and those of its bases, its arguments: by keyword, and checked as ``checked``.

    Raises:
        TypeError: if the class, or one that it is derived from, has an ``__init__`` of its own: it would never be run.

    Example:
        >>> @component
        ... class Pasted:
        ...     size: Count
        ...     share: Share = 1.0
        >>> Pasted(size=4).share
        1.0
        >>> Pasted(size=0)
        Traceback (most recent call last):
        ...
        ValueError: size must be a whole number of at least 1; got 0
    """
    for each in cls.__mro__[:-1]:
        if "__init__" in vars(each) and "__dataclass_fields__" not in vars(each):
            raise TypeError(f"{each.__name__} has an __init__ of its own: {cls.__name__} needs @checked instead")
    return checked(dataclass(kw_only=True, eq=False, repr=False)(cls))


def validated(name: str, annotation: object, value: object) -> Any:
    """A single value, checked like an argument.

    Raises:
        ValueError: in one line, under ``name``.

    Example:
        >>> validated("lr", Share, 2)
        Traceback (most recent call last):
        ...
        ValueError: lr must be a number in (0, 1]; got 2
    """
    return _Rule.of(annotation).accept(name, value)


def allowed(annotation: object) -> str | None:
    """What an annotation allows, in words; None if part of it is not checked.

    Example:
        >>> allowed(Annotated[int, Interval(ge=1, le=8)])
        'a whole number from 1 to 8'
        >>> allowed(Literal["serial", "vectorized"] | None)
        'one of serial, vectorized, or null'
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        said = [part.words for part in parts[1:] if isinstance(part, Allowed)]
        return said[-1] if said else _in_range(parts[0], parts[1:]) or allowed(parts[0])
    if origin is Literal:
        return "one of " + ", ".join(map(str, parts))
    if origin in (Union, UnionType):
        return _either(parts)
    if origin in (list, Sequence) and (each := allowed(parts[0])):
        return f"a list, each {each}"
    return _in_range(annotation, ())


def _either(parts: Sequence[object]) -> str | None:
    words = [allowed(part) for part in parts if part is not NoneType]
    null = ", or null" if NoneType in parts else ""
    return None if None in words else " or ".join(map(str, words)) + null


def _in_range(kind: object, metadata: Sequence[object]) -> str | None:
    """The words for a plain type, between bounds if it is a number."""
    each = [one for part in metadata for one in (part if isinstance(part, GroupedMetadata) else (part,))]
    ends = {name: end for one in each if isinstance(one, Ge | Gt | Le | Lt) for name, end in asdict(one).items()}
    if not ends or kind not in (int, float):
        return _PLAIN.get(kind)
    low, high = ends.get("ge", ends.get("gt", -inf)), ends.get("le", ends.get("lt", inf))
    if kind is float:
        return f"a number in {'[' if 'ge' in ends else '('}{low:g}, {high:g}{']' if 'le' in ends else ')'}"
    low, high = low + ("gt" in ends), high - ("lt" in ends)
    if high == inf:
        return f"a whole number of at least {low}"
    return f"a whole number of at most {high}" if low == -inf else f"a whole number from {low} to {high}"


class _Rule(NamedTuple):
    words: str | None
    adapter: TypeAdapter[Any] | None
    trials: Sequence[Trial]

    @classmethod
    def of(cls, annotation: Any) -> "_Rule":
        words = allowed(annotation)
        adapter = None if words is None else TypeAdapter(annotation, config=_STRICT)
        return cls(words, adapter, _trials(annotation))

    def accept(self, name: str, value: object) -> Any:
        """The value, as the annotation has it."""
        if self.adapter is not None:
            try:
                value = self.adapter.validate_python(value)
            except ValidationError as error:
                unclear = any(each["type"] == _UNCLEAR for each in error.errors())
                raise ValueError(f"{name} must be {self.words}{_QUOTED * unclear}; got {as_typed(value)}") from None
        _try_partial(name, value)
        for trial in self.trials if value is not None else ():
            trial.refuse(name, value)
        return value


def _trials(annotation: object) -> list[Trial]:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return [trial for part in parts for trial in _trials(part)]
    return [part for part in parts[1:] if isinstance(part, Trial)] if origin is Annotated else []


def _try_partial(name: str, value: object) -> None:
    """Check what a ``functools.partial`` of something checked was given, before it is called."""
    made: Any = getattr(value, "func", None)
    function = made.__init__ if isinstance(made, type) else made  # type: ignore[misc]
    if not isinstance(value, partial) or not hasattr(function, "checks"):
        return
    try:
        _arguments(function.checks).accept((), value.keywords, all_given=False)
    except ValueError as error:
        raise ValueError(f"{name}.{error}") from error


class _Arguments:
    """A function's arguments: their names, and a rule for each."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.signature = signature(function, eval_str=True)
        declared = self.signature.parameters.values()
        named = [each for each in declared if each.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)]
        self.names = [each.name for each in named if each.name != "self"]
        self.needed = {each.name for each in named if each.default is Parameter.empty}
        self.takes_others = any(each.kind is Parameter.VAR_KEYWORD for each in declared)
        self.rules = {each.name: _Rule.of(each.annotation) for each in named if each.name != "self"}

    def accept(self, args: Sequence[object], given: Mapping[str, object], *, all_given: bool = True) -> BoundArguments:
        """The arguments of a call, as their annotations have them."""
        for name in (each for each in given if each not in self.names and not self.takes_others):
            raise ValueError(unknown(name, self.names))
        bound = self.signature.bind_partial(*args, **given)
        for name in self.names:
            if name in bound.arguments:
                bound.arguments[name] = self.rules[name].accept(name, bound.arguments[name])
            elif all_given and name in self.needed and name not in bound.arguments:
                raise ValueError(f"{name} must be given")
        return bound


_arguments = cache(_Arguments)  # made at the first call: by then each name in the annotations is defined


def _checking(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **given: Any) -> Any:
        bound = _arguments(function).accept(args, given)
        return function(*bound.args, **bound.kwargs)

    marked: Any = call
    marked.checks = function
    return call
