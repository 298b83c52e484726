"""The commands that a page tells its readers to type: the lines of its `sh` blocks, and those after a "$" elsewhere.

Each is run by a test: here (HERE), by something else of this project (ELSEWHERE), or, like all the rest and unchanged,
on a real control plane (`for_a_cluster`), by the test of tests/e2e that is marked with the page.
"""

import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "external-service-operator" / "README.md"
PAGES = (ROOT / "README.md", CHART, *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"\s+# .*$")
PROMPT = "$ "
MENTION = re.compile(r"`(kubectl [^`]+)`")
PROMISE = re.compile(r"tests/e2e/test_\w+\.py")

HERE = frozenset(
    {
        "make playground",
        'make playground ARGS="my.yaml --output plain"',
        'make playground ARGS="--duration 20 --output json"',
        "external-service hook --host 127.0.0.1 --port 8080",
        "curl -sS -d @app/samples/sync/new-object.json http://127.0.0.1:8080/sync",
        "curl -sS -d @app/samples/sync/one-address-dead.json http://127.0.0.1:8080/sync",
        "curl -sS -d @app/samples/sync/fail-open.json http://127.0.0.1:8080/sync",
        "curl -sS -i -d @app/samples/sync/unknown-field.json http://127.0.0.1:8080/sync",
        "curl -sS -i -d @app/samples/sync/refused.json http://127.0.0.1:8080/sync",
        "external-service request CR.yaml | curl -sS -d @- http://127.0.0.1:8080/sync",
        "curl -sS http://127.0.0.1:8080/openapi.json",
        "external-service render CR.yaml",
        "external-service check CR.yaml",
    }
)

# command: (the file that runs it or its like, what the file must contain)
ELSEWHERE = {
    "make test": (".ci/run", "step test make test"),
    "make sbom": (".ci/run", "step sbom make sbom"),
    "make bench-short": (".ci/nightly", "step bench make bench-short"),
    'make bench ARGS="http tcp --repeat 5"': (".ci/nightly", "make bench-short"),  # the same program with other rows
    # Of ours alone, and by `make bench-short`, where there is valgrind.
    ".venv/bin/python -m bench.instructions --peers ours floor": ("bench/__main__.py", '"bench.instructions"'),
    ".venv/bin/python -m bench.neighbour --check": (".ci/nightly", "-m bench.neighbour --check"),
    ".venv/bin/python -m bench.loop transition": (".ci/nightly", "-m bench.loop transition"),
    ".venv/bin/python -m tests.e2e.controlplane bash": (".ci/nightly", "-m tests.e2e.controlplane"),
    ".venv/bin/python -m tests.e2e.controlplane .venv/bin/pytest -m e2e tests/e2e/test_10_events.py": (
        ".ci/nightly",
        "-m tests.e2e.controlplane",
    ),
    # No engine runs in our tests: the public CI runs it on kind.
    # Metacontroller is installed from its own repository, which no test reaches.
    'kubectl apply --server-side -k "https://github.com/metacontroller/metacontroller/manifests/production?ref=v4.17.2"': (  # noqa: E501 - a command as it is in the documents
        "hack/kind/up",
        "metacontroller/manifests/production?ref=v4.17.2",
    ),
    "make kind": ("tests/kind/healthy-endpoint", "hack/kind/up"),
    # No engine runs in our tests: the same Dockerfile is built by buildah there, by docker in the public CI.
    'docker build -t "$IMAGE" .': ("tests/image/build.py", "Dockerfile"),
    # It waits for its Pod, and no kubelet runs in our tests: there that Pod is run as its manifest says.
    "helm test external-service-operator --namespace external-service-operator": (
        "tests/e2e/test_61_chart.py",
        "helm_test(",
    ),
}
MENTIONED_BY_NAME = frozenset(
    {
        "kubectl apply",
        "kubectl apply -k",
        "kubectl auth can-i",
        "kubectl extsvc",
        "kubectl extsvc status",
        "kubectl extsvc status shop/static",
        "kubectl edit",
        "kubectl get externalservices -w",
        "kubectl patch",
        "kubectl proxy",
        "kubectl get",
        "kubectl port-forward",
        "kubectl -n external-service-operator port-forward deployment/external-service-operator 8081",
    }
)
"""Which command is meant, but not what to type; and one that never ends."""


def commands(page: Path) -> list[str]:
    """In the order of the page."""
    return [command for kind, block in blocks(page.read_text()) for command in _commands(kind, block)]


def for_a_cluster(page: Path, *, helm: bool = False) -> list[str]:
    """Commands that only the page's test on a control plane runs: those of helm, or all others."""
    return [one for one in commands(page) if not run_otherwise(one) and one.startswith("helm ") is helm]


def run_otherwise(command: str) -> bool:
    """Whether another test or step is known to run it."""
    return command in HERE or command in ELSEWHERE or PROMISE.search(command) is not None


def mentioned() -> list[str]:
    """Commands of kubectl in the sentences of all pages, each once; NAME is that of an ExternalService."""
    found = (one for page in PAGES for one in MENTION.findall(page.read_text()))
    return [one for one in dict.fromkeys(found) if one not in MENTIONED_BY_NAME]


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language and text of each fenced block."""
    for indent, kind, block in BLOCK.findall(text):
        yield kind, textwrap.dedent(block) if indent else block


def readme_block(text: str) -> str:
    """The first code block of README that contains `text`."""
    return next(block for _, block in blocks((ROOT / "README.md").read_text()) if text in block)


def _commands(kind: str, block: str) -> Iterator[str]:
    if kind == "sh":
        yield from _whole(block.splitlines())
    else:
        yield from (line.removeprefix(PROMPT) for line in block.splitlines() if line.startswith(PROMPT))


def _whole(lines: list[str]) -> Iterator[str]:
    """Lines joined until the shell takes them for complete."""
    begun = ""
    for line in lines:
        begun = f"{begun}\n{line}" if begun else COMMENT.sub("", line)
        if begun and not begun.startswith("#") and _complete(begun):
            yield begun
            begun = ""
        begun = "" if begun.startswith("#") else begun
    assert not begun, f"the shell does not take this for complete: {begun}"


def _complete(text: str) -> bool:
    parsed = subprocess.run(["bash", "-n"], input=text + "\n", capture_output=True, text=True, check=False)
    return parsed.returncode == 0 and not parsed.stderr and not text.endswith("\\")
