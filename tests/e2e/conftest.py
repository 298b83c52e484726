"""The worlds of the tests, and the figures at the end.

With E2E_REQUIRED=1 a test that cannot run fails (CI); KUBECONFIG_E2E names a cluster to use instead of a control plane
of our own; METACONTROLLER_BIN and METACONTROLLER_CRDS are the real Metacontroller. See docs/testing.md.
"""

import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import accounts, namespace
from tests.e2e.controlplane.build import Binaries, GoMissing, build
from tests.e2e.controlplane.cluster import ControlPlane
from tests.e2e.hosts import Hosts
from tests.e2e.reader import Reader
from tests.e2e.real_api import RealApi
from tests.e2e.terminal import Terminal
from tests.e2e.world import STRATEGIES, Setup, World, real_metacontroller
from tests.required import cannot_run

HERE = Path(__file__).resolve().parent
MARKERS = (
    "world(resync, control, qps, burst, ...): what the test asks of its world, see tests.e2e.world.Setup",
    "any_metacontroller: about the sidecars alone; with the real Metacontroller by its default strategy only",
    "types(page, helm=False): it types all commands of a page that are for a cluster, see tests.e2e.reader",
    "kubernetes(part): it runs on each supported Kubernetes release too, see tests.e2e.versions",
    "metacontroller: it takes part without a world; run with the real one too",
)


@pytest.fixture(scope="session")
def binaries() -> Binaries:
    """Built before the network is sealed: Go may have to fetch modules."""
    try:
        namespace.require()
        return build()
    except (GoMissing, namespace.NamespacesMissing) as problem:
        cannot_run(problem)


@pytest.fixture(scope="session")
def sealed_network(binaries: Binaries) -> Iterator[None]:
    """From here on, no packet of this process and its children can leave the machine."""
    if os.environ.get("KUBECONFIG_E2E"):
        pytest.skip("this needs a control plane and a network of its own: unset KUBECONFIG_E2E to run it")
    with namespace.sealed():
        yield


@pytest.fixture(scope="session")
def control_plane(
    binaries: Binaries, sealed_network: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """The real etcd, kube-apiserver and kube-controller-manager, for the whole run."""
    audited = [account[0] for account in accounts.ACCOUNTS]
    with ControlPlane(binaries, tmp_path_factory.mktemp("control-plane"), audited_namespaces=audited) as running:
        yield running


@pytest.fixture(scope="session")
def real_api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RealApi:
    """A real API server with what metacontroller/ ships installed."""
    directory = tmp_path_factory.mktemp("real-api")
    if given := os.environ.get("KUBECONFIG_E2E"):
        api = RealApi(Path(given), directory, None)
    else:
        plane: ControlPlane = request.getfixturevalue("control_plane")
        api = RealApi(plane.admin_kubeconfig, directory, plane)
    api.install(*metacontroller_definitions())
    return api


def metacontroller_definitions() -> list[dict[str, Any]]:
    if real_metacontroller() is None:
        return []
    file = os.environ.get("METACONTROLLER_CRDS")
    if not file:
        cannot_run("METACONTROLLER_BIN is set: METACONTROLLER_CRDS must name the file with its definitions")
    return [one for one in yaml.safe_load_all(Path(file).read_text()) if one]


@pytest.fixture(scope="session")
def real_hosts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Test hosts on addresses of their own, in a network namespace."""
    if os.environ.get("KUBECONFIG_E2E"):
        try:
            namespace.require()
        except namespace.NamespacesMissing as problem:
            cannot_run(problem)
    else:
        request.getfixturevalue("sealed_network")
    hosts = Hosts(tmp_path_factory.mktemp("hosts"))
    hosts.start()
    yield hosts
    hosts.stop()


@pytest.fixture
async def world(
    request: pytest.FixtureRequest, real_api: RealApi, real_hosts: Hosts, tmp_path: Path
) -> AsyncIterator[World]:
    """Hook, sidecar and composite controller as processes."""
    marker = request.node.get_closest_marker("world")
    setup = Setup(**(marker.kwargs if marker else {}))
    async with World(real_api, real_hosts, tmp_path, setup, real_metacontroller()) as found:
        yield found


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`figures(words=value, ...)`: reported at the end."""
    return lambda **values: request.node.user_properties.extend(values.items())


@pytest.fixture
def terminal(world: World, tmp_path: Path) -> Terminal:
    """The terminal of a reader, in an empty folder beside a checkout."""
    folder = tmp_path / "reader"
    folder.mkdir()
    return Terminal(world, folder)


@pytest.fixture
def reader(request: pytest.FixtureRequest) -> Reader:
    """A reader of the page of the marker; the test fails if commands of the page are not typed."""
    (marker,) = request.node.iter_markers("types")
    return Reader(*marker.args, **marker.kwargs)


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.hookimpl(tryfirst=True)  # before pytest selects by markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that ask for a world are e2e tests. With the real Metacontroller, of the e2e tests only those with it run.

    Those of the sidecars' faults run with its default strategy only.
    """
    ours = [item for item in items if "world" in getattr(item, "fixturenames", ()) and HERE in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.e2e)
    if (real := real_metacontroller()) is None:
        return
    wanted = [*ours, *(item for item in items if item.get_closest_marker("metacontroller"))]
    left_out = [item for item in items if item.get_closest_marker("e2e") and item not in wanted]
    if real.strategy != STRATEGIES[0]:
        left_out += [item for item in ours if item.get_closest_marker("any_metacontroller")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A test that types a page types all of it."""
    done = yield
    if isinstance(reader := pyfuncitem.funcargs.get("reader"), Reader):
        reader.finish()
    return done


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of each test, which pytest-xdist carries from a worker to the main process."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    measured = [report for report in reports if report.user_properties]
    if measured:
        terminalreporter.section("figures")
    for report in measured:
        values = [(name, f"{one:.3g}" if isinstance(one, float) else one) for name, one in report.user_properties]
        terminalreporter.write_line(f"{report.nodeid}: " + ", ".join(f"{name} {text}" for name, text in values))
