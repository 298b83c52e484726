"""Who may ask the hook: whoever sends a token that stands in a file. Everybody else learns nothing.

Each line of the file is a token, so that a new one can be let in before the old one goes (Metacontroller reads its own
only once). The file is looked at with each request: rotation needs no restart.
"""

import hmac
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from app.files import Stamp, stamp

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

SHORTEST = 16
"""Characters. A shorter token could be guessed."""

STRANGER = "stranger"
"""Set in the `state` of a request without a token of ours: its connection is not kept."""

UNAUTHORIZED = b'{"error":"unauthorized"}'

logger = logging.getLogger(__name__)


class UnusableTokens(Exception):
    """The file holds no token that could be used; the text says why."""


class Tokens:
    """The tokens of a file. What was read last stays good while the file is away or unusable."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: Stamp = stamp([path])
        self._digests = _read(path)

    def accept(self, authorization: bytes) -> bool:
        """Whether this Authorization header carries one of them. Takes equally long whatever is wrong with it."""
        self._refresh()
        scheme, _, token = authorization.partition(b" ")
        digest = sha256(token.strip()).digest()
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(digest, known)
        return found and scheme.lower() == b"bearer"

    def _refresh(self) -> None:
        now = stamp([self._path])
        if now == self._stamp:
            return
        self._stamp = now
        try:
            self._digests = _read(self._path)
            logger.info("the tokens have been read again")
        except UnusableTokens as problem:
            logger.warning("the tokens stay what they were: %s", problem)


class Bearer:
    """Lets requests with a token pass to `app`, and answers all others 401, whatever they ask for."""

    def __init__(self, app: Application, tokens: Tokens, on_refused: Callable[[], None] = lambda: None) -> None:
        self._app = app
        self._tokens = tokens
        self._on_refused = on_refused

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request."""
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) == 1 and self._tokens.accept(given[0]):
            await self._app(scope, receive, send)
            return
        self._on_refused()
        scope.setdefault("state", {})[STRANGER] = True
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(UNAUTHORIZED)),
            (b"www-authenticate", b"Bearer"),
        ]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else UNAUTHORIZED
        await send({"type": "http.response.body", "body": body})


def _read(path: Path) -> tuple[bytes, ...]:
    try:
        lines = path.read_bytes().split()
    except OSError as error:
        raise UnusableTokens(f"{path}: {error.strerror}") from None
    if not lines:
        raise UnusableTokens(f"{path}: there is no token in it: write one or more, each on a line of its own")
    if min(map(len, lines)) < SHORTEST:
        raise UnusableTokens(f"{path}: a token is shorter than {SHORTEST} characters: write a longer random one")
    return tuple(sha256(line).digest() for line in lines)
