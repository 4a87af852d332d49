import assert from "node:assert/strict";
import test from "node:test";
import { hidden, settled } from "../../static/js/references.js";

test("evidence ids are not shown, other colons are", () => {
  assert.equal(hidden("Fell [AAPL:cagr][^GSPC:beta] and (AAPL~KO:correlation, verdict:confidence)."), "Fell and.");
  assert.equal(hidden("Also `macro:gdp_growth` and AAPL:high_52w."), "Also and.");
  const other = "At 10:30, NASDAQ:AAPL, note:this, C:windows, 12:am, 2:1, https://AA:bb/cc_dd";
  assert.equal(hidden(other), other);
});

test("whatever the cuts, no part of an id is shown, and nothing else is lost", () => {
  const text = "It fell 26 % [AAPL:total_return], then rose (KO:cagr; ^GSPC:beta) at 10:30 (or so) by `AAPL:rsi14` a bit [sic].";
  for (const size of [1, 2, 3, 5, 8, 13]) {
    let shown = "";
    let held = "";
    for (let at = 0; at < text.length; at += size) {
      let more;
      [more, held] = settled(held + text.slice(at, at + size));
      shown += more;
      assert.doesNotMatch(shown, /AAPL|total|KO|cagr|GSPC/);
    }
    assert.equal(shown + held, "It fell 26 %, then rose at 10:30 (or so) by a bit [sic].");
  }
});
