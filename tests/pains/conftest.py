from support.fixtures import one_day, world

__all__ = ["one_day", "world"]
