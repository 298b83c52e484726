"""Kubeconfig files of one cluster and one user."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def kubeconfig_file(file: Path, cluster: Mapping[str, Any], user: Mapping[str, str]) -> Path:
    """Writes the file, which only its owner can read; `cluster` and `user` are those sections."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": dict(cluster)}],
        "users": [{"name": "e2e", "user": dict(user)}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e"}}],
        "current-context": "e2e",
    }
    file.touch(mode=0o600)
    file.write_text(json.dumps(content, indent=2))
    return file
