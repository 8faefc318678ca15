// Runs a script and prints where V8 saw it: `node observe.mjs FILE`. Lines and columns from 1.
import { Session } from "node:inspector/promises";
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";

const session = new Session();
session.connect();
await session.post("HeapProfiler.startSampling", { samplingInterval: 64 });
await import(pathToFileURL(resolve(process.argv[2])));
await globalThis.finished;
const { profile } = await session.post("HeapProfiler.stopSampling");

const begins = {};
const walk = (node, above) => {
  const { functionName } = node.callFrame;
  // Above it is `note`, and above that who called.
  if (functionName.startsWith("leaf_")) begins[functionName.slice(5)] = above[1];
  node.children.forEach((child) => walk(child, [node.callFrame, ...above]));
};
walk(profile.head, []);

const found = {};
for (const { tag, call } of globalThis.observed.seen) {
  const { functionName, lineNumber, columnNumber, url } = begins[tag];
  const file = url.split("/").pop();
  found[tag] = { file, name: functionName, begin: [lineNumber + 1, columnNumber + 1], call };
}
const lines = Object.entries(found).map(([tag, at]) => `  ${JSON.stringify(tag)}: ${JSON.stringify(at)}`);
console.log(`{\n${lines.join(",\n")}\n}`);
