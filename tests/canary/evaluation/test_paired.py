"""All criteria of an evaluation at once, over units in a fixed order."""

from canary.evaluation.criterion import Pair
from canary.evaluation.item import Item
from canary.evaluation.paired import PairedTest, design_of, order_of
from canary.spec.criterion import criterion
from canary.verdict import GateAnswer

ITEMS = [Item(f"i{number}", (), group=None if number % 2 else f"g{number // 10}") for number in range(100)]


def test_the_order_is_mixed_and_always_the_same() -> None:
    units = order_of(ITEMS)
    turned = order_of(ITEMS[::-1])
    assert [{item.id for item in unit} for unit in units] == [{item.id for item in unit} for unit in turned]
    assert sorted(item.id for unit in units for item in unit) == sorted(item.id for item in ITEMS)
    assert {len(unit) for unit in units} == {1, 5}
    asked = [int(unit[0].id[1:]) for unit in units]
    assert asked != sorted(asked)


def test_a_group_named_like_an_item_is_no_part_of_it() -> None:
    assert len(order_of([Item("a", ()), Item("b", (), group="a")])) == 2


def test_one_failed_criterion_ends_it_and_all_have_to_pass() -> None:
    criteria = [criterion("exact >= stable"), criterion("json >= 10%")]
    test = PairedTest(criteria, design_of(order_of([Item(str(i), ()) for i in range(200)]), 2))
    while not test.decided:
        test.add([{"exact": Pair(0.0, 1.0), "json": Pair(1.0)}])
    verdict = test.verdict()
    assert verdict.verdict is GateAnswer.FAIL
    assert [each.verdict for each in verdict.criteria] == [GateAnswer.FAIL, GateAnswer.PASS]
    assert verdict.criteria[0].n < 20


def test_criteria_share_the_chance_of_a_false_block() -> None:
    assert design_of(order_of(ITEMS), 4).alpha == 0.0025


def test_what_has_no_answers_waits_and_says_why() -> None:
    test = PairedTest([criterion("exact >= stable")], design_of(order_of(ITEMS), 1))
    test.add([{"exact": Pair(1.0, 1.0)}])
    verdict = test.verdict("canary does not answer.")
    assert verdict.verdict is GateAnswer.WAIT
    assert verdict.criteria[0].why.startswith("canary does not answer. So far exact did not move")


def test_the_smallest_drop_of_all_is_that_of_the_weakest_comparison() -> None:
    test = PairedTest([criterion("json >= 10%")], design_of(order_of(ITEMS), 1))
    assert test.verdict().smallest_drop is None
