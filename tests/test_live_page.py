"""services/live_page.py: a stream as HTML that is never taken back."""

from services.live_page import KEEP_ALIVE, live_page


def block(index: int, text: str, end: int) -> dict:
    return {"type": "block", "index": index, "html": f"<p>{text}</p>", "end": end}


def page(*events: dict | None) -> str:
    return b"".join(live_page(events)).decode()


def test_blocks_come_as_they_close_and_heartbeats_as_line_breaks() -> None:
    pieces = list(live_page([{"type": "chat_started"}, None, {"type": "token", "content": "a"}, block(0, "a", 2)]))
    assert pieces == [b'<div class="attempt">', KEEP_ALIVE, b'<div class="block"><p>a</p></div>\n', b"</div>"]


def test_a_switch_begins_a_new_attempt_with_what_still_counts() -> None:
    switch = {"type": "provider_switch", "discardFrom": 5, "message": "a <b> stopped"}
    attempts = page(block(0, "kept", 5), block(1, "lost", 9), switch, block(1, "new", 9)).split('<div class="attempt">')[1:]
    assert len(attempts) == 2
    assert "kept" in attempts[0] and "lost" in attempts[0]
    assert "kept" in attempts[1] and "new" in attempts[1] and "lost" not in attempts[1]
    assert "a &lt;b&gt; stopped" in attempts[1]


def test_a_block_that_comes_again_replaces_the_old_one() -> None:
    attempts = page(block(0, "one", 4), block(1, "half", 8), block(1, "whole", 12)).split('<div class="attempt">')[1:]
    assert len(attempts) == 2 and "half" not in attempts[1] and "one" in attempts[1] and "whole" in attempts[1]


def test_every_box_that_opens_is_closed() -> None:
    html = page(block(0, "a", 1), {"type": "provider_switch", "discardFrom": 0, "message": "x"}, block(0, "b", 1))
    assert html.count("<div") == html.count("</div>")
