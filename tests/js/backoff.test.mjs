import assert from "node:assert/strict";
import { test } from "node:test";

import { delay, LONGEST_WAIT, retryAfter } from "../../static/js/backoff.js";
import { follows, isAfter, parseId } from "../../static/js/event-id.js";
import { codePoints, unitIndex } from "../../static/js/text.js";

test("the wait doubles from the server's retry, within full jitter and a cap", () => {
  assert.deepEqual([1, 2, 3].map((failures) => delay(failures, 500, () => 1)), [500, 1000, 2000]);
  assert.equal(delay(4, 500, () => 0), 0);
  assert.equal(delay(5000, 500, () => 1), LONGEST_WAIT);
});

test("Retry-After is seconds or a date", () => {
  assert.equal(retryAfter("3"), 3000);
  assert.equal(retryAfter("0.5"), 500);
  assert.equal(retryAfter("Thu, 01 Jan 1970 00:00:10 GMT", 4000), 6000);
  assert.equal(retryAfter("Thu, 01 Jan 1970 00:00:10 GMT", 40_000), 0);
  assert.equal(retryAfter("soon"), null);
  assert.equal(retryAfter(null), null);
});

test("ids compare as pairs", () => {
  assert.ok(isAfter(parseId("1-10"), parseId("1-9")));
  assert.ok(isAfter(parseId("2-1"), parseId("1-900")));
  assert.ok(!isAfter(parseId("1-9"), parseId("1-9")));
  assert.ok(isAfter(parseId("1-1"), null));
  for (const garbage of ["", "1", "a-b", "1-2-3", "-1-2", "1-2\0", null]) assert.equal(parseId(garbage), null);
});

test("an id follows the one before it, or begins a later attempt", () => {
  assert.ok(follows([1, 1], null) && follows([1, 8], [1, 7]) && follows([2, 1], [1, 7]));
  assert.ok(!follows([1, 2], null) && !follows([1, 9], [1, 7]) && !follows([2, 2], [1, 7]));
});

test("offsets count code points", () => {
  assert.equal(codePoints("a𝄞b"), 3);
  assert.equal(unitIndex("a𝄞b", 2), 3);
  assert.equal(unitIndex("abc", 2), 2);
  assert.equal(unitIndex("abc", 9), 3);
  assert.equal(unitIndex("𝄞𝄞", 9), 4);
  assert.equal(unitIndex("𝄞", -1), 0);
});
