/** A working set is a help: one that is no good stops no resume, unless it was named. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { openLazyFile } from "../../../src/operations/lazy/file.ts";
import type { FromServer } from "../../../src/operations/lazy/protocol.ts";
import { ServedFile } from "../../../src/operations/lazy/served-file.ts";
import { serveGuest } from "../../../src/operations/lazy/session.ts";
import { KeptWorkingSet } from "../../../src/operations/lazy/workset.ts";
import { postcopyBlocks } from "../../../src/postcopy/blocks.ts";
import { encodeWorkingSet, WorkingSetRecorder } from "../../../src/postcopy/working-set.ts";
import { makePrivateFolder } from "../../../src/qemu/private-folder.ts";
import { FileStore } from "../../../src/storage/file-store.ts";
import { encode, failure } from "../synthetic.ts";

const key = "a1".repeat(32);
const ram = { index: 0, name: "pc.ram", length: 100 * 4096, pageSize: 4096, pages: 100 };
const file = { map: { blocks: [ram], stores: [], extents: () => 0 } };
const of = (snapshot: string) =>
  encodeWorkingSet({ snapshot, resumes: 4, blocks: [{ name: "pc.ram", pages: 100 }], runs: [[0, 3, 2]] });

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "fixedram-workset-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

function touched(): WorkingSetRecorder {
  const recorder = new WorkingSetRecorder(postcopyBlocks([ram], 4096), 100);
  recorder.touch(0, 50, 2);
  return recorder;
}

const bad: readonly (readonly [string, (path: string) => void, RegExp])[] = [
  ["of another snapshot", (path) => writeFileSync(path, of("b2".repeat(32))), /another snapshot/],
  ["that is garbage", (path) => writeFileSync(path, "\0garbage"), /no working set/],
];

describe("a working set", () => {
  test.each(bad)("%s is told of, and recorded anew", async (_what, make, reason) => {
    const path = join(folder(), "web.fram.workset");
    make(path);
    const notes: string[] = [];
    const kept = new KeptWorkingSet({ prefetch: path, record: path }, key, file, (note) => notes.push(note));
    expect(await kept.read()).toBeNull();
    expect(notes).toEqual([expect.stringMatching(reason)]);
    expect(notes[0]).toMatch(/is not used: .* It is recorded anew\.$/);
    await kept.keep(touched());
    expect(notes).toHaveLength(1);
    expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({ snapshot: key, resumes: 1, runs: [[0, 50, 2]] });
  });

  test("that is a pipe is not waited for, and left alone", async () => {
    const path = join(folder(), "web.fram.workset");
    execFileSync("mkfifo", [path]);
    const notes: string[] = [];
    const kept = new KeptWorkingSet({ prefetch: path, record: path }, key, file, (note) => notes.push(note));
    expect(await kept.read()).toBeNull();
    await kept.keep(touched());
    expect(notes).toEqual([expect.stringMatching(/not used: .*\)\.$/), expect.stringMatching(/was not kept/)]);
    expect(statSync(path).isFIFO()).toBe(true);
  });

  test("of this snapshot is added to; one that another snapshot's has replaced meanwhile stays", async () => {
    const path = join(folder(), "web.fram.workset");
    writeFileSync(path, of(key));
    const notes: string[] = [];
    const kept = new KeptWorkingSet({ prefetch: path, record: path }, key, file, (note) => notes.push(note));
    expect((await kept.read())?.runs).toEqual([[0, 3, 2]]);
    await kept.keep(touched());
    const both = { resumes: 5, runs: [[0, 3, 2], [0, 50, 2]] }; // biome-ignore format: one line
    expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject(both);
    writeFileSync(path, of("b2".repeat(32)));
    await kept.keep(touched());
    expect(notes).toEqual([expect.stringMatching(/was not kept: .*another snapshot/)]);
    expect(readFileSync(path, "utf8")).toBe(of("b2".repeat(32)));
  });
});

function snapshot(): string {
  const path = join(folder(), "guest.stream");
  writeFileSync(path, encode({ blocks: [["pc.ram", 4]], rounds: [[{ kind: "page", block: 0, page: 1, fill: 7 }]] }));
  return path;
}

test("a page server connects to QEMU whatever the working set is", async () => {
  const path = snapshot();
  const workset = `${path}.workset`;
  writeFileSync(workset, "garbage");
  const { identity } = FileStore.open(path);
  const served = await ServedFile.open({
    ...{ path, descriptor: openSync(path, "r"), identity, index: null, bigEndian: null },
    ...{ guests: 1, threads: 1, warm: null, verify: false },
  });
  const socket = join(folder(), "incoming.sock");
  let came = 0;
  const qemu = createServer((connection) => {
    came++;
    connection.destroy();
  });
  await new Promise<void>((resolve) => qemu.listen(socket, resolve));
  onTestFinished(() => void qemu.close());
  const said: FromServer[] = [];
  await serveGuest(
    served,
    {
      ...{ guest: 0, mode: "begin", socket, hostPageSize: 4096, hostPageSizes: [], around: 1, pushRate: null },
      ...{
        prefetch: workset,
        record: workset,
        watch: false,
        readAhead: 2 ** 20,
        shared: false,
        held: false,
        after: null,
      },
    },
    (message) => said.push(message),
  );
  expect(came).toBe(1);
  expect(said[0]).toMatchObject({ say: "note", code: "working-set", message: expect.stringContaining(workset) });
  expect(said.at(-1)).toMatchObject({ say: "failed", error: { code: "qemu.connection-lost" } });
  await served.close();
});

test("one that was named is refused before any QEMU is asked for anything; the usual one is not", async () => {
  const path = snapshot();
  const sockets = makePrivateFolder(undefined);
  onTestFinished(() => sockets.remove());
  writeFileSync(`${path}.workset`, of("b2".repeat(32)));
  const named = await failure(() => openLazyFile({ file: path, prefetch: `${path}.workset` }, sockets, { guests: 1 }));
  expect(named.code).toBe("file.other-working-set");
  const opened = await openLazyFile({ file: path }, sockets, { guests: 1 });
  expect(opened.key).toMatch(/^[0-9a-f]{64}$/);
  await opened.close();
});
