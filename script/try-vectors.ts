/** Runs vectors whose names hold a word (default: all) and tells what is not as their headers say. */
import { makeLarge, makeVectors } from "../test/hostile/all.ts";
import { loadLib } from "../test/hostile/lib.ts";
import { complaints } from "../test/hostile/run.ts";

const lib = await loadLib();
const word = process.argv[2] ?? "";
const made = [...(await makeVectors()), ...makeLarge()].filter(({ vector }) => vector.name.includes(word));
let bad = 0;
for (const { vector } of made) {
  const said = await complaints(lib, vector);
  if (said.length > 0) bad++;
  for (const complaint of said) console.log(`${vector.name}: ${complaint}`);
}
console.log(`${made.length} vectors, ${bad} not as they should be`);
