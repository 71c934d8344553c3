import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FixedramError } from "../../src/errors.ts";
import { openFixedRam } from "../../src/fixedram/reader.ts";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { FileStore } from "../../src/storage/file-store.ts";
import { type FileSystemCalls, nodeCalls } from "../../src/storage/system-calls.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { batch, configuration, meta, ramStart, tail } from "./sample.ts";

let folder: string;
let out: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "fixedram-file-"));
  out = join(folder, "guest.fram");
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

async function save(calls: FileSystemCalls): Promise<void> {
  const writer = new FixedRamWriter(
    TargetFile.create(out, calls),
    configuration(),
    ramStart(["pc.ram", 2 ** 16], ["rom", 16]),
  );
  const [ram, rom] = writer.blocks;
  if (ram === undefined || rom === undefined) throw new Error("no blocks");
  try {
    writer.writePages(
      batch(ram, [
        [0, 1],
        [1, 2],
        [500, 3],
        [2 ** 16 - 1, 4],
      ]),
    );
    writer.zeroPages(rom, 0, 16);
    writer.writePages(batch(rom, [[3, 5]]));
    writer.zeroPages(rom, 3, 1);
    writer.tail(tail());
    await writer.finish(meta);
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

/** node:fs, counting every call that changes something and failing call number `failing`. */
function failingCalls(failing: number): { calls: FileSystemCalls; count: () => number } {
  let count = 0;
  const turn = () => {
    count++;
    if (count === failing) throw Object.assign(new Error("made by the test"), { code: "ENOSPC" });
  };
  const calls: FileSystemCalls = {
    ...nodeCalls,
    openSync: (path, flags, mode) => {
      // The older file is opened so that the rename need not wait for its end; where that fails, it waits.
      if (path !== out) turn();
      return nodeCalls.openSync(path, flags, mode);
    },
    writeSync: (...all) => {
      turn();
      return nodeCalls.writeSync(...all);
    },
    writevSync: (...all) => {
      turn();
      return nodeCalls.writevSync(...all);
    },
    ftruncateSync: (...all) => {
      turn();
      nodeCalls.ftruncateSync(...all);
    },
    fsync: async (fd) => {
      turn();
      await nodeCalls.fsync(fd);
    },
    renameSync: (...all) => {
      turn();
      nodeCalls.renameSync(...all);
    },
  };
  return { calls, count: () => count };
}

describe("a fixed-ram file on disk", () => {
  it("is sparse, and reads back", async () => {
    await save(nodeCalls);
    const store = FileStore.open(out);
    const file = await openFixedRam(store);
    expect(file.seal.state).toBe("sealed");
    expect(file.bitmaps.map((bitmap) => bitmap.count())).toEqual([4, 16]);
    expect(store.size).toBeGreaterThan(2 ** 28);
    expect(store.allocated).toBeLessThan(2 ** 18);
    await store.close();
  });

  it("leaves the older file byte for byte and nothing else, whichever call fails before the rename is done", async () => {
    const trial = failingCalls(0);
    await save(trial.calls);
    const total = trial.count();
    expect(total).toBeGreaterThan(12);
    for (let failing = 1; failing <= total; failing++) {
      fs.writeFileSync(out, "an older file");
      const error = await save(failingCalls(failing).calls).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(FixedramError);
      expect(error).toMatchObject({ code: "system.disk-full" });
      expect(fs.readdirSync(folder)).toEqual(["guest.fram"]);
      // The last two are the opening and the fsync of the folder: the new file is in place, whole.
      if (failing <= total - 2) expect(fs.readFileSync(out, "utf8")).toBe("an older file");
      else expect((await openFixedRam(FileStore.open(out))).seal.state).toBe("sealed");
    }
  });
});
