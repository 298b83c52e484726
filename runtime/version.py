"""Which version this is; the same as in pyproject.toml, which the image does not hold."""

VERSION = "0.1.0"
