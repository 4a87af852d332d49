// Event ids are pairs "<attempt>-<seq>" and compare as pairs.

export function parseId(text) {
  const match = /^(\d{1,15})-(\d{1,15})$/.exec(text ?? "");
  return match ? [Number(match[1]), Number(match[2])] : null;
}

export function isAfter(id, last) {
  return !last || id[0] > last[0] || (id[0] === last[0] && id[1] > last[1]);
}

// Whether `id` may directly follow `last`: the next of its attempt, or the start of a later one.
export function follows(id, last) {
  return id[0] === (last?.[0] ?? id[0]) ? id[1] === (last?.[1] ?? 0) + 1 : id[1] === 1;
}
