"""`Desired` as a short JSON list and back: only what is not at its default is kept. See `cache`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.model.desired import Backoff, Dependency, Desired, Recipe, Source

if TYPE_CHECKING:
    from reconciler.model.lazyjson import Json

# What deployments have in common is a shape, kept once: [context, settings, spec, fields], the context being
# [workload, key, argv, path_prefix, workload_dir, code_files, installed]. A record is the rest: [line, shape,
# references, digest, spec, recipe].
_APART = frozenset({"name", "workload", "digest", "source", "spec", "recipe", "settings"})
_OWN = frozenset({"workload", "config", "goal", "env", "files", "inPlaceConfig"})
_RECIPE = ("config", "files", "file_digests", "inline_files", "goal_at")


def encode_shape(desired: Desired, context: str, defaults: Json) -> list[Any]:
    """Return what a deployment probably shares; `defaults` is the spec that has nothing but defaults."""
    plain = Desired("", "", "", desired.source, {}, desired.recipe)
    kept: dict[str, Any] = {}
    for name in _fields():
        value = getattr(desired, name)
        if value != getattr(plain, name):
            if isinstance(value, Backoff):
                value = [value.duration, value.factor, value.max_duration]
            elif name == "depends_on":
                value = [[item.name, item.condition] for item in value]
            kept[name] = value
    spec = {
        key: _less(value, defaults.get(key))
        for key, value in desired.spec.items()
        if key not in _OWN and defaults[key] != value
    }
    recipe = desired.recipe
    about: list[Any] = [desired.workload, context, list(recipe.argv), recipe.path_prefix, recipe.workload_dir]
    about += [recipe.code_files, recipe.installed]
    return [about, desired.settings, spec, kept]


def encode_desired(desired: Desired, shape: int, references: list[str], defaults: Json) -> list[Any]:
    """Return the record of a deployment."""
    own = {key: value for key, value in desired.spec.items() if key in _OWN and defaults.get(key, _OWN) != value}
    recipe = {name: value for name in _RECIPE if (value := getattr(desired.recipe, name))}
    if desired.recipe.config == desired.spec["config"]:
        recipe.pop("config", None)
    elif not desired.recipe.config:
        recipe["config"] = {}
    return [desired.source.line, shape, references, desired.digest, own, recipe]


def decode_shape(shape: list[Any], defaults: Json) -> list[Any]:
    """Fill a shape's defaults in, once for all that share it."""
    about, settings, own, kept = shape
    about[2] = tuple(about[2])
    spec = {**defaults, **own}
    for key in ("run", "artifacts", "update"):
        if key in own:
            spec[key] = {**defaults[key], **own[key]}
    if "backoff" in kept:
        kept["backoff"] = Backoff(*kept["backoff"])
    if "depends_on" in kept:
        kept["depends_on"] = tuple(Dependency(*item) for item in kept["depends_on"])
    if "renamed_from" in kept:
        kept["renamed_from"] = tuple(kept["renamed_from"])
    return [about, settings, spec, kept]


def decode_desired(name: str, file: str, root: str, record: list[Any], shape: list[Any]) -> Desired:
    """Return the deployment of a record. Parts of its spec are shared between deployments: never change them."""
    line, _, _, digest, own, extra = record
    about, settings, common, kept = shape
    spec = {**common, **own}
    folder = file.rpartition("/")[0]
    recipe = Recipe(
        about[2],
        about[3],
        about[4],
        f"{root}/{folder}" if folder else root,
        extra.get("config", spec["config"]),
        extra.get("files") or {},
        extra.get("file_digests") or {},
        extra.get("inline_files") or {},
        extra.get("goal_at", ""),
        about[5],
        about[6],
    )
    return Desired(name, about[0], digest, Source(file, line), spec, recipe, settings=settings, **kept)


def _less(value: Any, default: Any) -> Any:
    """Leave out of run, artifacts and update what is at its default."""
    if not isinstance(value, dict) or not isinstance(default, dict) or not default or "checks" in default:
        return value
    return {key: item for key, item in value.items() if key not in default or default[key] != item}


def _fields() -> list[str]:
    return [name for name in Desired.__slots__ if name not in _APART]
