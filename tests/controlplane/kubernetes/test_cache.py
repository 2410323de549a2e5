"""What the cache believes, and what it tells its listeners."""

import pytest

from controlplane.kubernetes.api import Object
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import POD

Told = list[tuple[str | None, str | None]]


def a_pod(name: str, version: str, uid: str = "u") -> Object:
    return {"metadata": {"namespace": "models", "name": name, "resourceVersion": version, "uid": uid}}


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def cache(told: Told) -> Cache:
    def version(object_: Object | None) -> str | None:
        return None if object_ is None else str(object_["metadata"]["resourceVersion"])

    cache = Cache(POD)
    cache.on_change(lambda before, after: told.append((version(before), version(after))))
    return cache


def test_a_newer_state_replaces_an_older_one_and_never_the_other_way(cache: Cache, told: Told) -> None:
    """Versions are numbers: 10 is newer than 9."""
    for version in ("9", "10", "9", "10"):
        cache.put(a_pod("a", version))
    assert told == [(None, "9"), ("9", "10")]


def test_a_list_is_the_truth_even_if_its_versions_are_smaller(cache: Cache, told: Told) -> None:
    """As after a restore of the server's store."""
    cache.put(a_pod("a", "100"))
    cache.replace([a_pod("a", "7")])
    cache.put(a_pod("a", "8"))
    assert told == [(None, "100"), ("100", "7"), ("7", "8")]


def test_a_list_tells_only_what_is_new(cache: Cache, told: Told) -> None:
    cache.replace([a_pod("a", "1"), a_pod("b", "2")])
    told.clear()
    cache.replace([a_pod("b", "2"), a_pod("c", "3")])
    assert told == [("1", None), (None, "3")]


def test_an_object_of_the_same_version_but_another_identity_is_another(cache: Cache, told: Told) -> None:
    cache.replace([a_pod("a", "1", uid="u1")])
    cache.replace([a_pod("a", "1", uid="u2")])
    assert told == [(None, "1"), ("1", "1")]


def test_it_is_synced_by_a_list_and_not_by_single_objects(cache: Cache) -> None:
    cache.put(a_pod("a", "1"))
    assert not cache.synced
    cache.replace([])
    assert (cache.synced, len(cache)) == (True, 0)


def test_listeners_may_read_and_change_the_cache_while_they_are_told() -> None:
    cache = Cache(POD)
    cache.replace([a_pod("a", "1"), a_pod("b", "1")])
    for each in cache.items("models"):
        cache.drop(("models", each["metadata"]["name"]))
    assert len(cache) == 0
    cache.drop(("models", "never there"))
    assert cache.get("models", "a") is None


def test_s14_a_listener_that_fails_at_one_object_ends_nobody(told: Told) -> None:
    """Whoever fills the cache goes on, every other listener hears of every change, and the bug is said."""
    said: list[str] = []
    cache = Cache(POD)
    cache.complain = said.append

    def fails(_before: Object | None, after: Object | None) -> None:
        if after is not None and after["metadata"]["name"] == "bad":
            raise RecursionError("too deep")

    heard: list[str] = []
    cache.on_change(fails)
    cache.on_change(lambda before, after: heard.append((after or before or {})["metadata"]["name"]))
    cache.replace([a_pod("a", "1"), a_pod("bad", "2"), a_pod("z", "3")])
    cache.put(a_pod("bad", "4"))
    cache.put(a_pod("z", "5"))
    assert heard == ["a", "bad", "z", "bad", "z"]
    assert cache.synced
    assert len(said) == 2
    assert said[0] == (
        "A bug of ours at a change of Pod models/bad, please report it: RecursionError('too deep'). "
        "Everything else goes on."
    )


def large(name: str, version: str, size: int = 400_000, namespace: str = "models") -> Object:
    meta = {"namespace": namespace, "name": name, "resourceVersion": version, "uid": name}
    return {"metadata": meta, "spec": {"text": "x" * size}}


@pytest.mark.parametrize("listed", [True, False])
def test_s14_one_namespace_takes_no_more_memory_than_it_may(listed: bool) -> None:
    """Whether its objects come by a list or by a watch; those of others are kept whole, and all of them by name."""
    said: list[str] = []
    cache = Cache(POD, most=1_000_000)
    cache.complain = said.append
    objects = [large(f"p{number:02}", "1") for number in range(20)] + [large("z", "1", namespace="other")]
    if listed:
        cache.replace(objects)
    else:
        for each in objects:
            cache.put(each)
    whole = [each["metadata"]["name"] for each in cache.items() if "spec" in each]
    assert whole == ["p00", "p01", "z"]
    assert len(cache) == 21
    assert cache.is_omitted(("models", "p02"))
    [sentence] = said
    assert sentence.startswith(
        "The pods of namespace models take more memory than one namespace may have (0 MiB): of p02,"
    )


def test_s14_what_had_no_room_is_taken_whole_once_there_is_some() -> None:
    cache = Cache(POD, most=1_000_000)
    cache.complain = lambda _: None
    for name in ("a", "b", "c"):
        cache.put(large(name, "1"))
    assert not cache.may_have(("models", "c"))
    cache.put(large("c", "1"))
    assert cache.is_omitted(("models", "c")), "nothing has changed yet"
    cache.drop(("models", "a"))
    assert cache.may_have(("models", "c"))
    heard: list[str] = []
    cache.on_change(lambda _before, after: heard.append((after or {})["metadata"]["name"]))
    cache.put(large("c", "1"))
    assert heard == ["c"]
    assert "spec" in (cache.get("models", "c") or {})
    cache.put(large("b", "2", size=10))
    cache.lighten(("models", "c"), lambda object_: {"metadata": object_["metadata"]})
    cache.put(large("d", "1", size=900_000))
    assert "spec" in (cache.get("models", "d") or {})


def test_a_list_that_was_begun_again_counts_each_object_once() -> None:
    """Where its first pages had expired."""
    cache = Cache(POD, most=1_000_000)
    intake = cache.intake()
    for _ in range(5):
        kept = [intake(large(name, "1")) for name in ("a", "b")]
    cache.replace(kept, intake)
    assert all("spec" in each for each in cache.items())
    assert not cache.allowance.fits("models", 400_000)
    cache.replace([])
    assert cache.allowance.fits("models", 1_000_000)
