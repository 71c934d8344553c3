/** Opens each of the large vectors in a process of its own and tells how much memory that took at most: JSON, MiB by name. */
import { readFileSync } from "node:fs";
import { makeLarge } from "./all.ts";
import { loadLib } from "./lib.ts";
import { storeOf } from "./run.ts";

const lib = await loadLib();
const name = process.argv[2];
const made = makeLarge().find(({ vector }) => vector.name === name);
if (made === undefined) throw new Error(`no vector ${name}`);
const before = process.memoryUsage.rss();
let peak = 0;
const timer = setInterval(() => {
  peak = Math.max(peak, process.memoryUsage.rss());
}, 5);
let code = "ok";
try {
  await (await lib.openSnapshot(storeOf(made.vector.bytes))).close();
} catch (error) {
  code = (error as { code?: string }).code ?? String(error);
}
clearInterval(timer);
// Of this program alone: what getrusage tells has in it what the process that started us used.
peak = Math.max(peak, Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1]) * 1024);
console.log(
  JSON.stringify({
    code,
    size: made.vector.bytes.length,
    before: Math.round(before / 2 ** 20),
    peak: Math.round(peak / 2 ** 20),
  }),
);
