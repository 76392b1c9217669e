"""The lean dataclass: what the standard one gives, without its cost."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys

import pytest

from agent_haymaker.lean import asdict, dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Point:
    """A point."""

    x: int
    tags: dict[str, str] = field(default_factory=dict)
    name: str = "origin"


@dataclass(slots=True)
class Basket:
    at: Point
    items: list[int] = field(default_factory=list)
    total: int = field(init=False)

    def __post_init__(self) -> None:
        self.total = sum(self.items)


def test_it_behaves_as_the_standard_one() -> None:
    point = Point(1)
    assert point == Point(1, {}, "origin")
    assert point != Point(2)
    assert repr(point) == "Point(x=1, tags={}, name='origin')"
    assert point.tags is not Point(1).tags
    assert replace(point, x=3) == dataclasses.replace(point, x=3) == Point(3)
    assert asdict(point) == {"x": 1, "tags": {}, "name": "origin"}
    assert [f.name for f in dataclasses.fields(Point)] == ["x", "tags", "name"]
    assert dataclasses.is_dataclass(Point)
    match point:
        case Point(1):
            pass
        case _:
            pytest.fail("positional patterns follow the fields")


def test_a_frozen_one_refuses_changes_and_wrong_arguments() -> None:
    point = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2  # type: ignore[misc]  # the point of the test
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    with pytest.raises(TypeError):
        Point()  # type: ignore[call-arg]  # the point of the test
    with pytest.raises(TypeError):
        Point(1, {}, "a", 4)  # type: ignore[call-arg]  # the point of the test


def test_a_mutable_one_runs_its_post_init_and_is_not_hashable() -> None:
    basket = Basket(Point(1), [1, 2])
    assert basket.total == 3
    basket.items.append(3)
    with pytest.raises(TypeError):
        hash(basket)
    assert not hasattr(basket, "__dict__")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_copies_are_equal(copied: object) -> None:
    assert callable(copied)
    for value in (Point(1, {"a": "b"}), Basket(Point(2), [1])):
        assert copied(value) == value


def test_it_imports_neither_dataclasses_nor_inspect() -> None:
    code = "import sys, reconciler.observe, reconciler.health; print({'dataclasses', 'inspect'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
