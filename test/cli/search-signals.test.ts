/** Ctrl-C of search and strings, as processes of their own: what was found stands. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { batch, configuration, meta, ramStart, tail } from "../fixedram/sample.ts";

const folder = mkdtempSync(join(tmpdir(), "fixedram-signals-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, "a.fram");
const child = fileURLToPath(new URL("search-child.ts", import.meta.url));
const chunkPages = 4096;

/** 80 MiB: five jobs, all of them text; the second has a trap in its middle. */
beforeAll(async () => {
  const pages = 5 * chunkPages;
  const writer = new FixedRamWriter(TargetFile.create(file), configuration(), ramStart(["pc.ram", pages]));
  const [ram] = writer.blocks;
  if (ram === undefined) throw new Error("no block");
  const chunk = Buffer.alloc(chunkPages * 4096);
  for (let at = 0; at < chunk.length; at += 64) chunk.write("a line of the text that fills this\n", at);
  for (let first = 0; first < pages; first += chunkPages) {
    if (first === 0) chunk.write("the first~");
    if (first === chunkPages) chunk.write("a trap~", chunk.length / 2);
    const { pages: indices, offsets } = batch(
      ram,
      Array.from({ length: chunkPages }, (_, i): [number, number] => [first + i, 1]),
    );
    for (let i = 0; i < chunkPages; i++) offsets[i] = i * 4096;
    writer.writePages({ block: ram, count: chunkPages, pages: indices, offsets, chunk });
  }
  writer.tail(tail());
  await writer.finish(meta);
});

function start(...args: readonly string[]): ChildProcessByStdio<null, Readable, Readable> {
  return spawn(process.execPath, ["--import", "tsx", child, ...args], { stdio: ["ignore", "pipe", "pipe"] });
}

test("an expression that never ends: the hits before it stand, and the end is told", async () => {
  // The first job gives its hit; in the second the expression fails in every possible way.
  const search = start("search", file, "the first~|a trap~(?=(.*)*\\x01)", "--regex", "--map", "0+80M=pc.ram");
  const [stdout, stderr] = [text(search.stdout), text(search.stderr)];
  const exited = once(search, "exit");
  await once(search.stdout, "readable");
  search.kill("SIGINT");
  expect(await exited).toEqual([130, null]);
  const lines = (await stdout).split("\n");
  expect(lines[0]).toMatch(/^0x0000_0000 {2}pc\.ram\+0x0000_0000 {2}.*the first~/);
  expect(lines.slice(1)).toEqual([""]);
  expect(await stderr).toContain("the search was ended; there may be more");
}, 60_000);

test("strings: whole lines as far as it came", async () => {
  const strings = start("strings", file, "--min", "4", "--map", "0+80M=pc.ram");
  const stderr = text(strings.stderr);
  const exited = once(strings, "exit");
  await once(strings.stdout, "readable");
  // The pipe is full, it waits for us; then it has its signal before it can go on.
  strings.kill("SIGINT");
  const lines = (await text(strings.stdout)).split("\n");
  expect(await exited).toEqual([130, null]);
  expect(lines.at(-1)).toBe("");
  expect(lines.length).toBeGreaterThan(5);
  // 64 bytes a line, from the first on, none left out.
  for (const [i, line] of lines.slice(0, -1).entries())
    expect(Number(line.split("  ")[0]?.replace("_", ""))).toBe(i * 64);
  expect(lines.length).toBeLessThan((80 * 2 ** 20) / 64);
  expect(await stderr).toContain("the search was ended; there may be more");
}, 60_000);
