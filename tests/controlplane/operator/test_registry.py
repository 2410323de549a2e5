"""Which Prometheus a plan may name: those that the operator was given, and addresses only by its permission."""

import re
from pathlib import Path

import pytest

from canary.errors import BadInput, Unavailable
from canary.spec.names import PROMETHEUS
from controlplane.adapters.bounded_http import BoundedHttp
from controlplane.adapters.dial_policy import Reach
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.operator.registry import RegisteredPrometheus, Registry, checked_selector, registry_in
from tests.controlplane.adapters.pages import PageServer

OWN = "http://prometheus.monitoring:9090"
NAMED = {
    "everybodys": RegisteredPrometheus(url="https://mimir.example.com/prometheus", selector='cluster="eu-1"'),
    "team-a": RegisteredPrometheus(url="http://team-a:9090", namespaces=("a", "b"), tokenFile=Path("/etc/token")),
}
INTERNAL = [
    "http://169.254.169.254",
    "http://2852039166",
    "http://[::ffff:169.254.169.254]",
    "http://localhost:6443",
    "http://10.0.0.1:9090",
    "http://kubernetes.default.svc",
    "https://prometheus.example.com",
]


def test_a_plan_that_names_none_has_the_operators_own() -> None:
    assert Registry.of(OWN).find("chat", "a", None).url == OWN
    with pytest.raises(BadInput, match="nobody says where Prometheus answers"):
        Registry.of(None).find("chat", "a", None)


def test_a_name_means_its_entry_with_its_own_selector_and_token_for_its_namespaces_alone() -> None:
    registry = Registry.of(OWN, named=NAMED)
    found = registry.find("chat", "a", "team-a")
    assert (found.url, found.access.bearer_file, found.trusted) == ("http://team-a:9090", Path("/etc/token"), True)
    assert registry.find("chat", "c", "everybodys").labels.selector == 'cluster="eu-1"'
    for asked in ("team-a", "http://team-a:9090", "nobodys"):
        with pytest.raises(BadInput, match="name one of everybodys"):
            registry.find("chat", "c", asked)


def test_an_address_that_the_operator_was_given_is_as_good_as_its_name() -> None:
    """Plans that wrote where the cluster's Prometheus is go on as they are."""
    registry = Registry.of(OWN, named=NAMED)
    assert registry.find("chat", "a", f"{OWN}/").name == registry.find("chat", "a", None).name
    assert registry.find("chat", "b", "http://team-a:9090/") == registry.find("chat", "b", "team-a")


@pytest.mark.parametrize("address", INTERNAL)
def test_s4_an_address_in_a_plan_is_refused_by_default(address: str) -> None:
    with pytest.raises(BadInput, match="this operator asks only those that it was given"):
        Registry.of(OWN, named=NAMED).find("chat", "a", address)


@pytest.mark.parametrize("address", INTERNAL)
@pytest.mark.parametrize("addresses", ["public", "private"])
async def test_s4_an_allowed_address_is_shown_nothing_and_dialled_only_where_it_may_lead(
    address: str, addresses: str
) -> None:
    registry = Registry.of(OWN, named=NAMED, addresses=addresses)  # type: ignore[arg-type]  # one of the three words
    if addresses == "public" and address.startswith("http:"):
        with pytest.raises(BadInput, match="only https://"):
            registry.find("chat", "a", address)
        return
    found = registry.find("chat", "a", address)
    assert (found.trusted, found.access.bearer_file, dict(found.access.headers)) == (False, None, {})
    assert found.reach == Reach(private=addresses == "private", loopback=False)


@pytest.mark.parametrize("address", [*INTERNAL[:4], "http://127.0.0.1:9090", "http://[::1]:9090", "http://0.0.0.0"])
async def test_s4_metadata_and_the_operators_own_machine_are_never_dialled(address: str) -> None:
    """Whatever permission there is."""
    found = Registry.of(OWN, addresses="private").find("chat", "a", address)
    api = PrometheusApi(found.url, seconds=5, http=BoundedHttp(reach=found.reach), trusted=found.trusted)
    with pytest.raises(Unavailable, match=r"never dialled|leads back to this machine|not one of a server"):
        await api.query("up")
    await api.close()


async def test_s4_the_address_that_was_checked_is_dialled_and_the_name_not_looked_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that means something else the second time."""

    async def addresses(self: Reach, host: str, port: int) -> list[object]:
        assert (host, port) == ("prometheus.example", int(server.address.rpartition(":")[2]))
        return ["127.0.0.1"]

    monkeypatch.setattr(Reach, "addresses", addresses)
    async with PageServer() as server:
        server.put("/api/v1/query", '{"status":"success","data":{"resultType":"vector","result":[]}}')
        url = f"http://prometheus.example:{server.address.rpartition(':')[2]}"
        api = PrometheusApi(url, seconds=5, http=BoundedHttp(reach=Reach()))
        assert await api.query("up") == []
        assert server.asked[0].headers["host"] == url.removeprefix("http://")
        await api.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"REFLECTED"}', 403),
        ('{"AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"REFLECTED"}', 200),
        ('{"status":"error","errorType":"REFLECTED","error":"REFLECTED"}', 400),
        ('{"status":"success","warnings":["REFLECTED"],"data":{"resultType":"vector","result":[]}}', 200),
        ('{"status":"REFLECTED","data":"REFLECTED"}', 200),
        ("REFLECTED", 500),
    ],
)
async def test_s4_no_word_of_an_answer_of_a_plans_address_is_repeated(body: str, status: int) -> None:
    async with PageServer() as server:
        for path in ("/api/v1/query", "/api/v1/label/__name__/values"):
            server.put(path, body, status=status)
        api = PrometheusApi(server.url(""), seconds=5, trusted=False)
        for ask in (api.query, api.newest, api.counters, lambda _: api.values("__name__")):
            with pytest.raises(Exception, match="Prometheus") as caught:
                await ask("up")
            assert "REFLECTED" not in str(caught.value)
            assert "ASIA" not in str(caught.value)
        await api.close()


@pytest.mark.parametrize(
    "text",
    [
        "http://user:pw@h/",
        "http://h/admin/delete?x=",
        "http://h/latest/meta-data#b",
        "http://h?x",
        "http://h/../x",
        "http://h/./x",
        "http://h/%2e%2e/x",
        "http://h\\@evil",
        "http://[::ffff:1.2.3.4]:x",
        "ftp://h",
        "file:///etc/passwd",
        "//h",
        "Name",
        "a b",
    ],
)
def test_s4_userinfo_queries_fragments_and_paths_that_lead_elsewhere_are_no_address(text: str) -> None:
    from canary.spec.models import KServePlatform

    with pytest.raises(ValueError, match=r"expected the name|expected an address"):
        KServePlatform.model_validate({"prometheus": text})


@pytest.mark.parametrize("text", ["team-a", "http://prometheus.monitoring.svc:9090/prometheus/", "https://[::1]/x"])
def test_plain_addresses_and_names_are(text: str) -> None:
    assert re.fullmatch(PROMETHEUS.strip("^$"), text)


def test_a_file_names_them(tmp_path: Path) -> None:
    file = tmp_path / "registry.yaml"
    file.write_text(
        "team-a: {url: 'http://a:9090', namespaces: [a], selector: 'x=\"1\"', tokenFile: /t, headers: {X: y}}"
    )
    entry = registry_in(file)["team-a"]
    assert (entry.url, entry.namespaces, entry.selector) == ("http://a:9090", ("a",), 'x="1"')
    assert (entry.token_file, entry.headers) == (Path("/t"), {"X": "y"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: {}", r"a\.url"),
        ("a: {url: 7}", r"a\.url"),
        ("a: {url: 'http://a', tokne: x}", "tokne"),
        ("A: {url: 'http://a'}", "expected a name"),
        ("a: {url: 'file:///x'}", "an http"),
        ("a: {url: 'http://a', selector: 'x=1'}", "a list of label matchers"),
        ("[", "is not YAML"),
        ("- a", "registry.yaml"),
    ],
)
def test_a_file_that_cannot_be_used_is_said(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "registry.yaml"
    file.write_text(text)
    with pytest.raises(BadInput, match=says):
        registry_in(file)


@pytest.mark.parametrize("text", ["", 'a="b"', 'a="b", c=~"d|e",f!~"\\"g}"', 'a != "x"'])
def test_a_selector_is_a_list_of_matchers(text: str) -> None:
    assert checked_selector(text) == text


@pytest.mark.parametrize("text", ['a="b"} or vector(1) #', "a", 'a="b', '="b"', 'a="b",', 'a="b"\nor'])
def test_s5_a_selector_that_would_end_the_question_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="list of label matchers"):
        checked_selector(text)
