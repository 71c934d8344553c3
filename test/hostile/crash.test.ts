/** Every write, fsync and rename fails in turn; the power goes at every step: the file is the old one or the new one. */
import { describe, expect, test } from "vitest";
import { FixedramError } from "../../src/errors.ts";
import { FixedRamAssembly } from "../../src/fixedram/assembly.ts";
import { openFixedRam } from "../../src/fixedram/reader.ts";
import { readSealAlone } from "../../src/fixedram/seal.ts";
import { checkSealed } from "../../src/fixedram/verify.ts";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { openLegacy } from "../../src/legacy/reader.ts";
import { LibvirtWriter } from "../../src/libvirt/writer.ts";
import { repair } from "../../src/operations/repair.ts";
import { seal } from "../../src/operations/seal.ts";
import { copyPages } from "../../src/pages/copy.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { meta } from "../fixedram/sample.ts";
import { Random } from "./fuzz/engine.ts";
import { storeOf } from "./run.ts";
import { sealed } from "./seals.ts";
import { SimulatedDisk } from "./simulated-disk.ts";
import { mapped, stream } from "./sound.ts";

const path = "/disk/guest.fram";
const old = Uint8Array.from("the older file", (letter) => letter.charCodeAt(0));

/** Writes a snapshot to the disk, as save and convert do. */
async function write(disk: SimulatedDisk, image: boolean): Promise<void> {
  const source = await openLegacy(storeOf(stream().bytes), {
    scratch: () => {
      throw new Error("nothing is packed");
    },
  });
  const file = TargetFile.create(path, disk.calls);
  try {
    const head = { xml: Uint8Array.of(60, 62), cookie: null, wasRunning: true };
    const assembly = new FixedRamAssembly((configuration, start) =>
      image ? new LibvirtWriter(file, configuration, start, head) : new FixedRamWriter(file, configuration, start),
    );
    for (const record of source.records) assembly.record(record);
    await copyPages(source.map, assembly.writer);
    await assembly.end().finish(meta);
  } catch (error) {
    await file.abort();
    throw error;
  }
}

/** `sealed` when a deep check finds nothing wrong; else what it says. */
async function verdict(bytes: Uint8Array): Promise<string> {
  const store = storeOf(bytes);
  try {
    const found = await readSealAlone(store);
    if (found === null) return (await openFixedRam(store)).seal.state;
    const { state, problems } = await checkSealed(store, found, { deep: true });
    return problems.count === 0 ? state : `damaged: ${problems.list[0]?.code}`;
  } catch (error) {
    if (error instanceof FixedramError) return error.code;
    throw error;
  }
}

const equal = (a: Uint8Array | undefined | null, b: Uint8Array) => a != null && Buffer.compare(a, b) === 0;

describe.each([
  ["a fixed-ram file", false],
  ["a sparse libvirt image", true],
])("%s is written", (_what, image) => {
  const prepared = (older: boolean): SimulatedDisk => {
    const disk = new SimulatedDisk();
    if (older) disk.put(path, old);
    return disk;
  };

  test("every call that changes something fails in turn", async () => {
    const sound = prepared(true);
    await write(sound, image);
    const steps = sound.steps;
    const whole = sound.get(path) ?? new Uint8Array(0);
    expect(steps).toBeGreaterThan(12);
    expect(await verdict(whole)).toBe("sealed");
    expect(sound.names()).toEqual([path]);
    for (const failWith of ["EIO", "ENOSPC", "short"]) {
      for (let step = 0; step < steps; step++) {
        const disk = prepared(true);
        Object.assign(disk, { failAt: step, failWith });
        const error = await write(disk, image).catch((thrown: unknown) => thrown);
        const last = disk.get(path) ?? new Uint8Array(0);
        if (failWith === "short") expect([step, error, await verdict(last)]).toEqual([step, undefined, "sealed"]);
        else {
          expect(error, `step ${step}`).toBeInstanceOf(FixedramError);
          // What fails behind the rename leaves the new file, whole; nothing half-made lies about.
          const isNew = step === steps - 1;
          expect([step, isNew ? await verdict(last) : equal(last, old)]).toEqual([step, isNew ? "sealed" : true]);
          expect(disk.names()).toEqual([path]);
        }
      }
    }
  }, 120_000);

  test.each([true, false])(
    "the power goes at every step, an older file there: %s",
    async (older) => {
      const random = new Random(20260101);
      const finals = new Set<string>();
      const disk = prepared(older);
      const images: ReturnType<SimulatedDisk["afterPowerLoss"]>[] = [];
      const look = () => {
        images.push(disk.afterPowerLoss("none", random), disk.afterPowerLoss("all", random));
        for (let i = 0; i < 6; i++) images.push(disk.afterPowerLoss("some", random));
      };
      disk.beforeStep = look;
      await write(disk, image);
      look();
      for (const found of images) {
        const file = found.get(path);
        if (file === undefined) {
          expect(older).toBe(false);
          finals.add("none");
        } else if (equal(file, old)) finals.add("old");
        else {
          expect(await verdict(file)).toBe("sealed");
          finals.add("new");
        }
        for (const [name, bytes] of found) if (name !== path) expect(await verdict(bytes)).not.toBe("none");
      }
      expect([...finals].sort()).toEqual(older ? ["new", "old"] : ["new", "none"]);
    },
    120_000,
  );
});

describe("a file is sealed in place", () => {
  const sound = mapped();
  const streamOf = (bytes: Uint8Array) => bytes.subarray(0, sound.bytes.length);

  test("every call that changes something fails in turn: the file is as it was", async () => {
    const first = new SimulatedDisk();
    first.put(path, sound.bytes);
    await seal({ file: path, calls: first.calls });
    expect(await verdict(first.get(path) ?? new Uint8Array(0))).toBe("sealed");
    for (let step = 0; step < first.steps; step++) {
      const disk = new SimulatedDisk();
      disk.put(path, sound.bytes);
      Object.assign(disk, { failAt: step });
      await expect(seal({ file: path, calls: disk.calls })).rejects.toBeInstanceOf(FixedramError);
      expect(equal(disk.get(path), sound.bytes), `step ${step}`).toBe(true);
    }
  });

  test("the power goes at every step: sealed, half or not at all, never damaged, and the stream never changes", async () => {
    const random = new Random(7);
    const disk = new SimulatedDisk();
    disk.put(path, sound.bytes);
    const states = new Map<string, number>();
    const images: Uint8Array[] = [];
    const look = () => {
      for (const how of ["none", "all", ...Array.from({ length: 12 }, () => "some")] as const)
        images.push(disk.afterPowerLoss(how as "some", random).get(path) ?? new Uint8Array(0));
    };
    disk.beforeStep = look;
    await seal({ file: path, calls: disk.calls });
    look();
    for (const image of images) {
      expect(equal(streamOf(image), sound.bytes)).toBe(true);
      const state = await verdict(image);
      states.set(state, (states.get(state) ?? 0) + 1);
    }
    expect([...states.keys()].sort()).toEqual(["half", "none", "sealed"]);
  });
});

describe("half a seal is taken away", () => {
  const half = async () => {
    const whole = await sealed(mapped());
    return whole.bytes.slice(0, -128);
  };

  test("every call fails in turn, and the power goes at every step: the file has half a seal or none", async () => {
    const before = await half();
    const first = new SimulatedDisk();
    first.put(path, before);
    const random = new Random(3);
    const images: Uint8Array[] = [];
    first.beforeStep = () => {
      for (const how of ["none", "all", "some", "some"] as const)
        images.push(first.afterPowerLoss(how, random).get(path) ?? new Uint8Array(0));
    };
    await repair({ file: path, calls: first.calls });
    expect(await verdict(first.get(path) ?? new Uint8Array(0))).toBe("none");
    for (const image of images) expect(["half", "none"]).toContain(await verdict(image));
    for (let step = 0; step < first.steps; step++) {
      const disk = new SimulatedDisk();
      disk.put(path, before);
      disk.failAt = step;
      await expect(repair({ file: path, calls: disk.calls })).rejects.toBeInstanceOf(FixedramError);
      expect(["half", "none"]).toContain(await verdict(disk.get(path) ?? new Uint8Array(0)));
    }
  });
});

test("a disk that says it synced and did not, or a target without fsync, would be found", async () => {
  const disk = new SimulatedDisk();
  disk.put(path, old);
  const random = new Random(11);
  const calls = { ...disk.calls, fsync: async () => {} };
  Object.assign(disk, { calls });
  await write(disk, false);
  let damaged = 0;
  for (let i = 0; i < 50; i++) {
    const file = disk.afterPowerLoss("some", random).get(path);
    if (file !== undefined && !equal(file, old) && (await verdict(file)) !== "sealed") damaged++;
  }
  expect(damaged).toBeGreaterThan(0);
});
