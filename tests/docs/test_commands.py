"""Every command in README and docs is run, and none is run by nothing: see tests/docs/commands.py.

This module types what needs no cluster. What needs one is typed on a real control plane by the tests of tests/e2e that
are marked with the page.
"""

import asyncio
import importlib.util
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from playground.apiserver import FakeApiServer
from playground.backends import Backend, Mode, Protocol, Spot
from playground.processes import free_ports
from tests.docs.commands import ELSEWHERE, HERE, PAGES, PROMISE, ROOT, blocks, commands, for_a_cluster, readme_block

SAMPLE = ROOT / "metacontroller" / "samples" / "complex-example.yaml"
SECONDS = 60.0
MARK = re.compile(r'^@pytest\.mark\.types\("([^"]+)"(, helm=True)?\)\n(?:@.+\n)*(?:async )?def test_', re.MULTILINE)
MENTION = re.compile(r"`(?:[A-Z_0-9]+=\S+ )*(?:\.venv/bin/)?(make|python -m) ([\w.-]+)")

PACKAGES = ("app", "cli", "external_service", "playground", "probe_sidecar", "runtime")


def _place(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The checkout as a reader has it, to write files into."""
    for name in ("Makefile", "metacontroller", *PACKAGES, "pyproject.toml", ".venv"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("requirements-dev.lock", "requirements-uv.lock"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.fixture
async def kubeconfig(tmp_path: Path) -> AsyncIterator[Path]:
    """A kubeconfig of a cluster with the sample and README's own ExternalService."""
    async with FakeApiServer() as api:
        api.create(yaml.safe_load(SAMPLE.read_text()))
        api.create(yaml.safe_load(readme_block("kind: ExternalService")))
        yield api.kubeconfig(tmp_path / "kubeconfig")


def environment(**more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": os.environ.get("HOME", "/"), "MAKEFLAGS": "", **more}


async def typed(command: str, folder: Path, *, until: str = "", **variables: str) -> tuple[int, str]:
    """Exit status and output. With `until`, Ctrl-C as soon as that is shown."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, cwd=folder, env=environment(**variables), start_new_session=True,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    shown = ""
    async with asyncio.timeout(SECONDS):
        while line := (await process.stdout.readline()).decode():
            shown += line
            if until and until in line:
                os.killpg(process.pid, signal.SIGINT)
                until = ""
        return await process.wait(), shown


def typed_on_a_control_plane() -> set[tuple[str, bool]]:
    """Pages of which a test runs every command (its `reader` checks that), each with whether these are the commands
    of helm.
    """
    tests = (file.read_text() for file in (ROOT / "tests" / "e2e").glob("test_*.py"))
    return {(page, bool(helm)) for text in tests for page, helm in MARK.findall(text)}


@pytest.mark.parametrize("helm", [False, True])
def test_cluster_commands_have_an_e2e_test(helm: bool) -> None:
    with_commands = {_place(page) for page in PAGES if for_a_cluster(page, helm=helm)}
    assert {page for page, of_helm in typed_on_a_control_plane() if of_helm is helm} == with_commands


def test_commands_run_elsewhere_exist_there() -> None:
    for page in PAGES:
        for command in commands(page):
            if command in ELSEWHERE:
                file, words = ELSEWHERE[command]
                assert words in (ROOT / file).read_text(), command
            elif promise := PROMISE.search(command):
                assert (ROOT / promise[0]).exists(), command  # .ci/run or .ci/nightly runs each


def test_modules_and_targets_in_sentences_exist() -> None:
    """Modules and targets that a sentence names; what it says of kubectl is typed on a control plane."""
    said = {one for page in PAGES for one in MENTION.findall(page.read_text())}
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {name for program, name in said if program == "make"} - {*targets} == set()
    modules = {name for program, name in said if program != "make"}
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []
    assert len(said) > 10


def test_commands_run_here_are_documented() -> None:
    assert {*HERE, *ELSEWHERE} <= {command for page in PAGES for command in commands(page)}
    text = Path(__file__).read_text()
    typed_in_order = commands(ROOT / "docs" / "hook.md")
    assert [command for command in HERE if command not in text and command not in typed_in_order] == []


@pytest.mark.parametrize("page", PAGES, ids=_place)
def test_commands_are_in_sh_blocks(page: Path) -> None:
    """Not in an indented block, and not in one of another language."""
    program = re.compile(r"^(?: {4})?(?:kubectl|helm|make|docker|python3?|\.venv/\S+) \S", re.MULTILINE)
    text = page.read_text()
    others = [block for kind, block in blocks(text) if kind != "sh"]
    assert [found for block in others for found in program.findall(block)] == []
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert re.findall(r"^ {4}(?:kubectl|helm|make|docker|python3?|\.venv/\S+) \S.*$", outside, re.MULTILINE) == []


async def test_playground_runs_until_interrupted(folder: Path) -> None:
    status, shown = await typed("make playground", folder, until="KUBECONFIG")
    assert status in (0, -signal.SIGINT), shown  # 0 where make was started with the signal ignored
    assert "export KUBECONFIG=" in shown


@pytest.mark.nightly
async def test_playground_with_arguments(folder: Path) -> None:
    (folder / "my.yaml").write_text(SAMPLE.read_text().replace("periodSeconds: 10", "periodSeconds: 1"))
    _, shown = await typed('make playground ARGS="my.yaml --output plain"', folder, until="2/2")
    assert "2/2" in shown
    status, shown = await typed('make playground ARGS="--duration 20 --output json"', folder)
    assert (status, shown[:1], shown.count("\n")) == (0, "{", 1)


async def test_render_and_check_commands_work(folder: Path) -> None:
    (port,) = free_ports(1)
    backend = Backend(Spot("127.0.0.1", port, Protocol.HTTP), "127.0.0.1")
    await backend.set(Mode.HEALTHY)
    text = SAMPLE.read_text().replace("port: 8080", f"port: {port}")
    (folder / "CR.yaml").write_text(text.replace("10.0.100.10", "127.0.0.1").replace("  - 10.0.100.11\n", ""))
    status, shown = await typed("external-service render CR.yaml", folder)
    assert status == 0
    assert [one["kind"] for one in yaml.safe_load_all(shown)] == ["Service", "Endpoints", "EndpointSlice", "Ingress"]
    status, shown = await typed("external-service check CR.yaml", folder)
    assert (status, "HTTP 200" in shown) == (0, True), shown
    await backend.stop()


async def test_hook_page_commands_work(folder: Path) -> None:
    """All of docs/hook.md, at a free port."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed: docs/hook.md is untested")
    (folder / "CR.yaml").write_text(SAMPLE.read_text())
    (port,) = free_ports(1)
    start, *others = (one.replace(":8080", f":{port}") for one in commands(ROOT / "docs" / "hook.md"))
    start = start.replace("--port 8080", f"--port {port}")
    hook = await asyncio.create_subprocess_exec("bash", "-c", f"exec {start}", cwd=folder, env=environment())
    try:
        async with asyncio.timeout(SECONDS):
            while (await typed(others[-1], folder))[0] != 0:
                assert hook.returncode is None
                await asyncio.sleep(0.1)
        shown = {command: await typed(command, folder) for command in others}
    finally:
        hook.terminate()
        await hook.wait()
    assert {status for status, _ in shown.values()} == {0}
    expected = {
        "new-object": '"children"',
        "one-address-dead": "notReady",
        "fail-open": '"children"',
        "unknown-field": "did you mean",
        "refused": "422",
        "request": '"children"',
        "openapi": "openapi",
    }
    for name, words in expected.items():
        (text,) = (text for command, (_, text) in shown.items() if name in command)
        assert words in text


async def test_kubectl_get_columns_equal_the_readme(folder: Path, kubeconfig: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: what README shows of it is untested")
    command, header, row = readme_block("kubectl get extsvc").splitlines()
    status, shown = await typed(command.removeprefix("$ "), folder, KUBECONFIG=str(kubeconfig))
    assert status == 0
    assert shown.splitlines()[0].split() == header.split()
    assert shown.splitlines()[1].split()[0] == row.split()[0]
