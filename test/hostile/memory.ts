/** Opens each of the large vectors in a process of its own and tells how much memory that took at most: JSON, MiB by name. */
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
peak = Math.max(peak, process.memoryUsage.rss(), process.resourceUsage().maxRSS * 1024);
console.log(
  JSON.stringify({
    code,
    size: made.vector.bytes.length,
    before: Math.round(before / 2 ** 20),
    peak: Math.round(peak / 2 ** 20),
  }),
);
