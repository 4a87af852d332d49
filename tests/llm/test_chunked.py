import pytest

from services.llm.chunked import ChunkedDecoder, ChunkedError

BODY = b"5\r\nhello\r\n1;name=value\r\n,\r\nA\r\n\r\nworld\r\n!\r\n0\r\nTrailer: x\r\n\r\n"


def decode(*pieces: bytes) -> tuple[bytes, bool]:
    decoder = ChunkedDecoder()
    body = b"".join(map(decoder.feed, pieces))
    if decoder.broken:
        raise decoder.broken
    return body, decoder.done


def test_every_split_gives_the_same_body():
    for first in range(len(BODY) + 1):
        for second in range(first, len(BODY) + 1):
            assert decode(BODY[:first], BODY[first:second], BODY[second:]) == (b"hello,\r\nworld\r\n!", True)


def test_byte_by_byte():
    assert decode(*(BODY[at : at + 1] for at in range(len(BODY)))) == (b"hello,\r\nworld\r\n!", True)


def test_whole_chunks_in_one_read_end_with_the_last_chunk():
    assert decode(b"3\r\nabc\r\n3\r\ndef\r\n") == (b"abcdef", False)
    assert decode(b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n") == (b"abcdef", True)
    assert decode(b"3\r\nabc\r\n", b"0\r\n\r\n") == (b"abc", True)


def test_a_chunk_that_only_looks_like_two_is_one():
    assert decode(b"C\r\nabc\r\n2\r\nxy\r\n\r\n1\r\nz\r\n") == (b"abc\r\n2\r\nxy\r\nz", False)


def test_what_follows_the_end_is_noticed_and_not_given_out():
    decoder = ChunkedDecoder()
    assert decoder.feed(b"1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK") == b"a"
    assert decoder.done and decoder.excess


@pytest.mark.parametrize(
    "broken", [b"zz\r\n", b"\r\n", b"-1\r\na\r\n", b"0x5\r\nhello\r\n", b"5_0\r\n", b"2\r\nabc\r\n", b"11111111111111111\r\n", b"1" * 5000, b"0\r\n" + b"a: b\r\n" * 4000]
)
def test_broken_framing_is_refused_however_it_is_split(broken):
    with pytest.raises(ChunkedError):
        decode(broken)
    with pytest.raises(ChunkedError):
        decode(*(broken[at : at + 7] for at in range(0, len(broken), 7)))


@pytest.mark.parametrize("size", [1, 3, 100])
def test_what_came_before_broken_framing_is_given_out(size):
    data, decoder, body = b"3\r\nabc\r\n2\r\nde\r\nzz\r\n", ChunkedDecoder(), b""
    for at in range(0, len(data), size):
        body += decoder.feed(data[at : at + size]) if at < 17 else b""
    assert body == b"abcde"
