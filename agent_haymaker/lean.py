"""
`dataclass`, `field`, `replace` and `asdict` of the standard library, at a tenth of their cost to import.

A look at one deployment makes a handful of objects of thirty classes, and the standard decorator compiles six
functions for each class, and imports `inspect` to do so: more than the look itself. Here a class is made without
compiling anything, and its `__init__` is compiled when the first object is made. What type checkers and
`dataclasses.fields`, `asdict` and `replace` see is the same. It supports what haymaker uses (`frozen`, `slots`,
defaults and factories, `init=False`, `__post_init__`) and refuses the rest. No inheritance between such classes.
"""

from __future__ import annotations

from operator import attrgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import asdict as asdict
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import replace as replace
else:
    _NONE = object()

    class _Field:
        __slots__ = ("default", "factory", "in_init")

        def __init__(self, default, factory, in_init):
            self.default, self.factory, self.in_init = default, factory, in_init

    def field(*, default=_NONE, default_factory=_NONE, init=True):
        return _Field(default, default_factory, init)

    def dataclass(cls=None, /, *, frozen=False, slots=False):
        if cls is None:
            return lambda made: _make(made, frozen=frozen, slots=slots)
        return _make(cls, frozen=frozen, slots=slots)

    def replace(record, /, **changes):
        for name, spec in record.__lean_fields__.items():
            if name not in changes and spec.in_init:
                changes[name] = getattr(record, name)
        return record.__class__(**changes)

    def asdict(record):
        from dataclasses import asdict as standard

        return standard(record)

    def _make(cls, *, frozen, slots):
        words = dict(cls.__dict__)
        fields = {}
        for name, annotation in cls.__dict__.get("__annotations__", {}).items():  # noqa: RUF063 - inspect is what this avoids
            if "ClassVar" in str(annotation):
                continue
            value = words.get(name, _NONE)
            fields[name] = value if isinstance(value, _Field) else _Field(value, _NONE, True)
        names = tuple(fields)
        words["__lean_fields__"] = fields
        words["__lean_frozen__"] = frozen
        words["__match_args__"] = tuple(n for n in names if fields[n].in_init)
        words["__dataclass_fields__"] = _StandardFields()
        words["__init__"] = _first_init
        words["__lean_values__"] = _getter(names)
        for name, function in _COMMON.items():
            words.setdefault(name, function)
        words["__eq__"] = _eq
        if frozen:
            words.update(__hash__=_hash, __setattr__=_refuse_set, __delattr__=_refuse_delete)
        else:
            words["__hash__"] = None
        for name, spec in fields.items():
            if slots or spec.default is _NONE:
                words.pop(name, None)
            else:
                words[name] = spec.default
        words.pop("__weakref__", None)
        if slots:
            words.pop("__dict__", None)
            words["__slots__"] = names
            words.update(__getstate__=_get_state, __setstate__=_set_state)
            made = type(cls)(cls.__name__, cls.__bases__, words)
            made.__qualname__ = cls.__qualname__
            return made
        for name, value in words.items():
            if name not in ("__dict__", "__doc__", "__qualname__") and cls.__dict__.get(name) is not value:
                setattr(cls, name, value)
        for name in names:
            if isinstance(cls.__dict__.get(name), _Field):
                delattr(cls, name)
        return cls

    def _getter(names):
        if len(names) > 1:
            return staticmethod(attrgetter(*names))
        return staticmethod((lambda r, get=attrgetter(*names): (get(r),)) if names else lambda _: ())

    def _first_init(self, /, *args, **kwargs):
        cls = type(self)
        cls.__init__ = _compile_init(cls)
        cls.__init__(self, *args, **kwargs)

    def _twin(cls):
        """
        Give a class of the same layout that lets itself be changed, None where there is none.

        A frozen object is filled as its twin and then turned: a seventh of the cost of setting each field by force.
        """
        if not cls.__lean_frozen__ or "__slots__" not in cls.__dict__:
            return None
        twin = type(cls)(cls.__name__, cls.__bases__, {"__slots__": cls.__slots__})
        try:
            object.__setattr__(object.__new__(cls), "__class__", twin)
        except TypeError:
            return None
        return twin

    def _compile_init(cls):
        around = {"_set": object.__setattr__, "_own": cls, "_open": _twin(cls)}
        takes, body, seen_default = ["self"], [], False
        for name, spec in cls.__lean_fields__.items():
            value = name
            if spec.factory is not _NONE:
                around[f"_f_{name}"] = spec.factory
                value = f"_f_{name}()"
                if spec.in_init:
                    around["_absent"] = _NONE
                    takes.append(f"{name}=_absent")
                    value = f"{value} if {name} is _absent else {name}"
            elif spec.default is not _NONE:
                around[f"_d_{name}"] = spec.default
                takes.append(f"{name}=_d_{name}")
            elif spec.in_init:
                if seen_default:
                    raise TypeError(f"{cls.__name__}.{name} has no default and follows one that has")
                takes.append(name)
            else:
                continue
            seen_default = seen_default or takes[-1] != name
            by_force = cls.__lean_frozen__ and around["_open"] is None
            body.append(f" _set(self, {name!r}, {value})" if by_force else f" self.{name} = {value}")
        if around["_open"] is not None:
            body = [" _set(self, '__class__', _open)", *body, " self.__class__ = _own"]
        if hasattr(cls, "__post_init__"):
            body.append(" self.__post_init__()")
        text = f"def __init__({', '.join(takes)}):\n" + "\n".join(body or [" pass"])
        exec(text, around)  # noqa: S102 - built from the class's own names, as the standard library does
        made = around["__init__"]
        made.__qualname__ = f"{cls.__qualname__}.__init__"
        return made

    class _StandardFields:
        """The real `__dataclass_fields__`, made when somebody asks."""

        __slots__ = ()

        def __get__(self, instance, owner):
            import dataclasses

            items = []
            for name, spec in owner.__lean_fields__.items():
                how = {"default": spec.default} if spec.default is not _NONE else {}
                how = {"default_factory": spec.factory} if spec.factory is not _NONE else how
                # kw_only: the order of defaults was checked already, and init=False fields may stand anywhere
                items.append((name, owner.__annotations__[name], dataclasses.field(init=spec.in_init, **how)))
            made = dataclasses.make_dataclass(owner.__name__, items, kw_only=True, eq=False, repr=False)
            made = made.__dataclass_fields__
            owner.__dataclass_fields__ = made
            return made

    def _repr(self):
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__lean_fields__)
        return f"{type(self).__qualname__}({shown})"

    def _eq(self, other):
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self.__lean_values__(self) == self.__lean_values__(other)

    def _hash(self):
        return hash(self.__lean_values__(self))

    def _refuse_set(_self, name, _value):
        raise _frozen(f"cannot assign to field {name!r}")

    def _refuse_delete(_self, name):
        raise _frozen(f"cannot delete field {name!r}")

    def _frozen(text):
        from dataclasses import FrozenInstanceError

        return FrozenInstanceError(text)

    def _get_state(self):
        return self.__lean_values__(self)

    def _set_state(self, state):
        for name, value in zip(self.__lean_fields__, state, strict=True):
            object.__setattr__(self, name, value)

    _COMMON = {"__repr__": _repr}
