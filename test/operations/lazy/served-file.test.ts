/** The file behind a page server, and what is done to it while it is served. */
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { convert } from "../../../src/operations/convert.ts";
import { ServedFile, snapshotKey } from "../../../src/operations/lazy/served-file.ts";
import { openSnapshot } from "../../../src/operations/open.ts";
import { ExtentList } from "../../../src/pages/extents.ts";
import { FileStore } from "../../../src/storage/file-store.ts";
import { encode, failure } from "../synthetic.ts";

const PAGES = 600;

/** A sealed fixed-ram file with a page of each fill, and one that has no seal. */
async function files(): Promise<{ sealed: string; stream: string }> {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-served-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const stream = join(folder, "guest.stream");
  const rounds = [
    Array.from({ length: PAGES }, (_, page) => ({ kind: "page" as const, block: 0, page, fill: 1 + (page % 200) })),
  ];
  writeFileSync(stream, encode({ blocks: [["pc.ram", PAGES]], rounds }));
  const sealed = join(folder, "guest.fram");
  await convert({ input: stream, output: sealed });
  return { sealed, stream };
}

async function serve(path: string, verify = false) {
  const fd = openSync(path, "r");
  const { identity } = FileStore.open(path);
  const served = await ServedFile.open({
    path,
    descriptor: fd,
    identity,
    index: null,
    warm: null,
    guests: 1,
    threads: 1,
    bigEndian: null,
    verify,
  });
  onTestFinished(async () => {
    await served.close();
    closeSync(fd);
  });
  const block = served.map.blocks[0];
  if (block === undefined) throw new Error("no block");
  const list = new ExtentList();
  const place = (page: number) => {
    list.clear();
    served.map.extents(0, page, 1, list);
    return list.offset[0] ?? 0;
  };
  const read = (page: number) => {
    const view = new Uint8Array(block.pageSize);
    served.readNow([view], 0, place(page), block, page);
    served.confirm(block, page, [view], 1);
    return view[0];
  };
  return { served, place, read };
}

function patch(path: string, offset: number, value: number): void {
  const fd = openSync(path, "r+");
  writeSync(fd, Uint8Array.of(value), 0, 1, offset);
  closeSync(fd);
  // A file system's clock may stand still for some milliseconds.
  utimesSync(path, new Date(), new Date(Date.now() + 5000));
}

describe("a file that is served", () => {
  test("is read at any page, with and without checks", async () => {
    const { sealed, stream } = await files();
    for (const [path, verify] of [
      [sealed, false],
      [sealed, true],
      [stream, false],
    ] as const) {
      const { read } = await serve(path, verify);
      for (const page of [599, 0, 512, 511, 17]) expect(read(page)).toBe(1 + (page % 200));
    }
    expect((await failure(() => serve(stream, true))).code).toBe("seal.no-digests");
  });

  test("damage is found by --verify, and only where it is", async () => {
    const { sealed } = await files();
    const { place } = await serve(sealed);
    patch(sealed, place(17), 99);
    const { read } = await serve(sealed, true);
    expect(read(16)).toBe(17);
    const error = await failure(() => read(17));
    expect(error).toMatchObject({ code: "seal.damaged-page", details: { block: "pc.ram", page: 17 } });
  });

  test("changed while it is served: with digests right pages still come, without nothing does", async () => {
    const { sealed, stream } = await files();
    const one = await serve(sealed);
    expect(one.read(3)).toBe(4);
    patch(sealed, one.place(17), 99);
    expect(one.read(16)).toBe(17);
    expect((await failure(() => one.read(17))).code).toBe("seal.damaged-page");
    const other = await serve(stream);
    patch(stream, other.place(17), 99);
    expect((await failure(() => other.read(16))).code).toBe("file.changed");
  });

  test("cut while it is served: what is gone is not answered", async () => {
    const { stream } = await files();
    const { read, place } = await serve(stream);
    const fd = openSync(stream, "r+");
    ftruncateSync(fd, place(100));
    closeSync(fd);
    const error = await failure(() => read(100));
    expect(error).toMatchObject({ code: "file.truncated", details: { page: 100 } });
  });

  test("another file under its name changes nothing; another file from the start is refused", async () => {
    const { sealed, stream } = await files();
    const { read } = await serve(sealed);
    const { identity } = FileStore.open(sealed);
    writeFileSync(`${sealed}.new`, readFileSync(stream));
    renameSync(`${sealed}.new`, sealed);
    expect(read(17)).toBe(18);
    const fd = openSync(sealed, "r");
    const wrong = ServedFile.open({
      path: sealed,
      descriptor: fd,
      identity,
      index: null,
      warm: null,
      guests: 1,
      threads: 1,
      bigEndian: null,
      verify: false,
    });
    expect((await failure(() => wrong)).code).toBe("file.changed");
    closeSync(fd);
  });

  test("a snapshot is known by its id, and without a seal by its device state", async () => {
    const { sealed, stream } = await files();
    const keys = [];
    for (const path of [sealed, stream, stream]) {
      await using snapshot = await openSnapshot(path);
      keys.push(snapshotKey(snapshot));
    }
    expect(new Set(keys).size).toBe(2);
    for (const key of keys) expect(key).toMatch(/^[0-9a-f]{64}$/);
  });
});
