// Tells where V8 sees each call: by its stack trace, and by its heap profiler, which is told apart
// by a function that is made for each.
const seen = [];
// What is no longer there is in no profile.
const kept = [];

export function note(tag) {
  const prepare = Error.prepareStackTrace;
  Error.prepareStackTrace = (_, sites) => sites[1];
  const site = new Error().stack;
  Error.prepareStackTrace = prepare;
  seen.push({ tag, call: [site.getLineNumber(), site.getColumnNumber()] });
  const leaf = `return function leaf_${tag}(kept) { kept.push("x".repeat(9999), new Array(9999).fill(1)); }`;
  new Function(leaf)()(kept);
}

globalThis.observed = { seen, kept };
