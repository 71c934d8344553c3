/**
 * Writes the code cache of a built program beside it: `node script/lib/code-cache.cjs FILE [COMMAND-LINE ...]`. What was called by then
 * is in the cache, so a program with a `main` is run with each of the command lines (JSON arrays), which should end before they do anything.
 */
const { rmSync, writeFileSync } = require("node:fs");
const { compile } = require("./start.cjs");

const [file, ...lines] = process.argv.slice(2);
rmSync(`${file}.cache`, { force: true });
const { script, run } = compile(file);

(async () => {
  const program = run();
  for (const line of lines) await program.main(JSON.parse(line));
  process.exitCode = 0;
  writeFileSync(`${file}.cache`, script.createCachedData());
})();
