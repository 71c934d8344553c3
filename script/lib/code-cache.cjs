/**
 * Writes the code cache of a built program beside it: `node script/lib/code-cache.cjs FILE [COMMAND-LINE ...]`. What was called by then
 * is in the cache, so a program with a `main` is run with each of the command lines (JSON arrays), which should end by themselves.
 *
 * Started with an IPC channel, as a page server is, it lets the program serve a guest first.
 */
const { renameSync, rmSync, writeFileSync } = require("node:fs");
const { compile } = require("./start.cjs");

/** Milliseconds from a guest's job to where all of serving it was called; it ends later (rehearsal.cjs). */
const serving = 300;

const [file, ...lines] = process.argv.slice(2);
rmSync(`${file}.cache`, { force: true });
const { script, run } = compile(file);

function write() {
  // The process may be killed at any moment.
  writeFileSync(`${file}.cache.new`, script.createCachedData());
  renameSync(`${file}.cache.new`, `${file}.cache`);
}

(async () => {
  const program = run();
  for (const line of lines) await program.main(JSON.parse(line));
  process.exitCode = 0;
  if (process.send === undefined) write();
  else process.on("message", ({ ask }) => ask === "serve" && setTimeout(write, serving));
})();
