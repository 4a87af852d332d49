// How long to wait before trying again: exponential, with full jitter, so that a thousand clients cut off together do
// not come back together.

export const LONGEST_WAIT = 30_000;

// `failures` counts from 1; `base` is the server's `retry:` or our default; `random` gives 0…1.
export function delay(failures, base, random = Math.random) {
  const ceiling = Math.min(LONGEST_WAIT, base * 2 ** Math.min(failures - 1, 16));
  return Math.round(random() * ceiling);
}

// Milliseconds that a Retry-After header asks for (seconds or a date), or null.
export function retryAfter(header, now = Date.now()) {
  if (!header) return null;
  if (/^\s*\d+(\.\d+)?\s*$/.test(header)) return Math.ceil(Number(header) * 1000);
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}
