/** The same for what convert writes besides files with a seal: a stream, a folder of raw files, and what threads copy. */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FixedramError } from "../../src/errors.ts";
import { type Output, RawOutput, StreamOutput } from "../../src/operations/convert/outputs.ts";
import { openSnapshot } from "../../src/operations/open.ts";
import { ExtentList } from "../../src/pages/extents.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { TargetFolder } from "../../src/storage/target-folder.ts";
import { meta } from "../fixedram/sample.ts";
import { contents, encode, type Step } from "../operations/synthetic.ts";
import { digestOf, pagesOf } from "./contents.ts";
import { Random } from "./fuzz/engine.ts";
import { storeOf } from "./run.ts";
import { type Found, SimulatedDisk } from "./simulated-disk.ts";
import { stream } from "./sound.ts";
import { streamPages } from "./spec.ts";

const target = "/disk/guest";
const old = Uint8Array.from("the older file", (letter) => letter.charCodeAt(0));
const wanted = digestOf(streamPages(true, true));
interface Kind {
  readonly what: string;
  readonly open: (disk: SimulatedDisk) => Output;
  /** A file may be there before; a folder may not. */
  readonly older: boolean;
  /** `none`, `old`, `whole`, or what is wrong. */
  readonly state: (found: Found) => Promise<string>;
}

async function streamState(found: Found): Promise<string> {
  const bytes = found.get(target);
  if (bytes === undefined) return "none";
  if (Buffer.compare(bytes, old) === 0) return "old";
  try {
    const snapshot = await openSnapshot(storeOf(bytes));
    const digest = digestOf(await pagesOf(snapshot.map, new ExtentList()));
    await snapshot.close();
    return digest === wanted ? "whole" : "other pages";
  } catch (error) {
    return error instanceof FixedramError ? error.code : String(error);
  }
}

/** Each block's file holds its pages, and index.json is there. */
async function rawState(found: Found): Promise<string> {
  const names = [...found.keys()].filter((name) => name.startsWith(`${target}/`));
  if (names.length === 0) return "none";
  const json = found.get(`${target}/index.json`);
  if (json === undefined) return "no index";
  const index = JSON.parse(Buffer.from(json).toString()) as {
    blocks: { name: string; file: string; pageSize: number; length: number }[];
  };
  const pages = new Map<string, Uint8Array>();
  for (const { name, file, pageSize, length } of index.blocks) {
    const bytes = found.get(`${target}/${file}`);
    if (bytes?.length !== length) return `${file} has ${bytes?.length} bytes`;
    for (let page = 0; page * pageSize < length; page++)
      pages.set(`${name}\0${page}`, bytes.subarray(page * pageSize, (page + 1) * pageSize));
  }
  return digestOf(pages) === wanted ? "whole" : "other pages";
}

const kinds: readonly Kind[] = [
  {
    what: "a stream",
    open: (disk) => new StreamOutput(TargetFile.create(target, disk.calls)),
    older: true,
    state: streamState,
  },
  {
    what: "a folder of raw files",
    open: (disk) => new RawOutput(TargetFolder.create(target, disk.calls)),
    older: false,
    state: rawState,
  },
];

/** Writes a snapshot to the disk, as convert does. */
async function write({ open }: Kind, disk: SimulatedDisk): Promise<void> {
  const snapshot = await openSnapshot(storeOf(stream({ encoded: true }).bytes));
  const output = open(disk);
  const verifyPages = async () => {};
  try {
    await output.copy({ snapshot, digests: null, verifyPages }, { total: 0, onPages: () => {}, onVerified: () => {} });
    await output.finish({ ...meta, memoryMap: [] });
  } catch (error) {
    await output.abort();
    throw error;
  } finally {
    await snapshot.close();
  }
}

const now = (disk: SimulatedDisk): Found => new Map(disk.names().map((name) => [name, disk.get(name) ?? old]));

describe.each(kinds)("$what is written", (kind) => {
  const prepared = (): SimulatedDisk => {
    const disk = new SimulatedDisk();
    if (kind.older) disk.put(target, old);
    return disk;
  };
  const before = kind.older ? "old" : "none";

  test("every call that changes something fails in turn", async () => {
    const sound = prepared();
    await write(kind, sound);
    expect(await kind.state(now(sound))).toBe("whole");
    expect(sound.steps).toBeGreaterThan(4);
    for (const failWith of ["EIO", "ENOSPC", "short"]) {
      for (let step = 0; step < sound.steps; step++) {
        const disk = prepared();
        Object.assign(disk, { failAt: step, failWith });
        const error = await write(kind, disk).catch((thrown: unknown) => thrown);
        const state = await kind.state(now(disk));
        if (failWith === "short") {
          expect([step, error, state]).toEqual([step, undefined, "whole"]);
          continue;
        }
        expect(error, `step ${step}`).toBeInstanceOf(FixedramError);
        // What fails behind the last rename leaves what is new, whole; nothing half-made lies about.
        expect([step, state]).toEqual([step, step === sound.steps - 1 ? "whole" : before]);
        for (const name of disk.names()) expect(name.startsWith(target), name).toBe(true);
      }
    }
  }, 60_000);

  test("the power goes at every step: what was there, or all that is new", async () => {
    const random = new Random(20260202);
    const disk = prepared();
    const states = new Set<string>();
    const images: Found[] = [];
    const look = () => {
      images.push(disk.afterPowerLoss("none", random), disk.afterPowerLoss("all", random));
      for (let i = 0; i < 6; i++) images.push(disk.afterPowerLoss("some", random));
    };
    disk.beforeStep = look;
    await write(kind, disk);
    look();
    for (const found of images) states.add(await kind.state(found));
    expect([...states].sort()).toEqual([before, "whole"].sort());
  }, 60_000);
});

describe("threads copy", () => {
  const run = promisify(execFile);
  const root = join(import.meta.dirname, "../..");
  const pages = 140 * 256;
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "fixedram-crash-"));
    const steps: Step[] = Array.from({ length: 120 * 256 }, (_, page) => ({
      kind: "page",
      block: 0,
      page: page + 1000,
      fill: (page % 255) + 1,
    }));
    const rounds: Step[][] = [[{ kind: "zero", block: 0, page: 0, count: pages }, ...steps]];
    writeFileSync(join(folder, "in"), encode({ blocks: [["pc.ram", pages]], rounds }));
  }, 60_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** `convert` where no file may grow past so many KiB. */
  async function limited(kib: number, to: string, ...args: string[]): Promise<number> {
    const script = `ulimit -f ${kib}; exec "$0" "$@"`;
    const parts = [process.execPath, join(root, "bin/fixedram"), "convert", join(folder, "in"), to, ...args];
    return await run("bash", ["-c", script, ...parts], { env: { ...process.env, NO_COLOR: "1" } }).then(
      () => 0,
      ({ code }: { code: number }) => code,
    );
  }

  test.each([
    ["a fixed-ram file", "out.fram", [] as string[]],
    ["a folder of raw files", "out", ["--to", "raw"]],
  ])(
    "%s, and a write fails: early, in the middle, at the end",
    async (_, name, args) => {
      const to = join(folder, name);
      const first = name.endsWith(".fram");
      if (first) writeFileSync(to, old);
      const there = readdirSync(folder).sort();
      for (const kib of [1, 1500, 20_000, 60_000, 100_000, 123_000]) {
        expect([kib, await limited(kib, to, ...args)]).toEqual([kib, 5]);
        expect([kib, readdirSync(folder).sort()]).toEqual([kib, there]);
        if (first) expect(Buffer.compare(readFileSync(to), old)).toBe(0);
      }
      expect(await limited(10_000_000, to, ...args)).toBe(0);
      if (first) {
        const [made, input] = [await openSnapshot(to), await openSnapshot(join(folder, "in"))];
        expect(await contents(made.map)).toEqual(await contents(input.map));
        await made.close();
        await input.close();
      }
    },
    120_000,
  );
});
