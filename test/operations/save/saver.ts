/**
 * A saver that only notes what it would change and starts its guard, in a process of its own that a test can kill.
 * argv: the journal's fields as JSON; `early`: the note is not written yet. Prints the guard's pid; on a line on stdin it ends as a
 * save does.
 */
import { readFileSync } from "node:fs";
import { guardSave, startGuard } from "../../../src/operations/save/guarded.ts";
import { journalPath } from "../../../src/operations/save/journal.ts";
import { startTimeOf } from "../../../src/qemu/process.ts";

const journal = JSON.parse(process.argv[2] ?? "");
const saver = { pid: process.pid, startTime: startTimeOf(process.pid) ?? 0 };
const guard = startGuard(journal.qmp);
if (process.argv[3] === "early") {
  await guard.ready;
  console.log(guard.process.pid);
  await new Promise(() => setInterval(() => {}, 1000));
}
const guarded = await guardSave({ ...journal, saver }, guard);
guarded.note({ partial: journal.partial });
console.log(JSON.parse(readFileSync(journalPath(journal.qmp), "utf8")).guardPid);
process.stdin.once("data", async () => {
  await guarded.done();
  process.exit(0);
});
