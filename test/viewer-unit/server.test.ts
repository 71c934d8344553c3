/** The API over real HTTP, on a small snapshot that is known page by page. */
import * as fs from "node:fs";
import { get } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { gridOf, tileCells } from "../../src/viewer/shared/grid.ts";
import type { ViewSnapshot } from "../../src/viewer/shared/protocol.ts";
import { type Viewer, view } from "../../src/viewer/view.ts";
import { batch, configuration, meta, ramStart, tail } from "../fixedram/sample.ts";

const folder = fs.mkdtempSync(join(tmpdir(), "fixedram-viewer-"));
const file = join(folder, "guest.fram");
let viewer: Viewer;

beforeAll(async () => {
  const writer = new FixedRamWriter(
    TargetFile.create(file),
    configuration(),
    ramStart(["pc.ram", 1500], ["\x1b[2J<b>", 5]),
  );
  const [ram, rom] = writer.blocks;
  if (ram === undefined || rom === undefined) throw new Error("no block");
  writer.writePages(
    batch(
      ram,
      Array.from({ length: 600 }, (_, i): [number, number] => [i + 100, (i % 250) + 1]),
    ),
  );
  writer.writePages(batch(rom, [[2, 0x41]]));
  writer.tail(tail());
  const memoryMap = [{ start: 0, length: 1500 * 4096, block: "pc.ram", offset: 0 }];
  await writer.finish({ ...meta, memoryMap, machine: "<img src=x>\u202e" });
  viewer = await view({ file });
});
afterAll(async () => {
  await viewer.close();
  fs.rmSync(folder, { recursive: true, force: true });
});

const bytes = async (path: string) => new Uint8Array(await (await fetch(viewer.url + path)).arrayBuffer());

test("tells what is small about the file, names escaped", async () => {
  const said = (await (await fetch(`${viewer.url}api/snapshot`)).json()) as ViewSnapshot;
  expect(said).toMatchObject({ other: null, live: null });
  expect(said.file).toMatchObject({ path: file, container: "fixed-ram", ram: 1505 * 4096, seal: { state: "sealed" } });
  expect(said.file.blocks).toMatchObject([
    { name: "pc.ram", label: "pc.ram", pages: 1500, present: 600, absent: 0 },
    { label: "\\x1b[2J<b>", pages: 5, present: 1 },
  ]);
  expect(said.file.memory?.ranges).toEqual([{ start: 0, length: 1500 * 4096, block: 0, offset: 0, readOnly: false }]);
});

test("tiles hold shares, layer by layer, and classes", async () => {
  const { width } = gridOf(1500, "rows");
  const tile = await bytes("api/tile?block=0&order=rows&level=0&x=0&y=0&layers=data,damaged");
  expect(tile.length).toBe(2 * tileCells);
  const cell = (page: number) => Math.floor(page / width) * 256 + (page % width);
  expect([99, 100, 699, 700].map((page) => tile[cell(page)])).toEqual([0, 255, 255, 0]);
  expect(tile.subarray(tileCells).every((byte) => byte === 0)).toBe(true);
  const classes = await bytes("api/tile?block=1&order=rows&level=0&x=0&y=0&layers=entropy");
  expect([...classes.subarray(0, 3)]).toEqual([1, 1, 2]);
});

test("pages come with their kinds", async () => {
  const answer = await bytes("api/pages?block=0&first=99&count=2");
  expect([...answer.subarray(0, 2)]).toEqual([0, 1]);
  expect(answer.subarray(2, 2 + 4096).every((byte) => byte === 0)).toBe(true);
  expect(answer.subarray(2 + 4096).every((byte) => byte === 1)).toBe(true);
});

/** Events of an answer that comes in pieces, by name. */
async function events(path: string): Promise<readonly (readonly [string, unknown])[]> {
  const text = await (await fetch(viewer.url + path)).text();
  return [...text.matchAll(/event: (.*)\ndata: (.*)\n\n/g)].map(([, name = "", data = ""]) => [name, JSON.parse(data)]);
}

test("a search tells hits with what stands around them, a thousand at most", async () => {
  const told = await events("api/search?pattern=ab%20ab%200?&as=hex");
  expect(told.filter(([name]) => name === "hits")).toEqual([]);
  expect(told.at(-1)).toMatchObject(["result", { hits: 0, more: false, searched: 601 * 4096, total: 601 * 4096 }]);
  // From the last byte of the page that is full of 5s to the first of the next.
  const some = (await events("api/search?pattern=0506&as=hex")).find(([name]) => name === "hits")?.[1];
  const bytes = "05".repeat(17) + "06".repeat(49);
  const places = [104, 354, 604].map((page) => (page + 1) * 4096 - 1);
  expect(some).toEqual(
    places.map((offset) => ({ block: 0, label: "pc.ram", offset, length: 2, physical: offset, bytes, before: 16 })),
  );
  const many = await events("api/search?pattern=a&ignore-case=1");
  expect(many.at(-1)).toMatchObject(["result", { hits: 1000, more: true }]);
  expect(many.flatMap(([name, data]) => (name === "hits" ? (data as unknown[]) : [])).length).toBe(1000);
});

test.each([
  ["api/search?pattern=", "usage.bad-pattern"],
  ["api/search?pattern=((&as=regex", "usage.bad-pattern"],
  ["api/search?pattern=0&as=hex", "usage.bad-pattern"],
])("%s is refused on the way", async (path, code) => {
  const [last] = await events(path);
  expect(last).toMatchObject(["failed", { code, hint: expect.any(String) as string }]);
});

test.each([
  "api/search?pattern=a&as=soundex",
  `api/search?pattern=${"a".repeat(13_000)}`,
  "api/tile?block=9&order=rows&level=0&x=0&y=0&layers=data",
  "api/tile?block=0&order=spiral&level=0&x=0&y=0&layers=data",
  "api/tile?block=0&order=rows&level=-1&x=0&y=0&layers=data",
  "api/tile?block=0&order=rows&level=0&x=0&y=0&layers=data,secrets",
  "api/pages?block=0&first=1500&count=1",
  "api/pages?block=0&first=0&count=257",
  "api/pages?block=0&first=0x10&count=1",
  "api/pages?block=0&first=0&count=1&side=1",
])("a wrong question is answered with what is wrong: %s", async (path) => {
  const response = await fetch(viewer.url + path);
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ code: expect.stringMatching(/^usage\./) });
});

test("tiles outside are empty, nothing else is served", async () => {
  const tile = await bytes("api/tile?block=0&order=hilbert&level=0&x=5000&y=7&layers=data,absent,entropy");
  expect(tile.every((byte) => byte === 0)).toBe(true);
  for (const path of ["../", "api/constructor", "__proto__", "server/http.js", "app.js.map"])
    expect((await fetch(viewer.url + path)).status).toBeGreaterThanOrEqual(400);
});

test("a ticket leads to the page once, and for this host alone", async () => {
  const ticket = viewer.ticket();
  const first = await fetch(ticket, { redirect: "manual" });
  expect([first.status, first.headers.get("location")]).toEqual([303, new URL(viewer.url).pathname]);
  const again = await fetch(ticket, { redirect: "manual" });
  expect([again.status, again.headers.get("location")]).toEqual([403, null]);

  const { port, pathname } = new URL(viewer.ticket());
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const asked = { port, path: pathname, headers: { host: `evil.example:${port}` } };
    get({ host: "127.0.0.1", ...asked }, (response) => resolve(response.resume().statusCode)).on("error", reject);
  });
  expect(status).toBe(403);
});

test("every answer forbids what comes from elsewhere", async () => {
  for (const path of ["", "api/snapshot", "nothing"]) {
    const { headers } = await fetch(viewer.url + path);
    expect(headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(headers.get("cross-origin-resource-policy")).toBe("same-origin");
    expect(headers.get("cache-control")).toBe("no-store");
  }
});

test("a check tells how far it is and marks what is damaged", async () => {
  const read = async () => await (await fetch(`${viewer.url}api/check?deep=1`)).text();
  expect(await read()).toContain('event: result\ndata: {"ok":true,"deep":true,"state":"sealed"');
  const { file: known } = (await (await fetch(`${viewer.url}api/snapshot`)).json()) as ViewSnapshot;
  const fd = fs.openSync(file, "r+");
  fs.writeSync(fd, Uint8Array.of(0xff), 0, 1, (known.blocks[0]?.pagesOffset ?? 0) + 150 * 4096);
  expect(await read()).toContain('"page":150');
  const tile = await bytes("api/tile?block=0&order=rows&level=0&x=0&y=0&layers=damaged");
  expect(tile.filter((byte) => byte !== 0)).toEqual(Uint8Array.of(255));
  fs.writeSync(fd, Uint8Array.of(51), 0, 1, (known.blocks[0]?.pagesOffset ?? 0) + 150 * 4096);
  fs.closeSync(fd);
});

test("a port that is taken is named", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const { port } = taken.address() as { port: number };
  await expect(view({ file, listen: `127.0.0.1:${port}` })).rejects.toMatchObject({ code: "system.address-in-use" });
  await new Promise((resolve) => taken.close(resolve));
});

test("it is over at once when it is closed, whoever listens", async () => {
  const another = await view({ file });
  const events = await fetch(`${another.url}api/events`);
  await another.close();
  await another.ended;
  // Its connection is cut off; a browser says that the viewer has gone.
  await events.text().catch(() => "cut off");
  await expect(fetch(another.url)).rejects.toThrow();
});
