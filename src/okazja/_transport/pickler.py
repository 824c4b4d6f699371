"""The pickler: by reference what can be imported, by value what can't.

cloudpickle is asked only for functions and classes, of which it takes those of ``__main__``, lambdas and closures by
value. Reducers that were registered with ``multiprocessing`` (``ForkingPickler``) are honoured.
"""

from __future__ import annotations

import copyreg
import functools
import pickle
import re
import sys
import types
from collections import ChainMap
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any

import cloudpickle

from okazja._transport import mapping
from okazja._transport.namespaces import new_namespace

__all__ = ["Pickler"]

PROTOCOL = 5

if "__mp_main__" in sys.modules:  # the script's second name, in a child that multiprocessing spawned
    cloudpickle.register_pickle_by_value(sys.modules["__mp_main__"])


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """cloudpickle's pickler with the reducers of ``multiprocessing`` and with context variables."""

    def __init__(
        self, file: Any, buffer_callback: Callable[[pickle.PickleBuffer], object] | None = None
    ) -> None:
        reduction = sys.modules.get("multiprocessing.reduction")
        if reduction is not None:
            extra = reduction.ForkingPickler._extra_reducers  # where register() puts them
            # Before __init__, which looks it up once and for all.
            self.dispatch_table = ChainMap(extra, cloudpickle.Pickler.dispatch_table, copyreg.dispatch_table)
        super().__init__(file, protocol=PROTOCOL, buffer_callback=buffer_callback)
        self.globals_ref = _Namespaces()

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is ContextVar:
            return _reduce_context_var(obj)
        if type(obj) is functools.cached_property:  # holds a lock before CPython 3.12
            return _cached_property, (obj.func, obj.attrname)
        if type(obj) is _Cached and _goes_by_value(obj):
            return _cached, (obj.__wrapped__, obj.cache_parameters())
        if type(obj) is _Namespace:
            return new_namespace, (dict(obj),)
        if type(obj).__name__ == "ndarray" and type(obj).__module__ == "numpy" and not obj.flags.writeable:
            return _reduce_read_only_array(obj)
        reduced = super().reducer_override(obj)
        if isinstance(obj, type) and type(reduced) is tuple and "__slots__" in vars(obj):
            _keep_slots(obj, reduced)
        if isinstance(obj, type) and type(reduced) is tuple and "_fields_" in vars(obj):
            reduced = _reduce_structure(obj)
        return reduced


class _Namespace(dict[str, Any]):
    """The globals of one module, as far as the pickled functions use them."""


class _Namespaces(dict[int, _Namespace]):
    """Where cloudpickle looks up the globals that functions of one pickle share."""

    def setdefault(self, key: int, default: Any = None) -> _Namespace:
        return super().setdefault(key, _Namespace())


def _keep_slots(cls: type, reduced: tuple[Any, ...]) -> None:
    """Have a class that goes by value rebuilt with its slots, which cloudpickle 3.1 leaves out.

    Without them its instances get a ``__dict__`` in the worker and can't come back as what they were.
    """
    maker, arguments, state = reduced[:3]
    slots = vars(cls)["__slots__"]
    if slots and maker is cloudpickle.cloudpickle._make_skeleton_class and isinstance(arguments[3], dict):
        arguments[3]["__slots__"] = slots
        attributes = state[0]
        for name, value in list(attributes.items()):
            if type(value) is types.MemberDescriptorType:
                del attributes[name]


def _reduce_structure(cls: type) -> tuple[Any, ...]:
    """How a ctypes structure or union goes by value: neither its metaclass nor its fields' descriptors can."""
    own = {
        name: value
        for name, value in vars(cls).items()
        if type(value).__name__ != "CField" and type(value) is not types.GetSetDescriptorType
    }
    layout = {
        name: own.pop(name) for name in list(own) if re.fullmatch("_[a-z]+_", name) or name == "__module__"
    }
    number = cloudpickle.cloudpickle._get_or_create_tracker_id(cls)
    return _structure, (cls.__name__, cls.__bases__, layout, number), own, None, None, _set_attributes


def _structure(name: str, bases: tuple[type, ...], layout: dict[str, Any], number: str) -> type:
    """The class, the same one each time."""
    made: type = cloudpickle.cloudpickle._lookup_class_or_track(number, type(bases[0])(name, bases, layout))
    return made


def _set_attributes(cls: type, attributes: dict[str, Any]) -> None:
    for name, value in attributes.items():
        setattr(cls, name, value)


def _cached_property(function: Any, name: str) -> Any:
    made = functools.cached_property(function)
    made.attrname = name
    return made


_Cached = type(functools.lru_cache(len))


def _goes_by_value(cached: Any) -> bool:
    """Whether a function with a cache can't be found under its name, which cloudpickle takes for granted."""
    module = sys.modules.get(cached.__module__)
    return cached.__module__ == "__main__" or getattr(module, cached.__qualname__, None) is not cached


def _cached(function: Any, parameters: dict[str, Any]) -> Any:
    """The function with an empty cache of the same kind."""
    return functools.lru_cache(**parameters)(function)


# A read-only array arrives writable, as it does from pools that copy it: what it was protected from is the
# caller's, and a task has its own.


def _reduce_read_only_array(array: Any) -> Any:
    make, arguments, *rest = array.__reduce_ex__(PROTOCOL)
    if arguments and type(arguments[0]) is pickle.PickleBuffer:
        return _array, (make, *arguments), *rest
    return make, arguments, *rest


def _array(make: Callable[..., Any], buffer: Any, *arguments: Any) -> Any:
    view = memoryview(buffer)
    if type(view.obj) is bytearray and len(view.obj) == view.nbytes:
        view = memoryview(view.obj)
    elif view.readonly:
        start = sys.modules["numpy"].frombuffer(view, "u1").__array_interface__["data"][0]
        view = mapping.writable(view, start) or memoryview(bytearray(view))
    return make(view, *arguments)


def _reduce_context_var(var: ContextVar[Any]) -> Any:
    """A context variable travels as the attribute of a module that holds it, or else by name."""
    main = sys.modules.get("__main__")  # multiprocessing gives it a second name
    for module_name, module in list(sys.modules.items()):
        if module is main or not isinstance(module, types.ModuleType):
            continue
        for name, value in list(vars(module).items()):
            if value is var:
                return _module_attribute, (module_name, name)
    try:
        default = Context().run(var.get)  # what it gives where nobody has set it
    except LookupError:
        return _named_context_var, (var.name,)
    return _named_context_var, (var.name, default)


def _module_attribute(module: str, name: str) -> Any:
    __import__(module)
    return getattr(sys.modules[module], name)


_named_vars: dict[str, ContextVar[Any]] = {}


def _named_context_var(name: str, *default: Any) -> ContextVar[Any]:
    """The variable of this name in this worker; variables are made once and never freed."""
    var = _named_vars.get(name)
    if var is None:
        var = ContextVar(name, default=default[0]) if default else ContextVar(name)
        _named_vars[name] = var
    return var
