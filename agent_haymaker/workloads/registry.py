"""
Finds workloads: names from entry points, classes when they are asked for, packages when they are installed.

Listing names imports no workload. One whose code fails to import harms no other: the failure is kept, by name, to
be reported. It refuses to know what a workload does.
"""

from __future__ import annotations

import importlib
import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agent_haymaker.errors import WorkloadError
from agent_haymaker.workloads.base import WorkloadBase

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from agent_haymaker.workloads.models import WorkloadManifest
    from agent_haymaker.workloads.platform import Platform

CLONE_SECONDS = 120
INSTALL_SECONDS = 600

logger = logging.getLogger("haymaker.registry")


class WorkloadRegistry:
    """
    The workloads that this interpreter can import. `platform` is handed to every instance.

    `failures` says, by workload name, why its class could not be loaded or made.
    """

    ENTRY_POINT_GROUP = "agent_haymaker.workloads"

    def __init__(self, platform: Platform | None = None) -> None:
        self._platform = platform
        self._workloads: dict[str, type[WorkloadBase]] = {}
        self.failures: dict[str, str] = {}

    def discover_workloads(self) -> dict[str, type[WorkloadBase]]:
        """Import every installed workload and give the classes by name; what failed is in `failures`."""
        for name, points in self._entry_points().items():
            self._load(name, points)
        return dict(self._workloads)

    def get_workload(self, name: str) -> WorkloadBase | None:
        """Give an instance, or None where no such workload is known or it fails; `failures` tells which."""
        workload_class = self._workloads.get(name) or self._load(name, self._entry_points().get(name, []))
        if workload_class is None:
            return None
        try:
            instance = workload_class(platform=self._platform)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - its code is not ours
            self._failed(name, f"its class cannot be made: {_told(error)}")
            return None
        return instance

    def list_workloads(self) -> list[str]:
        """Give the names of all workloads, registered or installed, whether they can be loaded or not."""
        return sorted({*self._workloads, *self._entry_points()})

    def load_manifest(self, path: Path | str, *, strict: bool = False) -> WorkloadManifest:
        """
        Read the workload.yaml at `path`, which is that file or its folder.

        Raises:
            ManifestError: it is missing or wrong; says every fault with file and line.
        """
        from agent_haymaker.workloads.manifest_file import read_manifest

        return read_manifest(Path(path), strict=strict)

    def register_workload(self, name: str, workload_class: type[WorkloadBase]) -> None:
        """
        Make a class known under `name`, before any entry point of that name.

        Raises:
            TypeError: it is no subclass of WorkloadBase.
        """
        if not _is_workload(workload_class):
            raise TypeError(f"{workload_class!r} is not a subclass of WorkloadBase")
        self._workloads[name] = workload_class
        self.failures.pop(name, None)

    def install_from_git(self, url: str) -> str:
        """
        Clone a repository, install its package beside this interpreter, and return the workload's name.

        Raises:
            WorkloadError: cloning or installing failed; says what git or pip said.
            ManifestError: its workload.yaml is missing or wrong.
        """
        import tempfile

        if not url or url.startswith("-"):
            raise WorkloadError(f"{url!r} is not the address of a repository", fix="give an https, ssh or file URL")
        with tempfile.TemporaryDirectory(prefix="haymaker-install-") as folder:
            clone = ["git", "clone", "--quiet", "--depth", "1", "--", url, folder]
            _run(clone, CLONE_SECONDS, f"clone {_without_password(url)}")
            manifest = self.load_manifest(folder)
            source = (manifest.package or {}).get("source") or "."
            if source.startswith("."):
                inside = (Path(folder) / source).resolve()
                if not inside.is_relative_to(Path(folder).resolve()):
                    raise WorkloadError(
                        f"package.source {source!r} leaves the repository", where=_without_password(url)
                    )
                source = str(inside)
            return self._install(manifest, [source])

    def install_from_path(self, path: Path | str) -> str:
        """
        Install the package in a folder, editable, beside this interpreter, and return the workload's name.

        Raises:
            WorkloadError: installing failed; says what pip said.
            ManifestError: its workload.yaml is missing or wrong.
        """
        folder = Path(path).resolve()
        return self._install(self.load_manifest(folder), ["--editable", str(folder)])

    def _install(self, manifest: WorkloadManifest, what: list[str]) -> str:
        if what[-1].startswith("-"):
            raise WorkloadError(f"package.source {what[-1]!r} is not something to install")
        target = Path(what[-1])
        if target.is_dir() and not any((target / name).exists() for name in ("pyproject.toml", "setup.py")):
            raise WorkloadError(
                f"workload {manifest.name} has no Python package to install",
                where=str(target),
                fix="put its workload.yaml into your manifests folder instead",
            )
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet", *what]
        before = _path_files()
        _run(pip, INSTALL_SECONDS, f"install workload {manifest.name}")
        _follow_path_files(_path_files() - before)
        importlib.invalidate_caches()
        self._workloads.pop(manifest.name, None)
        self.failures.pop(manifest.name, None)
        if manifest.name not in self._entry_points():
            raise WorkloadError(
                f"the package of workload {manifest.name} is installed, but registers no such workload",
                fix=f'add `{manifest.name} = "module:Class"` under '
                f'[project.entry-points."{self.ENTRY_POINT_GROUP}"] of its pyproject.toml',
            )
        return manifest.name

    def _entry_points(self) -> dict[str, list[EntryPoint]]:
        from importlib.metadata import entry_points

        found: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=self.ENTRY_POINT_GROUP):
            same = found.setdefault(point.name, [])
            if all(point.value != other.value for other in same):
                same.append(point)
        return found

    def _load(self, name: str, points: list[EntryPoint]) -> type[WorkloadBase] | None:
        if name in self._workloads or not points:
            return self._workloads.get(name)
        if len(points) > 1:
            values = " and ".join(sorted(point.value for point in points))
            self._failed(name, f"more than one package declares it: {values}; uninstall one of them")
            return None
        try:
            loaded = points[0].load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - its code is not ours
            self._failed(name, f"{points[0].value} cannot be imported: {_told(error)}")
            return None
        if not _is_workload(loaded):
            self._failed(name, f"{points[0].value} is not a subclass of WorkloadBase")
            return None
        self.failures.pop(name, None)
        self._workloads[name] = loaded
        return self._workloads[name]

    def _failed(self, name: str, why: str) -> None:
        if self.failures.get(name) != why:
            logger.warning("workload %s cannot be used: %s", name, why)
        self.failures[name] = why


def _is_workload(loaded: object) -> bool:
    return isinstance(loaded, type) and issubclass(loaded, WorkloadBase)


def _told(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _path_files() -> set[tuple[str, str, int]]:
    """Give the .pth files beside what can be imported: in which folder, which, and when they were written."""
    folders = [Path(folder) for folder in dict.fromkeys(sys.path) if folder]
    return {(str(f.parent), f.name, f.stat().st_mtime_ns) for folder in folders for f in folder.glob("*.pth")}


def _follow_path_files(files: set[tuple[str, str, int]]) -> None:
    """Do for these what Python does when it starts: an editable package is found by way of its own."""
    import site

    for folder, name, _ in sorted(files):
        site.addpackage(folder, name, None)


def _run(argv: list[str], timeout_seconds: float, doing: str) -> None:
    import os
    import subprocess

    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise WorkloadError(
            f"could not {doing}: not done after {timeout_seconds:g} s", fix="check the network, then try again"
        ) from error
    except OSError as error:
        raise WorkloadError(f"could not {doing}: {argv[0]}: {error.strerror}", fix=f"install {argv[0]}") from error
    if done.returncode == 0:
        return
    said = [_without_password(line) for line in (done.stderr.strip() or done.stdout.strip()).splitlines()[-10:]]
    if any("No module named pip" in line for line in said):
        raise WorkloadError(
            f"could not {doing}: this Python environment has no pip",
            where=sys.prefix,
            fix=f"run `{sys.executable} -m ensurepip`, or install the package with your own tool",
        )
    raise WorkloadError("\n    ".join([f"could not {doing}:", *(said or [f"exit code {done.returncode}"])]))


def _without_password(text: str) -> str:
    return re.sub(r"(\w://)[^/@\s]+@", r"\1***@", text)
