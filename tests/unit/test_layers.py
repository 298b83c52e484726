"""Who may import whom: every import of ours is read with `ast`, and any arrow that the house does not know fails.

app: server -> sync -> children, hook -> external_service
probe_sidecar: __main__ -> sidecar -> prober, status -> external_service
The two towers never import each other; the sidecar knows of the hook's only `external_service`.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("app", "external_service", "probe_sidecar", "runtime", "playground")

# For each room the prefixes of ours that it may import. The longest matching room counts.
MAY_IMPORT = {
    "external_service": ("external_service",),
    "runtime": ("external_service", "runtime"),
    "app.children": ("external_service", "app.children"),
    "app.hook": ("external_service",),
    "app.sync": ("external_service", "app.children", "app.hook"),
    "app.settings": ("external_service", "app.tls"),
    "app.metrics": ("runtime.version",),
    "app.server": (
        "external_service",
        "app.bearer",
        "app.guard",
        "app.hook",
        "app.metrics",
        "app.sync",
        "app.settings",
    ),
    "app.files": (),
    "app.bearer": ("app.files",),
    "app.tls": ("app.files",),
    "app.guard": ("app.bearer",),
    "app.serving": ("app.guard",),
    "app.render": ("external_service", "app.children", "app.hook", "app.sync", "app.settings"),
    "app.__main__": ("app", "external_service"),
    "probe_sidecar.kube": ("probe_sidecar.kube",),
    "probe_sidecar.probes": ("external_service.core", "probe_sidecar.probes"),
    "probe_sidecar.prober": ("external_service", "probe_sidecar.probes", "probe_sidecar.prober"),
    "probe_sidecar.membership": (
        "probe_sidecar.kube.client",
        "probe_sidecar.kube.reflector",
        "probe_sidecar.membership",
    ),
    "probe_sidecar.status": ("external_service", "probe_sidecar.kube.client", "probe_sidecar.status"),
    "probe_sidecar.names": ("external_service", "probe_sidecar.names"),
    "probe_sidecar.settings": ("external_service",),
    "probe_sidecar.server": (),
    "probe_sidecar.events": ("probe_sidecar.kube.client", "probe_sidecar.events"),
    "probe_sidecar.exposition": (),
    "probe_sidecar.metrics": (
        "runtime.version",
        "probe_sidecar.prober",
        "probe_sidecar.probes.engine",
        "probe_sidecar.status.publisher",
        "probe_sidecar.events.recorder",
        "probe_sidecar.exposition",
        "probe_sidecar.kube.client",
        "probe_sidecar.kube.reflector",
        "probe_sidecar.membership",
        "probe_sidecar.names",
    ),
    "probe_sidecar.live": ("external_service", "probe_sidecar.prober", "probe_sidecar.probes"),
    "probe_sidecar.trust": (
        "external_service",
        "probe_sidecar.kube.client",
        "probe_sidecar.probes",
        "probe_sidecar.status.conditions",
    ),
    "probe_sidecar.check": ("external_service", "probe_sidecar.names", "probe_sidecar.probes"),
    "probe_sidecar.collector": (),
    "probe_sidecar.sidecar": ("external_service", "probe_sidecar"),
    "probe_sidecar.__main__": ("external_service", "probe_sidecar"),
    "playground": ("app", "external_service", "probe_sidecar", "playground"),
}

# Packages that only the named rooms may import; every other third-party package is free.
ONLY_IN = {
    "fastapi": ("app.bearer", "app.server"),
    "starlette": ("app.server", "playground"),
    "uvicorn": ("app.serving", "app.guard", "probe_sidecar.server", "playground"),
    "httpx": ("probe_sidecar.kube", "playground"),
    "prometheus_client": ("app.metrics", "probe_sidecar.metrics", "probe_sidecar.exposition"),
    "dns": ("probe_sidecar.names.resolver", "playground"),
    "jsonpatch": ("probe_sidecar.status", "playground"),
    "socket": ("probe_sidecar.probes", "probe_sidecar.server", "app.serving", "playground"),
    "os": (
        "app.__main__",
        "runtime.environment",
        "probe_sidecar.__main__",
        "probe_sidecar.kube",
        "probe_sidecar.probes",
        "playground",
    ),
    "asyncio": ("app.serving", "app.guard", "probe_sidecar", "playground"),
    "time": ("app.server", "probe_sidecar", "playground"),
    "random": ("probe_sidecar", "playground"),
}

# external_service is the ground that both towers stand on.
GROUND = {"pydantic", "pydantic_core", "yaml"}


def modules() -> Iterator[tuple[str, Path]]:
    for tower in OURS:
        for path in sorted((ROOT / tower).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported(path: Path) -> set[str]:
    """Every module that the file names, at any depth; `from a import b` counts as `a.b` where that is a module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write the whole module name"
            assert node.module is not None
            names.update(_full(node.module, alias.name) for alias in node.names)
    return names


def _full(module: str, name: str) -> str:
    place = ROOT / Path(*module.split("."))
    return f"{module}.{name}" if (place / f"{name}.py").exists() or (place / name).is_dir() else module


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def room(module: str) -> str:
    rooms = [room for room in MAY_IMPORT if within(module, room)]
    return max(rooms, key=len, default="")


ALL = list(modules())


@pytest.mark.parametrize(("module", "path"), ALL, ids=[name for name, _ in ALL])
def test_imports_go_one_way(module: str, path: Path) -> None:
    shared = () if within(module, "external_service") else ("runtime",)
    allowed = (*MAY_IMPORT.get(room(module), ()), *shared)
    ours = {name for name in imported(path) if name.split(".")[0] in (*OURS, "tests")}
    assert {name for name in ours if not any(within(name, prefix) for prefix in allowed)} == set()


@pytest.mark.parametrize(("module", "path"), ALL, ids=[name for name, _ in ALL])
def test_packages_stay_in_their_rooms(module: str, path: Path) -> None:
    strangers = {
        name.split(".")[0]
        for name in imported(path)
        if (rooms := ONLY_IN.get(name.split(".")[0])) and not any(within(module, room) for room in rooms)
    }
    assert strangers == set()


@pytest.mark.parametrize(("module", "path"), [item for item in ALL if within(item[0], "external_service")], ids=str)
def test_the_shared_ground_needs_little(module: str, path: Path) -> None:
    stdlib = __import__("sys").stdlib_module_names
    packages = {name.split(".")[0] for name in imported(path)} - set(stdlib) - {"external_service"}
    assert packages <= GROUND, module


def test_every_room_is_known() -> None:
    packages = set(OURS) | {f"{tower}.__init__" for tower in OURS}
    assert [name for name, _ in ALL if name not in packages and not room(name)] == []


def test_it_would_see_a_wrong_arrow(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def late():\n    from probe_sidecar.kube import client\n    import app.server as s\n")
    assert imported(wrong) >= {"app.server"}
    assert any(within(name, "probe_sidecar.kube") for name in imported(wrong))
