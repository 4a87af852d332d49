"""What a reader has on the screen, folded from events."""

from services.replay import replay


def token(content, **fields):
    return {"type": "token", "content": content} | fields


def switch(discard_from):
    return {"type": "provider_switch", "discardFrom": discard_from, "from": "a", "to": "b"}


def block(index, html, end):
    return {"type": "block", "index": index, "html": html, "end": end}


def test_tokens_are_joined_and_reasoning_is_kept_apart():
    answer = replay([token("hm", channel="reasoning"), token("a"), token("b"), token("!", channel="reasoning")])
    assert (answer.text, answer.reasoning) == ("ab", "hm!")


def test_nothing_is_nothing():
    answer = replay([])
    assert (answer.text, answer.reasoning, answer.html, answer.provider) == ("", "", "", None)


def test_provider_and_model_are_the_last_ones_named():
    answer = replay([token("a", metadata={"provider": "x", "model": "1"}), token("b"), token("c", metadata={"provider": "y", "model": "2"})])
    assert (answer.provider, answer.model) == ("y", "2")


def test_a_switch_cuts_the_text_at_a_code_point_and_forgets_reasoning():
    answer = replay([token("🙂é", channel="reasoning"), token("🙂🙂"), token("é"), switch(2), token("!")])
    assert (answer.text, answer.reasoning) == ("🙂🙂!", "")
    assert len(answer.switches) == 1


def test_a_switch_to_the_beginning_leaves_nothing_of_before():
    answer = replay([token("abc"), block(0, "<p>abc</p>", 3), switch(0), token("d")])
    assert (answer.text, answer.blocks) == ("d", [])


def test_blocks_within_what_is_kept_stay_and_the_others_go():
    answer = replay([token("a\n\nb\n\nc"), block(0, "A", 3), block(1, "B", 6), switch(5)])
    assert answer.html == "A"


def test_a_block_that_comes_again_replaces_the_former_and_all_after_it():
    answer = replay([block(0, "A", 3), block(1, "B", 6), switch(6), block(0, "A2", 4)])
    assert answer.html == "A2"


def test_events_that_are_not_text_change_nothing():
    assert replay([{"type": "chat_started"}, token("a"), {"type": "workflow_update"}, {"type": "chat_completed"}]).text == "a"


def test_ten_thousand_tokens_fold_in_linear_time():
    assert len(replay(token("word ") for _ in range(50_000)).text) == 250_000
