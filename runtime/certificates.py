"""The end of a certificate's validity, read from its DER (RFC 5280, 4.1), which Python does for verified ones only."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_FORMATS: Final = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}
_BEFORE_VALIDITY: Final = 3
"""serialNumber, signature and issuer."""


@lru_cache(maxsize=256)
def not_after(der: bytes) -> float | None:
    """`notAfter` in Unix seconds; None for what is no certificate."""
    try:
        body = _enter(_enter(der, _SEQUENCE), _SEQUENCE)
        if body[0] == _VERSION:
            body = _element(body)[2]
        for _ in range(_BEFORE_VALIDITY):
            body = _element(body)[2]
        _, _, rest = _element(_enter(body, _SEQUENCE))
        tag, text, _ = _element(rest)
        return datetime.strptime(text.decode("ascii"), _FORMATS[tag]).replace(tzinfo=UTC).timestamp()
    except (ValueError, IndexError, KeyError):
        return None


def _enter(data: bytes, wanted: int) -> bytes:
    tag, content, _ = _element(data)
    if tag != wanted:
        raise ValueError
    return content


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag, content and what follows. Raises ValueError or IndexError for what is cut short."""
    start, length = 2, data[1]
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    if start + length > len(data):
        raise ValueError
    return data[0], data[start : start + length], data[start + length :]
