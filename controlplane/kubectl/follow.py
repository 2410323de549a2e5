"""One ModelCanary, again and again as it changes: what `get -w`, `status --wait` and every request stand on.

Survives whatever happens to a watch; decides nothing about what it sees.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

from canary.errors import BadInput, ExternalError, Unavailable
from controlplane.kubectl.session import KubectlSession
from controlplane.kubernetes.api import NotFound, Object, Rejected, ResourceExpired
from controlplane.kubernetes.resources import MODEL_CANARY

PAUSE = 1.0
"""Seconds between two tries while the server does not answer; also how often is asked where nobody may watch."""


async def follow(
    session: KubectlSession, object_: Object, say: Callable[[str], None] = lambda _sentence: None
) -> AsyncGenerator[Object, None]:
    """The object, then each of its states, until the caller has enough. Raises `BadInput` once it is deleted.

    `say` hears when the server stops answering, and when it is back.
    """
    meta = object_["metadata"]
    uid, version, quiet = meta["uid"], meta["resourceVersion"], True
    yield object_
    while True:
        try:
            async with aclosing(_watched(session, object_, version)) as states:
                async for state in states:
                    version = state["metadata"]["resourceVersion"]
                    yield state
        except (ResourceExpired, Rejected):
            await asyncio.sleep(PAUSE)
        except Unavailable as error:
            if quiet:
                say(f"{error}. It is tried again.")
            quiet = False
            await asyncio.sleep(PAUSE)
        with suppress(Unavailable):
            state = await _present(session, object_, uid)
            if not quiet:
                say("The API server answers again.")
            quiet = True
            if state["metadata"]["resourceVersion"] != version:
                version = state["metadata"]["resourceVersion"]
                yield state


async def _watched(session: KubectlSession, object_: Object, version: str) -> AsyncGenerator[Object, None]:
    """Newer states until the watch ends. The watch is the namespace's: a name alone cannot be followed everywhere."""
    meta = object_["metadata"]
    events = session.kube.watch(MODEL_CANARY, meta["namespace"], version)
    try:
        async for event in events:
            if event.type == "BOOKMARK" or event.object["metadata"]["name"] != meta["name"]:
                continue
            if event.type == "DELETED":
                raise BadInput(f"ModelCanary {meta['name']} was deleted.")
            yield event.object
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()


async def _present(session: KubectlSession, object_: Object, uid: str) -> Object:
    meta = object_["metadata"]
    try:
        state = await session.kube.get(MODEL_CANARY, meta["namespace"], meta["name"])
    except NotFound:
        raise BadInput(f"ModelCanary {meta['name']} was deleted.") from None
    except Unavailable:
        raise
    except ExternalError as error:
        raise BadInput(str(error)) from error
    if state["metadata"]["uid"] != uid:
        raise BadInput(f"ModelCanary {meta['name']} was deleted and made anew; ask again.")
    return state
