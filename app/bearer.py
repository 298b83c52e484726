"""Bearer authentication of the webhook with tokens from a file; any other request gets a bare 401.

Each line of the file is a token, so that a new one can be added before the old one is removed (Metacontroller reads its
own only once). The file is checked for changes with each request: rotation needs no restart.
"""

import hmac
from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from fastapi import HTTPException, Request, Security
from fastapi.security import HTTPBearer

from app.files import Reloaded, UnusableFile

SHORTEST = 16
"""Characters. A shorter token could be guessed."""


_SCHEME = HTTPBearer(auto_error=False, description="One of the tokens in ESO_TOKEN_FILE.")


class Tokens:
    """The tokens of a file. The tokens read last stay valid while the file is missing or unusable."""

    def __init__(self, path: Path) -> None:
        self._digests = Reloaded("bearer tokens", [path], partial(_read, path))

    def accept(self, authorization: bytes) -> bool:
        """Whether this Authorization header carries one of them. Takes equally long whatever is wrong with it."""
        scheme, _, token = authorization.partition(b" ")
        digest = sha256(token.strip()).digest()
        found = False
        for accepted in self._digests.value:
            found |= hmac.compare_digest(digest, accepted)
        return found and scheme.lower() == b"bearer"


def bearer(tokens: Tokens) -> Callable[..., Awaitable[None]]:
    """A FastAPI dependency: a request without one of `tokens` gets a bare 401."""

    async def authenticate(request: Request, _: Annotated[object, Security(_SCHEME)]) -> None:
        given = request.headers.getlist("authorization")
        if len(given) == 1 and tokens.accept(given[0].encode("latin-1")):
            return
        raise HTTPException(401, "unauthorized", {"www-authenticate": "Bearer"})

    return authenticate


def _read(path: Path) -> tuple[bytes, ...]:
    try:
        lines = path.read_bytes().split()
    except OSError as error:
        raise UnusableFile(f"{path}: {error.strerror}") from None
    if not lines:
        raise UnusableFile(f"{path}: there is no token in it: write one or more, each on a line of its own")
    if min(map(len, lines)) < SHORTEST:
        raise UnusableFile(f"{path}: a token is shorter than {SHORTEST} characters: write a longer random one")
    return tuple(sha256(line).digest() for line in lines)
