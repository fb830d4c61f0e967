"""A request's upload, from the network into the spool."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio.to_thread

from hpo_engine.errors import SpecError
from hpo_engine.service.intake.kinds import kind_of
from hpo_engine.service.intake.limits import Limits
from hpo_engine.service.intake.multipart import Body, boundary_of, too_large
from hpo_engine.text.quoting import quoted

if TYPE_CHECKING:
    from fastapi import Request

    from hpo_engine.service.desk.values import Model
    from hpo_engine.service.intake.spool import Spool

_AT_ONCE = 256 << 10  # bytes that go to the disk together


@dataclass(frozen=True)
class Upload:
    """`texts`: by the name of their parts, in the order in which they came. `model`: None if there is none."""

    texts: Mapping[str, Sequence[str]]
    model: Model | None = None

    def text(self, name: str = "data") -> str:
        """The one text of that name: WMLA's clients send some of them twice, as a field and as a part.

        Raises:
            SpecError: there is none, or there are two that differ.
        """
        found = dict.fromkeys(text for text in self.texts.get(name, ()) if text.strip())
        if len(found) != 1:
            raise SpecError(
                f"the body has {'several different' if found else 'no'} parts {quoted(name)}; one is needed"
            )
        return next(iter(found))


@asynccontextmanager
async def received(
    request: Request, spool: Spool, *, texts: Collection[str] = ("data",), limits: Limits | None = None
) -> AsyncIterator[Upload]:
    """The parts of a multipart request; use it as `async with received(request, spool) as upload:`.

    The model's file is gone when the block is left, unless it was renamed meanwhile; it has not been synchronised with
    the disk.

    Args:
        texts: names of parts that are texts; any other part is the model.

    Raises:
        SpecError: the body is not as it should be. TooLarge.
    """
    limits = limits or Limits()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise SpecError(f"Content-Encoding {quoted(encoding)} is not supported; a model may be a tar.gz")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limits.body:
        raise too_large(limits)
    body = Body(boundary_of(request.headers.get("content-type")), texts, spool, limits)
    try:
        waiting = bytearray()
        async for chunk in request.stream():
            waiting += chunk
            if len(waiting) >= _AT_ONCE:
                await anyio.to_thread.run_sync(body.feed, bytes(waiting))
                waiting.clear()
        yield await anyio.to_thread.run_sync(_finished, body, bytes(waiting))
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(body.discard)


def _finished(body: Body, rest: bytes) -> Upload:
    from hpo_engine.service.desk.values import Model  # here, as the desk imports this wing

    body.feed(rest)
    body.close()
    model = None
    if (file := body.model) is not None:
        model = Model(kind_of(file.head), file.path, body.filename, file.size)
    return Upload(body.texts, model)
