"""`external-service` and `kubectl extsvc`: help, completion, exit status, and what each command reads."""

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cli.__main__ import COMMANDS, complete_for_kubectl, external_service
from external_service.admission import NO_BODY_CONTAINS
from external_service.core import PORT_NUMBER
from external_service.invalid import unknown_fields
from external_service.kind import KIND
from external_service.manifest import NOTHING
from external_service.v1alpha1 import NUMBER_OR_SHARE
from runtime import VERSION
from runtime.commands import LARGEST_FILE, run

ROOT = Path(__file__).resolve().parents[3]
CR = """\
apiVersion: eso.crowdfox.com/v1alpha1
kind: ExternalService
metadata: {name: NAME, namespace: shop}
spec: {port: 80, ips: [10.0.0.1]}
"""


def call(*arguments: str) -> int:
    return run(external_service, "external-service", arguments)


def folder(path: Path, **files: str) -> Path:
    for name, text in files.items():
        (path / f"{name}.yaml").write_text(text)
    return path


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    shown = capsys.readouterr().out
    lines = shown.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == list(COMMANDS)
    assert [line for line in lines if line.endswith("...")] == []
    assert "Exit status: 0" in shown


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "version"])
def test_help_of_a_command_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(name, "--help") == 0
    assert "Examples:\n" in capsys.readouterr().out


def test_version_command_prints_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert (call("version"), capsys.readouterr().out) == (0, f"{VERSION}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("chekc",),
        ("render",),
        ("render", ""),
        ("check", "x.yaml", "--kubeconfig", ""),
        ("status", "a", "--context="),
        ("status", "a/b", "-n", "c", "--server", "http://127.0.0.1:1"),
        ("status", "a/b", "--server", "http://127.0.0.1:1", "--kubeconfig", "x"),
        ("prober", "--context", "x"),
        ("render", "a" * 300),
        ("check", "--count", "0", "x.yaml"),
        ("check", "a" * 300),
        ("status", "a/b/c"),
        ("hook", "--port", "x"),
    ],
)
def test_bad_usage_is_status_2_and_text_on_stderr(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*arguments) == 2
    captured = capsys.readouterr()
    assert (captured.out, bool(captured.err)) == ("", True)
    assert ("Did you mean 'check'?" in captured.err) is (arguments == ("chekc",))


def test_render_accepts_files_and_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "inner").mkdir()
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"
    inner = folder(tmp_path / "inner", b=CR.replace("NAME", "b"), a=CR.replace("NAME", "a"), other=pod)
    (inner / "notes.txt").write_text("no manifest")
    os.mkfifo(inner / "pipe.yaml")
    single = folder(tmp_path, c=f"{CR.replace('NAME', 'c')}---\n{CR.replace('NAME', 'd')}") / "c.yaml"
    assert call("render", str(single), str(inner)) == 0
    captured = capsys.readouterr()
    services = [one["metadata"]["name"] for one in yaml.safe_load_all(captured.out) if one["kind"] == "Service"]
    assert services == ["c", "d", "a", "b"]
    assert captured.err == f"warning: {inner}/other.yaml: passed over: Pod (v1)\n"
    assert call("render", str(single), str(inner), "-o", "json") == 0
    assert len([one for one in json.loads(capsys.readouterr().out) if one["kind"] == "Service"]) == 4


def test_request_warns_as_render_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"
    file = folder(tmp_path, a=CR.replace("NAME", "a") + f"---\n{pod}") / "a.yaml"
    assert call("request", str(file)) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["parent"]["metadata"]["name"] == "a"
    assert captured.err == f"warning: {file}: document 2: passed over: Pod (v1)\n"


def test_render_names_the_document_that_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ESO_BODY_CONTAINS", "false")
    probed = CR.replace("NAME", "b").replace("ips:", "readinessProbe: {httpGet: {port: 1, bodyContains: x}}, ips:")
    file = folder(tmp_path, a=CR.replace("NAME", "a") + f"---\n{probed}") / "a.yaml"
    assert call("render", str(file)) == 2
    assert capsys.readouterr().err == f"external-service render: {file}: document 2: {NO_BODY_CONTAINS}\n"


def test_render_reads_the_standard_input_and_warns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = CR.replace("port: 80", "port: 80, prot: 81").replace("10.0.0.1", "127.0.0.1")
    monkeypatch.setattr(sys, "stdin", io.StringIO(given.replace("NAME", "a")))
    assert call("render", "-", "-o", "json") == 0
    captured = capsys.readouterr()
    (line,) = unknown_fields({"kind": KIND, "spec": {"prot": 81}})
    assert captured.err == f"warning: -: {line}\n"
    assert json.loads(captured.out)[1]["subsets"][0]["addresses"] == [{"ip": "127.0.0.1"}]


def test_render_names_the_problems_of_all_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = CR.replace("NAME", "a").replace("port: 80", "port: 0, minReady: -1")
    folder(tmp_path, a=bad, b="").joinpath("c.json").write_bytes(b"\xff\xfe")
    with (tmp_path / "d.yaml").open("wb") as large:
        large.truncate(LARGEST_FILE + 1)
    (tmp_path / "e.yaml").symlink_to("nowhere")
    assert call("render", str(tmp_path), str(tmp_path / "b.yaml"), str(tmp_path / "none.yaml")) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        f"external-service render: {tmp_path}/{line}"
        for line in (
            f"a.yaml: spec.port: {PORT_NUMBER} (got 0)",
            f"a.yaml: spec.minReady: {NUMBER_OR_SHARE} (got -1)",
            "c.json: this is not text in UTF-8",
            "d.yaml: it has more than 33554432 characters",
            "e.yaml: No such file or directory",
            f"b.yaml: {NOTHING}",
            "none.yaml: No such file or directory",
        )
    ]


def test_render_of_an_empty_folder_is_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("render", str(tmp_path)) == 2
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_input_and_output_are_utf8_in_any_locale(encoding: str) -> None:
    given = CR.replace("NAME", "a, annotations: {note: größe 😀}")
    command = [sys.executable, "-m", "cli", "request", "-"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, cwd=ROOT, env=environment, input=given.encode(), capture_output=True, check=True)
    assert json.loads(done.stdout)["parent"]["metadata"]["annotations"] == {"note": "größe 😀"}


@pytest.mark.parametrize(
    ("redirected", "status"),
    [
        ("render - <&-", 2),
        ("render CR >&-", 0),
        ("render CR >/dev/full", 1),
        ("render CR | true", 1),
        ("chekc 2>&-", 2),
    ],
)
def test_closed_streams_end_without_a_traceback(redirected: str, status: int, tmp_path: Path) -> None:
    """The manifest is larger than a pipe's buffer."""
    text = "---\n".join(CR.replace("NAME", f"a{number}") for number in range(80))
    file = folder(tmp_path, cr=text) / "cr.yaml"
    script = f'{sys.executable} -m cli {redirected.replace("CR", str(file))}; exit "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr, "Exception" in done.stderr) == (status, False, False)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("completion", shell) == 0
    assert "_EXTERNAL_SERVICE_COMPLETE" in capsys.readouterr().out


def installed(name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command as it is installed: the wheel's entry points call `main` of a script with this name."""
    code = f"import sys; sys.argv[0] = '/usr/bin/{name}'; from cli.__main__ import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_kubectl_plugin_help_shows_its_own_name() -> None:
    assert installed("kubectl-extsvc", "--help").stdout.startswith("Usage: kubectl extsvc ")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("re",), ["render", "request", ":4"]),
        (("check", "-o", ""), ["table", "json", ":4"]),
        (("render", ""), [":0"]),  # files, by the shell
    ],
)
def test_kubectl_plugin_offers_completions(
    words: tuple[str, ...], offered: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-extsvc", *words])
    assert complete_for_kubectl() == 0
    assert [line.partition("\t")[0] for line in capsys.readouterr().out.splitlines()] == offered


def test_errors_are_red_on_a_terminal_only() -> None:
    leader, follower = pty.openpty()
    try:
        command = [sys.executable, "-m", "cli", "render", "no/such.yaml"]
        subprocess.run(command, cwd=ROOT, stderr=follower, stdout=follower, timeout=60, check=False)
        coloured = os.read(leader, 4_096).decode()
    finally:
        os.close(leader)
        os.close(follower)
    plain = installed("external-service", "render", "no/such.yaml")
    assert "\x1b[31m" in coloured
    assert (plain.returncode, plain.stderr) == (
        2,
        "external-service render: no/such.yaml: No such file or directory\n",
    )


def test_hook_command_does_not_import_the_prober() -> None:
    code = (
        "import sys; from cli.__main__ import external_service; external_service.get_command(None, 'hook'); "
        "print(*sorted({name.partition('.')[0] for name in sys.modules} & {'probe_sidecar', 'yaml', 'httpx', 'rich'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
