// Offsets on the wire count Unicode code points; JavaScript strings count UTF-16 units.

const SURROGATE = /[\ud800-\udbff]/;

export function codePoints(text) {
  if (!SURROGATE.test(text)) return text.length;
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

// The index in UTF-16 units of code point `offset`.
export function unitIndex(text, offset) {
  if (offset <= 0) return 0;
  if (!SURROGATE.test(text)) return Math.min(offset, text.length);
  let index = 0;
  for (const point of text) {
    if (offset-- <= 0) break;
    index += point.length;
  }
  return index;
}
