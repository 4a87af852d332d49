"""Ids sort by creation, which the tree of a conversation relies on."""

from services.store.models import is_id, new_id


def test_ids_made_one_after_another_sort_in_that_order():
    made = [new_id() for _ in range(5_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_an_id_looks_like_one():
    assert is_id(new_id())
    for odd in ("", "\0" * 26, "i" * 26, "A" * 26, new_id()[:-1], new_id() + "0", new_id() + "\n"):
        assert not is_id(odd)
