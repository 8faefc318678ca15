// Which functions a search means, and how much of the whole they are.
import type { Flame } from "./api";

export const escapeRegex = (text: string) => text.replace(/[\\^$*+?.()|[\]{}]/g, "\\$&");

/** Names that match: a regular expression, or plain text if it is not one. Lower case ignores case. */
export function matching(names: string[], query: string): Set<string> | undefined {
  if (!query) return undefined;
  const flags = /[A-Z]/.test(query) ? "" : "i";
  let pattern: RegExp;
  try {
    pattern = new RegExp(query, flags);
  } catch {
    pattern = new RegExp(escapeRegex(query), flags);
  }
  return new Set(names.filter((name) => pattern.test(name)));
}

/** Share of the total under matching frames; a match inside a match counts once. */
export function matchedShare(flame: Flame, matched: Set<string> | undefined): number {
  if (!matched) return 0;
  const hits = flame.names.map((name) => matched.has(name));
  let sum = 0;
  let inside = Infinity;
  for (let node = 0; node < flame.level.length; node++) {
    if (flame.level[node] > inside) continue;
    inside = Infinity;
    if (hits[flame.label[node]]) {
      sum += flame.value[node];
      inside = flame.level[node];
    }
  }
  return sum / (flame.value[0] || 1);
}
