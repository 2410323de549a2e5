"""The client against a server that answers whatever a test wants: statuses, delays, torn watches, changing tokens."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from canary.errors import Conflict, ExternalError, Unavailable
from controlplane.kubernetes.api import (
    Exists,
    KubeRequest,
    NotFound,
    Object,
    Rejected,
    ResourceExpired,
    TooManyRequests,
    WatchEvent,
)
from controlplane.kubernetes.client import MOST_BYTES, PAGE, KubeClient
from controlplane.kubernetes.cluster_config import ClusterConfig
from controlplane.kubernetes.resources import CONFIG_MAP, HTTP_ROUTE, MODEL_CANARY, POD, SECRET
from tests.controlplane.adapters.waiting import until
from tests.controlplane.kubernetes.scripted import Collection, Script, done, status


async def refusal(kube: KubeClient) -> ExternalError:
    """What comes of a write."""
    with pytest.raises(ExternalError) as caught:
        await kube.patch(CONFIG_MAP, "models", "settings", {"data": {}})
    return caught.value


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (status(404, 'configmaps "settings" not found', "NotFound"), NotFound),
        (status(409, "already exists", "AlreadyExists"), Exists),
        (status(409, "the object has been modified", "Conflict"), Conflict),
        (status(410, "too old resource version", "Expired"), ResourceExpired),
        (status(422, "spec.x: Invalid value", "Invalid"), Rejected),
        (status(400, 'admission webhook "w" denied the request: no', "BadRequest"), Rejected),
        (status(403, "configmaps is forbidden: exceeded quota", "Forbidden"), Rejected),
        (status(401, "Unauthorized", "Unauthorized"), Unavailable),
        (status(429, "too many requests", "TooManyRequests"), TooManyRequests),
        (status(500, "Internal error occurred: failed calling webhook"), TooManyRequests),
        (status(503, "failed calling webhook"), TooManyRequests),
        (status(500, "etcdserver: leader changed"), Unavailable),
        (status(503, "apiserver not ready"), Unavailable),
        (status(504, "Timeout"), Unavailable),
    ],
)
async def test_r3_each_status_is_its_error_with_the_servers_words(
    script: Script, kube: KubeClient, answer: dict[str, Any], error: type[ExternalError]
) -> None:
    script.says(answer, answer["code"])
    raised = await refusal(kube)
    assert type(raised) is error
    assert answer["message"] in str(raised)
    assert "patch /api/v1/namespaces/models/configmaps/settings" in str(raised)


async def test_a_group_that_the_server_does_not_serve_is_not_found(script: Script, kube: KubeClient) -> None:
    """It answers that in plain text."""
    script.handler = lambda _request: done(web.Response(status=404, text="404 page not found\n"))
    with pytest.raises(NotFound, match="404 page not found"):
        await kube.list(MODEL_CANARY)


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        (status(429, retryAfterSeconds=7), {}, 7.0),
        (status(429), {"Retry_After": "5"}, 5.0),
        (status(429), {"Retry_After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 1.0),
        (status(429), {}, 1.0),
    ],
)
async def test_r3_a_busy_server_says_when_to_come_back(
    script: Script, kube: KubeClient, body: dict[str, Any], headers: dict[str, str], seconds: float
) -> None:
    script.says(body, 429, **headers)
    raised = await refusal(kube)
    assert isinstance(raised, TooManyRequests)
    assert raised.after == seconds


async def test_a_long_complaint_is_cut_and_a_page_of_html_is_one_line(script: Script, kube: KubeClient) -> None:
    script.says(status(422, "x" * 5000), 422)
    assert len(str(await refusal(kube))) < 800
    html = "<html>\n<body>\n502 Bad Gateway</body></html>"
    script.handler = lambda _request: done(web.Response(status=502, text=html))
    assert "\n" not in str(await refusal(kube))


async def test_s14_a_name_that_leads_elsewhere_is_not_sent(script: Script, kube: KubeClient) -> None:
    """An HTTP client makes one address of `a/../b`: what would arrive is another question than was asked."""
    name = "../../victim/secrets/token"
    for asked in (
        kube.get(SECRET, "models", name),
        kube.get(SECRET, name, "token"),
        kube.list(SECRET, name),
        kube.delete(SECRET, "models", name),
        kube.delete(SECRET, "models", ""),
        kube.patch(SECRET, "models", "token", {}, subresource="../../victim"),
        kube.apply(SECRET, {"metadata": {"namespace": "models", "name": name}}),
        kube.create(SECRET, {"metadata": {"namespace": name, "name": "token"}}),
    ):
        with pytest.raises(Rejected, match="cannot be the name of"):
            await asked
    assert script.asked == []


async def test_what_is_in_a_secret_is_in_no_sentence(script: Script, kube: KubeClient) -> None:
    script.says(status(422, 'data: Invalid value: "hunter2"', "Invalid"), 422)
    with pytest.raises(Rejected) as caught:
        await kube.patch(SECRET, "models", "token", {"data": {"password": "hunter2"}})
    assert "hunter2" not in str(caught.value)
    assert "Invalid" in str(caught.value)


async def test_r3_an_answer_that_is_not_json_is_no_answer(script: Script, kube: KubeClient) -> None:
    script.handler = lambda _request: done(web.Response(text="<html>log in</html>", content_type="text/html"))
    with pytest.raises(Unavailable, match="is it an API server"):
        await kube.get(POD, "models", "a")


def an_object(name: str, engine: str = "{}") -> str:
    meta = f'{{"name": "{name}", "namespace": "models", "resourceVersion": "1"}}'
    return f'{{"metadata": {meta}, "spec": {{"canary": {{"engine": {engine}}}}}}}'


DEEP = an_object("deep", '{"a":' * 9_000 + "1" + "}" * 9_000)
"""As deep as an API server takes it."""


async def test_r3_one_object_of_thousands_of_levels_hides_no_other(script: Script, kube: KubeClient) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            lines = (f'{{"type": "ADDED", "object": {each}}}\n' for each in (DEEP, an_object("z")))
            return web.Response(text="".join(lines))
        if request.path.endswith("modelcanaries"):
            items = ",".join((an_object("a"), DEEP, an_object("z")))
            return web.Response(text=f'{{"items": [{items}], "metadata": {{"resourceVersion": "1"}}}}')
        return web.Response(text=DEEP)

    script.handler = answer
    listing = await kube.list(MODEL_CANARY)
    assert [each["metadata"]["name"] for each in listing.items] == ["a", "deep", "z"]
    assert listing.items[0]["spec"] == {"canary": {"engine": {}}}
    watched = [event.object["metadata"]["name"] async for event in kube.watch(MODEL_CANARY, None, "1")]
    assert watched == ["deep", "z"]
    assert (await kube.get(MODEL_CANARY, "models", "deep"))["metadata"]["name"] == "deep"


async def test_a_server_that_is_not_there_is_unavailable(kube: KubeClient) -> None:
    gone = KubeClient(ClusterConfig(Configuration(host="http://127.0.0.1:9")))
    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:9 does not answer"):
        await gone.get(POD, "models", "a")
    await gone.close()


async def test_r3_a_frozen_server_is_unavailable_after_the_timeout(script: Script) -> None:
    """Whether it freezes before its answer or in the middle of it."""
    client = KubeClient(ClusterConfig(Configuration(host=script.url)), timeout=0.2)

    async def never(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        raise AssertionError

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"metadata"')
        return await never(request)

    for script.handler in (never, half):
        for call in (client.get(POD, "models", "a"), client.delete(POD, "models", "a"), client.list(POD)):
            with pytest.raises(Unavailable, match=r"did not answer within 0\.2 s"):
                await call
    script.handler = never
    with pytest.raises(Unavailable, match=r"did not answer within 0\.2 s"):
        await anext(aiter(client.watch(POD, None, "1")))
    await client.close()


async def test_requests_are_as_the_api_documents_them(script: Script, kube: KubeClient) -> None:
    route = {"metadata": {"namespace": "models", "name": "chat"}, "spec": {}}
    path = "/apis/gateway.networking.k8s.io/v1/namespaces/models/httproutes"
    await kube.apply(HTTP_ROUTE, route, force=False)
    await kube.apply(HTTP_ROUTE, route)
    await kube.create(HTTP_ROUTE, route)
    await kube.patch(HTTP_ROUTE, "models", "chat", [{"op": "remove", "path": "/spec"}], subresource="status")
    await kube.patch(HTTP_ROUTE, "models", "chat", {"spec": None})
    await kube.delete(HTTP_ROUTE, "models", "chat", uid="u1")
    assert [asked[:3] for asked in script.asked] == [
        ("PATCH", f"{path}/chat", {"fieldManager": "serinus", "force": "false"}),
        ("PATCH", f"{path}/chat", {"fieldManager": "serinus", "force": "true"}),
        ("POST", path, {"fieldManager": "serinus"}),
        ("PATCH", f"{path}/chat/status", {"fieldManager": "serinus"}),
        ("PATCH", f"{path}/chat", {"fieldManager": "serinus"}),
        ("DELETE", f"{path}/chat", {}),
    ]
    assert [headers["Content-Type"] for headers in script.headers] == [
        "application/apply-patch+yaml",
        "application/apply-patch+yaml",
        "application/json",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/json",
    ]
    bodies = [json.loads(asked[3]) for asked in script.asked]
    assert bodies[0] == bodies[2] == {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", **route}
    assert bodies[5]["propagationPolicy"] == "Background"
    assert bodies[5]["preconditions"] == {"uid": "u1"}
    assert all(headers["User-Agent"].startswith("serinus/") for headers in script.headers)


async def test_requests_are_counted_by_verb_and_resource(script: Script, kube: KubeClient) -> None:
    await kube.get(POD, "models", "a")
    await kube.get(POD, "models", "b")
    await kube.patch(MODEL_CANARY, "models", "chat", {"status": {}}, subresource="status")
    read, written = KubeRequest("get", "", "pods"), KubeRequest("patch", "serinus.dev", "modelcanaries/status")
    assert kube.counts == {read: 2, written: 1}
    assert sum(count for request, count in kube.counts.items() if request.writes) == 1


async def test_a_long_list_is_read_page_by_page(script: Script, kube: KubeClient) -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        number = int(request.query.get("continue") or 0)
        meta = {"resourceVersion": "7", **({"continue": str(number + 1)} if number < 2 else {})}
        return web.json_response({"metadata": meta, "items": [{"metadata": {"name": f"p{number}"}}]})

    script.handler = page
    listing = await kube.list(POD, "models", labels="app in (chat, mail),!x")
    assert [each["metadata"]["name"] for each in listing.items] == ["p0", "p1", "p2"]
    assert {(each["apiVersion"], each["kind"]) for each in listing.items} == {("v1", "Pod")}
    assert listing.version == "7"
    assert {asked[2]["labelSelector"] for asked in script.asked} == {"app in (chat, mail),!x"}
    assert script.asked[0][2]["limit"] == str(PAGE)


async def test_s14_hundreds_of_large_objects_are_listed_in_pages_that_fit(script: Script, kube: KubeClient) -> None:
    """As large as a server takes them, and never more of them at a time than memory for a page; small ones as ever."""
    script.handler = (large := Collection(60, 1_000_000)).answer
    kept: list[int] = []

    def slim(object_: Object) -> Object:
        kept.append(len(object_["spec"]))
        return {"metadata": object_["metadata"]}

    listing = await kube.list(MODEL_CANARY, slim=slim)
    assert [each["metadata"]["name"] for each in listing.items] == [f"p{number:04}" for number in range(60)]
    assert {*map(len, listing.items)} == {1}, "each is slimmed as its page comes"
    assert len(kept) == 60
    # A page that was too large is asked for again, in less; what fits then grows again a little at a time.
    assert large.limits[:3] == [PAGE, PAGE // 4, PAGE // 16]
    assert max(large.limits[4:]) < 2 * MOST_BYTES // 1_000_000 + 8
    script.handler = (small := Collection(60, 100)).answer
    assert len((await kube.list(POD)).items) == 60
    assert small.limits == [PAGE]
    for _ in range(20):
        await kube.list(MODEL_CANARY)
    assert small.limits[-1] >= PAGE, "once they are small again, pages are as long as ever"


async def test_s14_a_page_that_does_not_come_in_time_is_a_smaller_one_the_next_time(script: Script) -> None:
    """So that many slow objects are listed after a few tries, and a server that is away is not asked more often."""
    client = KubeClient(ClusterConfig(Configuration(host=script.url)), timeout=0.3)
    script.handler = (slow := Collection(40, 10, seconds=0.02)).answer
    for _ in range(10):
        try:
            assert len((await client.list(POD)).items) == 40
        except Unavailable as error:
            assert "did not answer within 0.3 s" in str(error)  # noqa: PT017 - some tries fail, and then in these words
        else:
            break
    else:
        raise AssertionError(slow.limits)
    assert slow.limits[0] == PAGE
    await client.close()


async def test_s14_an_answer_without_an_end_is_cut_off(
    script: Script, kube: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one object, of a page of one, and of a line of a watch."""
    for bound in ("LARGEST", "MOST_BYTES"):
        monkeypatch.setattr(f"controlplane.kubernetes.client.{bound}", 10_000)
    script.handler = lambda _request: done(web.Response(text=json.dumps({"spec": "x" * 20_000})))
    for asked in (kube.get(POD, "models", "a"), kube.list(POD)):
        with pytest.raises(Unavailable, match="answers more than"):
            await asked
    with pytest.raises(Unavailable, match="a line of more than"):
        [event async for event in kube.watch(POD, "models", "5")]


async def test_r3_a_list_whose_pages_expire_is_read_in_one_piece(script: Script, kube: KubeClient) -> None:
    async def expiring(request: web.Request) -> web.StreamResponse:
        if "continue" in request.query:
            return web.json_response(status(410, "the provided continue parameter is too old"), status=410)
        more = {"continue": "1"} if "limit" in request.query else {}
        return web.json_response({"metadata": {"resourceVersion": "7", **more}, "items": [{"metadata": {}}]})

    script.handler = expiring
    assert len((await kube.list(POD)).items) == 1


async def streamed(script: Script, kube: KubeClient, *chunks: bytes) -> list[WatchEvent]:
    """The events of a watch whose answer comes in these pieces."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for each in chunks:
            await response.write(each)
            await asyncio.sleep(0.01)
        return response

    script.handler = stream
    return [event async for event in kube.watch(POD, "models", "5", labels="app=chat")]


def line(type_: str, name: str = "a", **more: Any) -> bytes:
    """One event as it is sent."""
    return json.dumps({"type": type_, "object": {"metadata": {"name": name, "resourceVersion": "6"}, **more}}).encode()


async def test_a_watch_asks_for_bookmarks_and_a_random_end(script: Script, kube: KubeClient) -> None:
    await streamed(script, kube)
    query = script.asked[0][2]
    assert 240 <= int(query.pop("timeoutSeconds")) <= 360
    assert query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "5",
        "labelSelector": "app=chat",
    }


async def test_events_are_read_however_they_are_cut(script: Script, kube: KubeClient) -> None:
    """Several in a piece, one in several pieces, one of many megabytes."""
    huge = line("MODIFIED", "c", data="x" * 5_000_000)
    text = line("ADDED", "a") + b"\n" + line("ADDED", "b") + b"\n" + huge + b"\n"
    events = await streamed(script, kube, text[:30], text[30:200], text[200:])
    assert [(event.type, event.object["metadata"]["name"]) for event in events] == [
        ("ADDED", "a"),
        ("ADDED", "b"),
        ("MODIFIED", "c"),
    ]


async def test_a_line_that_is_cut_off_is_no_event(script: Script, kube: KubeClient) -> None:
    whole = line("ADDED", "a") + b"\n"
    assert len(await streamed(script, kube, whole, whole[:20])) == 1


async def test_a_connection_that_breaks_in_mid_line_is_unavailable_after_the_whole_events(
    script: Script, kube: KubeClient
) -> None:
    async def torn(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(line("ADDED", "a") + b"\n" + line("ADDED", "b")[:20])
        assert request.transport is not None
        request.transport.abort()
        return response

    script.handler = torn
    watch = kube.watch(POD, "models", "5")
    assert (await anext(watch)).object["metadata"]["name"] == "a"
    with pytest.raises(Unavailable):
        await anext(watch)


@pytest.mark.parametrize(
    ("code", "error"), [(410, ResourceExpired), (429, TooManyRequests), (500, Unavailable), (403, Rejected)], ids=str
)
async def test_an_error_line_of_a_watch_is_its_error(
    script: Script, kube: KubeClient, code: int, error: type[ExternalError]
) -> None:
    with pytest.raises(error):
        await streamed(script, kube, json.dumps({"type": "ERROR", "object": status(code)}).encode() + b"\n")


async def test_r3_a_silent_watch_is_given_up(script: Script) -> None:
    client = KubeClient(ClusterConfig(Configuration(host=script.url)), silence=0.2)

    async def silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(30)
        return response

    script.handler = silent
    with pytest.raises(Unavailable, match="does not answer"):
        await anext(client.watch(POD, None, "1"))
    await client.close()


async def test_a_watch_that_is_left_closes_its_connection(script: Script, kube: KubeClient) -> None:
    left = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(line("ADDED") + b"\n")
                await asyncio.sleep(0.01)
        finally:
            left.set()

    script.handler = endless
    watch = kube.watch(POD, None, "1")
    await anext(watch)
    await watch.aclose()
    await left.wait()


async def test_urgent_requests_pass_those_that_wait(script: Script) -> None:
    client = KubeClient(ClusterConfig(Configuration(host=script.url)), concurrency=3)
    order: list[str] = []
    free = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        order.append(request.path.rsplit("/", 1)[1])
        await free.wait()
        return web.json_response({})

    script.handler = slow
    async with asyncio.TaskGroup() as tasks:
        for number in range(4):
            tasks.create_task(client.patch(POD, "models", f"routine{number}", {}))
        await until(lambda: len(order) == 1)
        await asyncio.sleep(0.1)
        assert order == ["routine0"]
        for number in range(3):
            tasks.create_task(client.patch(POD, "models", f"urgent{number}", {}, urgent=True))
        await until(lambda: len(order) == 3)
        await asyncio.sleep(0.1)
        assert (order[0], set(order[1:])) == ("routine0", {"urgent0", "urgent1"})
        free.set()
    assert len(order) == 7
    await client.close()
