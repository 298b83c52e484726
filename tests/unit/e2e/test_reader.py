"""tests/e2e/reader.py: no command of a page is left out by whoever is said to type it."""

from pathlib import Path

import pytest

from tests.e2e.reader import Reader

PAGE = """
```sh
kubectl get a    # first
make test
helm install a
kubectl get b
```

```
$ kubectl get c
shown
```
"""


@pytest.fixture
def page(tmp_path: Path) -> str:
    file = tmp_path / "page.md"
    file.write_text(PAGE)
    return str(file)


def test_each_command_for_a_cluster_is_taken_in_its_order(page: str) -> None:
    reader = Reader(page)
    assert list(reader.until("kubectl get c")) == ["kubectl get a", "kubectl get b"]
    assert reader.take("kubectl get c") == "kubectl get c"
    reader.finish()
    assert Reader(page, helm=True).take() == "helm install a"


def test_one_that_is_left_out_is_named(page: str) -> None:
    reader = Reader(page)
    reader.take()
    with pytest.raises(AssertionError, match="kubectl get b"):
        reader.finish()


def test_one_that_is_not_next_is_not_taken(page: str) -> None:
    with pytest.raises(AssertionError, match="there is 'kubectl get a'"):
        Reader(page).take("kubectl get b")
    with pytest.raises(AssertionError, match="no more commands"):
        list(Reader(page).until("kubectl get d"))
