import assert from "node:assert/strict";
import { test } from "node:test";

import { SSEParser } from "../../static/js/sse-parser.js";

function parse(chunks) {
  const seen = [];
  const parser = new SSEParser({
    onEvent: (event) => seen.push(event),
    onRetry: (milliseconds) => seen.push({ retry: milliseconds }),
    onComment: (comment) => seen.push({ comment }),
  });
  chunks.forEach((chunk) => parser.feed(chunk));
  parser.end();
  return { seen, lastEventId: parser.lastEventId };
}

const event = (data, { event = "message", id = "" } = {}) => ({ event, data, id });

const CASES = {
  "one event": ["data: a\n\n", [event("a")]],
  "a byte order mark at the start": ["\ufeffdata: a\n\n", [event("a")]],
  "only one byte order mark is dropped": ["\ufeff\ufeffdata: a\n\ndata: b\n\n", [event("b")]],
  "a byte order mark later is text": ["data: \ufeffa\n\n", [event("\ufeffa")]],
  "carriage returns": ["event: x\rdata: a\r\rdata: b\r\r", [event("a", { event: "x" }), event("b")]],
  "CRLF": ["id: 1-1\r\ndata: a\r\n\r\ndata: b\r\n\r\n", [event("a", { id: "1-1" }), event("b", { id: "1-1" })]],
  "mixed line ends": ["data: a\r\ndata: b\rdata: c\n\r\n", [event("a\nb\nc")]],
  "LF CR is two line ends": ["data: a\n\rdata: b\n\r", [event("a"), event("b")]],
  "U+2028, U+2029 and U+0085 are text": ["data: a\u2028b\u2029c\u0085d\n\n", [event("a\u2028b\u2029c\u0085d")]],
  "comments": [": hi\n:there\n:  two\n:\ndata: a\n\n", [{ comment: "hi" }, { comment: "there" }, { comment: " two" }, { comment: "" }, event("a")]],
  "several data lines": ["data: a\ndata:b\ndata\n\n", [event("a\nb\n")]],
  "one space after the colon is dropped": ["data:  a\n\ndata:a\n\ndata:\ta\n\n", [event(" a"), event("a"), event("\ta")]],
  "empty data is an event": ["data\n\ndata:\n\ndata: \n\n", [event(""), event(""), event("")]],
  "no data is no event": ["event: x\n\nid: 5\n\ndata: a\n\n", [event("a", { id: "5" })]],
  "the type lasts for one event": ["event: x\ndata: a\n\ndata: b\n\n", [event("a", { event: "x" }), event("b")]],
  "the id lasts": ["id: 1-1\ndata: a\n\ndata: b\n\n", [event("a", { id: "1-1" }), event("b", { id: "1-1" })]],
  "an empty id resets": ["id: 1\ndata: a\n\nid\ndata: b\n\n", [event("a", { id: "1" }), event("b")]],
  "an id with NUL is ignored": ["id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", [event("a", { id: "1" }), event("b", { id: "1" })]],
  "retry takes digits only": ["retry: 250\nretry: 1e3\nretry: -1\nretry:  5\nretry: 5 \nretry:\nretry: \u0665\n\n", [{ retry: 250 }]],
  "unknown fields and wrong case": ["Data: a\n data: a\nfoo: b\ndatax: c\n\ndata: d\n\n", [event("d")]],
  "a colon in the value": ["data: a:b: c\n\n", [event("a:b: c")]],
  "an unterminated event is none": ["data: a\n\ndata: b\nid: 9\n", [event("a")]],
  "an unterminated line is none": ["data: a\n\ndata: b", [event("a")]],
  "astral characters": ["data: 𝄞✓\n\n", [event("𝄞✓")]],
  "nothing": ["", []],
};

for (const [name, [text, expected]] of Object.entries(CASES)) {
  test(`${name}, in one piece`, () => assert.deepEqual(parse([text]).seen, expected));

  test(`${name}, at every cut into two and three and unit by unit`, () => {
    for (let first = 0; first <= text.length; first += 1) {
      assert.deepEqual(parse([text.slice(0, first), text.slice(first)]).seen, expected);
      for (let second = first; second <= text.length; second += 3) {
        assert.deepEqual(parse([text.slice(0, first), text.slice(first, second), text.slice(second)]).seen, expected);
      }
    }
    assert.deepEqual(parse(text.split("")).seen, expected);
  });
}

test("the last id of an unterminated event is not taken", () => {
  assert.equal(parse(["id: 1-4\ndata: a\n\nid: 1-5\ndata: b"]).lastEventId, "1-4");
});

test("an event without data still moves the last id", () => {
  assert.equal(parse(["id: 1-4\n\n"]).lastEventId, "1-4");
});

test("a carriage return dispatches at once, without waiting for what follows", () => {
  const seen = [];
  const parser = new SSEParser({ onEvent: (got) => seen.push(got) });
  parser.feed("data: a\r\r");
  assert.deepEqual(seen, [event("a")]);
  parser.feed("\ndata: b\r\n\r");
  assert.deepEqual(seen, [event("a"), event("b")]);
});

test("a long line in small pieces costs what it is long", () => {
  const cost = (pieces) => {
    const start = process.cpuUsage();
    let got = 0;
    const parser = new SSEParser({ onEvent: ({ data }) => (got += data.length) });
    parser.feed("data: ");
    for (let i = 0; i < pieces; i += 1) parser.feed("0123456789");
    parser.feed("\n\n");
    assert.equal(got, pieces * 10);
    return process.cpuUsage(start).user;
  };
  const best = (pieces) => Math.min(...[1, 2, 3].map(() => cost(pieces)));
  best(20_000);
  assert.ok(best(200_000) < 40 * Math.max(best(20_000), 2000));
});
