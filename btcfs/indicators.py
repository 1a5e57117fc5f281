"""What an indicator is, and the decorator that turns a function of candle arrays into a family of them."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs

from btcfs.definitions import Feature, IndicatorRef
from btcfs.errors import DefinitionError

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]

CANDLE_COLUMNS = ("open", "high", "low", "close", "volume")
INPUTS = ("timestamp", *CANDLE_COLUMNS)


class Memory(str, Enum):
    """How far back an indicator's value looks."""

    FINITE = "finite"  # exactly ``lookback`` rows
    FADING = "fading"  # all rows, but forgets: after ``unstable`` more rows the start no longer matters
    INFINITE = "infinite"  # all rows, for ever: the value depends on where history began


@attrs.frozen
class Output:
    """One output of an indicator: its name without parameters, its unit, bounds and degrees.

    A value scales by ``k ** price_degree`` when all prices scale by k, and likewise for volume;
    a degree of None says that it follows no such rule.
    """

    name: str
    unit: str = "1"
    bounds: tuple[float, float] | None = None
    price_degree: int | None = 0
    volume_degree: int | None = 0
    description: str = ""


@attrs.frozen(eq=False)
class Indicator:
    """One indicator with its parameters: a pure function of candle arrays, and what it declares.

    ``inputs`` names the function's positional arguments: candle columns (``timestamp`` is the open
    time as int64 microseconds, the rest float64) or keys of ``requires``, which maps an argument to
    another indicator's output. All inputs are cut to the rows where the required outputs are
    defined, so the function never meets a NaN and is never called without a row; ``own_lookback``
    and ``own_unstable`` count rows of these inputs, ``own_memory`` is about them.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    outputs: tuple[Feature, ...]
    declared: tuple[Output, ...]
    params: tuple[tuple[str, Any], ...] = ()
    requires: Mapping[str, OutputRef] = attrs.field(factory=dict)
    own_lookback: int = 0
    own_unstable: int = 0
    own_memory: Memory = Memory.FINITE
    rtol: float = 1e-9
    version: str = "1"
    source: str = ""
    description: str = ""

    @property
    def lookback(self) -> int:
        """Rows before the first defined value, those of the required indicators included."""
        return self.own_lookback + max((ref.indicator.lookback for ref in self.requires.values()), default=0)

    @property
    def unstable(self) -> int:
        """Further rows until the start of history no longer shows, beyond ``rtol``."""
        return self.own_unstable + max((ref.indicator.unstable for ref in self.requires.values()), default=0)

    @property
    def memory(self) -> Memory:
        """How far back the value looks: the longest memory of its own and of the required indicators."""
        memories = {self.own_memory, *(ref.indicator.memory for ref in self.requires.values())}
        return max(memories, key=list(Memory).index)

    @cached_property
    def identity(self) -> tuple[Any, ...]:
        """What makes two nodes of a plan the same computation."""
        return (self.function.__module__, self.function.__qualname__, self.params, self.hash)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over name, inputs, parameters, outputs, code version, and the same of what it requires."""
        content = {
            "name": self.name,
            "inputs": self.inputs,
            "params": self.params,
            "outputs": [[f.name, f.dtype, f.unit] for f in self.outputs],
            "version": self.version,
            "lookback": self.lookback,
            "unstable": self.unstable,
            "memory": self.memory.value,
            "requires": {arg: [ref.indicator.hash, ref.output] for arg, ref in sorted(self.requires.items())},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def ref(self) -> IndicatorRef:
        return IndicatorRef(self.name, self.params, self.hash)

    def output(self, name: str) -> OutputRef:
        """A reference to the output of that full name, such as ``bb_upper_20``, for another's ``requires``."""
        names = [feature.name for feature in self.outputs]
        if name not in names:
            raise DefinitionError(f"indicator {self.name!r} has no output {name!r}; it has {', '.join(names)}")
        return OutputRef(self, names.index(name))

    def compute(self, arrays: Sequence[Floats]) -> tuple[Floats, ...]:
        """The outputs for input arrays in the order of ``inputs``, all of one length."""
        result = self.function(*arrays, **dict(self.params))
        return tuple(result) if isinstance(result, (tuple, list)) else (result,)


@attrs.frozen(eq=False)
class OutputRef:
    """One output of an indicator, as an input of another."""

    indicator: Indicator
    output: int = 0


@attrs.frozen(eq=False)
class IndicatorFamily:
    """A decorated function; call it with parameters to get an :class:`Indicator`."""

    function: Callable[..., Any]
    declared: tuple[Output, ...]
    options: Mapping[str, Any]
    defaults: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.function.__name__

    def __call__(self, **params: Any) -> Indicator:
        unknown = sorted(set(params) - set(self.defaults))
        if unknown:
            raise DefinitionError(
                f"indicator {self.name!r} has no parameter {', '.join(unknown)}; it has {', '.join(self.defaults) or 'none'}"
            )
        values = {**self.defaults, **params}
        return self._bind(values)

    def _bind(self, values: dict[str, Any]) -> Indicator:
        options = self.options
        requires = {
            argument: ref if isinstance(ref, OutputRef) else OutputRef(ref)
            for argument, ref in _resolved(options["requires"], values, {}).items()
        }
        inputs = _positional(self.function)
        unknown = [name for name in inputs if name not in INPUTS and name not in requires]
        if unknown:
            raise DefinitionError(
                f"indicator {self.name!r} takes {', '.join(unknown)}, which is neither a candle column "
                f"({', '.join(INPUTS)}) nor named in requires"
            )
        suffix = self._suffix(values)
        outputs = tuple(
            Feature(out.name + suffix, unit=out.unit, bounds=out.bounds, description=out.description)
            for out in self.declared
        )
        return Indicator(
            name=self.name,
            function=self.function,
            inputs=inputs,
            outputs=outputs,
            declared=self.declared,
            params=tuple(sorted(values.items())),
            requires=requires,
            own_lookback=_resolved(options["lookback"], values, 0),
            own_unstable=_resolved(options["unstable"], values, 0),
            own_memory=Memory(options["memory"]),
            rtol=options["rtol"],
            version=options["version"],
            source=options["source"],
            description=(inspect.getdoc(self.function) or "").split("\n")[0],
        )

    def _suffix(self, values: Mapping[str, Any]) -> str:
        """The parameters in the feature's name: those of ``named``, and any other that is not its default."""
        named = self.options["named"]
        shown = [values[name] for name in self.defaults if name in named or values[name] != self.defaults[name]]
        return "".join("_" + re.sub(r"[^a-z0-9]+", "_", str(value).lower()).strip("_") for value in shown)


def indicator(
    *,
    outputs: Sequence[Output] | Output | None = None,
    lookback: int | Callable[..., int] = 0,
    unstable: int | Callable[..., int] = 0,
    memory: str | Memory = Memory.FINITE,
    requires: Callable[..., Mapping[str, Indicator | OutputRef]] | None = None,
    named: Iterable[str] | None = None,
    unit: str = "1",
    bounds: tuple[float, float] | None = None,
    price_degree: int | None = 0,
    volume_degree: int | None = 0,
    rtol: float = 1e-9,
    version: str = "1",
    source: str = "",
) -> Callable[[Callable[..., Any]], IndicatorFamily]:
    """Declare a function to be an indicator.

    The function's positional arguments are its inputs, its keyword-only arguments its parameters.
    It gets read-only arrays of one length and returns a new float64 array of that length (a tuple
    for several ``outputs``), NaN exactly in the first ``lookback`` rows, never looking ahead.
    ``lookback``, ``unstable`` and ``requires`` may be functions of the parameters. A feature is
    called its output's name and the parameters in ``named`` (default: all): ``rsi_14``.
    Raise ``version`` whenever the numbers change.
    """

    def decorate(function: Callable[..., Any]) -> IndicatorFamily:
        if outputs is None:
            declared: tuple[Output, ...] = (
                Output(function.__name__, unit, bounds, price_degree, volume_degree, _summary(function)),
            )
        else:
            declared = (outputs,) if isinstance(outputs, Output) else tuple(outputs)
        defaults = _parameters(function)
        return IndicatorFamily(
            function=function,
            declared=declared,
            defaults=defaults,
            options={
                "lookback": lookback,
                "unstable": unstable,
                "memory": memory,
                "requires": requires,
                "named": tuple(defaults if named is None else named),
                "rtol": rtol,
                "version": version,
                "source": source,
            },
        )

    return decorate


def _summary(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").split("\n")[0]


def _positional(function: Callable[..., Any]) -> tuple[str, ...]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(p.name for p in inspect.signature(function).parameters.values() if p.kind in kinds)


def _parameters(function: Callable[..., Any]) -> dict[str, Any]:
    keywords = [p for p in inspect.signature(function).parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    without = [p.name for p in keywords if p.default is inspect.Parameter.empty]
    if without:
        raise DefinitionError(f"indicator {function.__name__!r}: parameter {', '.join(without)} needs a default")
    return {p.name: p.default for p in keywords}


def _resolved(option: Any, values: Mapping[str, Any], absent: Any) -> Any:
    if option is None:
        return absent
    if not callable(option):
        return option
    accepted = inspect.signature(option).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values()):
        return option(**values)
    return option(**{name: value for name, value in values.items() if name in accepted})
