/** Files made to take memory or time without end: refused, or read, in a bounded amount of both. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { makeLarge } from "./all.ts";
import { loadLib } from "./lib.ts";
import { complaints } from "./run.ts";

test("every large vector does what its header says", async () => {
  const lib = await loadLib();
  const said: string[] = [];
  for (const { vector } of makeLarge())
    for (const complaint of await complaints(lib, vector)) said.push(`${vector.name}: ${complaint}`);
  expect(said).toEqual([]);
}, 300_000);

/** MiB that opening one may take: several of them took gigabytes once. */
const most = 300;

test.each(["blocks", "dirty-records", "vmdesc-lists", "commands"])(
  "%s takes little memory",
  async (name) => {
    const program = join(import.meta.dirname, "memory.ts");
    const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", program, `large/${name}`]);
    const { before, peak } = JSON.parse(stdout) as { before: number; peak: number };
    expect(peak - before).toBeLessThan(most);
  },
  120_000,
);
