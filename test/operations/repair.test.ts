import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { repair } from "../../src/operations/repair.ts";
import { seal } from "../../src/operations/seal.ts";
import { verify } from "../../src/operations/verify.ts";
import { nodeCalls } from "../../src/storage/system-calls.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { batch, configuration, meta, ramStart, tail } from "../fixedram/sample.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "fixedram-repair-"));
  file = join(folder, "guest.fram");
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

async function write(record: typeof meta | null): Promise<FixedRamWriter> {
  const writer = new FixedRamWriter(TargetFile.create(file), configuration(), ramStart(["pc.ram", 1500]), {
    isMainRam: () => true,
  });
  const [ram] = writer.blocks;
  if (ram === undefined) throw new Error("no block");
  writer.writePages(batch(ram, [[5, 1]]));
  writer.tail(tail());
  await writer.finish(record);
  return writer;
}

function patch(position: number, ...bytes: number[]): void {
  const fd = fs.openSync(file, "r+");
  fs.writeSync(fd, Uint8Array.from(bytes), 0, bytes.length, position);
  fs.closeSync(fd);
}

const refused = { code: "seal.not-repairable" };

describe("repair", () => {
  it("leaves what is whole as it is", async () => {
    for (const record of [null, meta]) {
      await write(record);
      const before = fs.readFileSync(file);
      expect((await repair({ file })).repaired).toBe("nothing");
      expect(fs.readFileSync(file).equals(before)).toBe(true);
    }
  });

  it("names what is no snapshot, and does not call it damaged", async () => {
    for (const content of ["hello\n", "QFI\xfb", "\x7fELF\x02"]) {
      fs.writeFileSync(file, content, "latin1");
      const error = await repair({ file }).catch((each: unknown) => each);
      expect(error).toMatchObject({ code: expect.stringMatching(/^file\.(?:unknown|other)-format$/) });
      expect(fs.readFileSync(file, "latin1")).toBe(content);
    }
  });

  it("takes half a seal away, and the file can be sealed anew", async () => {
    const { streamEnd } = await write(meta);
    fs.truncateSync(file, fs.statSync(file).size - 128);
    expect(await repair({ file })).toMatchObject({ repaired: "half-seal", sizes: { after: streamEnd } });
    expect((await verify({ file })).sealState).toBe("none");
    await seal({ file });
    expect(await verify({ file, deep: true })).toMatchObject({ ok: true, sealState: "sealed" });
  });

  it("cuts a vmdesc that is cut or broken, wherever", async () => {
    const { streamEnd, layout } = await write(null);
    const whole = fs.readFileSync(file);
    // Behind EOF.
    const vmdesc = whole.indexOf('{"configuration"') - 5;
    expect([whole[vmdesc], whole[vmdesc - 1], whole[vmdesc - 6]]).toEqual([6, 0, 0x7e]);
    for (const end of [vmdesc + 1, vmdesc + 3, vmdesc + 5, vmdesc + 6, vmdesc + 40, streamEnd - 1]) {
      fs.writeFileSync(file, whole.subarray(0, end));
      expect([end, (await verify({ file })).ok]).toEqual([end, false]);
      expect(await repair({ file })).toMatchObject({ repaired: "vmdesc", sizes: { before: end, after: vmdesc } });
      expect(await verify({ file })).toMatchObject({ ok: true, sealState: "none" });
    }
    fs.writeFileSync(file, whole);
    patch(vmdesc + 35, 0x7d, 0x7d, 0x7d);
    expect(await repair({ file })).toMatchObject({ repaired: "vmdesc", sizes: { after: vmdesc } });
    for (const end of [vmdesc - 2, vmdesc - 9, layout.tailOffset + 3, layout.tailOffset - 5000, 100]) {
      fs.writeFileSync(file, whole.subarray(0, end));
      await expect(repair({ file }), String(end)).rejects.toMatchObject(refused);
      expect(fs.statSync(file).size).toBe(end);
    }
  });

  it("says why not for the rest, and touches nothing", async () => {
    const { layout } = await write(meta);
    const whole = fs.readFileSync(file);
    const cases: [position: number, bytes: number[]][] = [
      [whole.length - 10, [1]],
      [layout.tailOffset, [...tail(false)]],
      [9, [0xff, 0xff]],
      [whole.indexOf('{"configuration"') + 30, [0x7d, 0x7d]],
    ];
    for (const [position, bytes] of cases) {
      fs.writeFileSync(file, whole);
      patch(position, ...bytes);
      const before = fs.readFileSync(file);
      const error = await repair({ file }).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ ...refused, details: { path: file, hint: expect.stringContaining("copy") } });
      expect(fs.readFileSync(file).equals(before)).toBe(true);
    }
  });

  it("leaves the file as it was where the system fails", async () => {
    await write(meta);
    fs.truncateSync(file, fs.statSync(file).size - 128);
    const before = fs.readFileSync(file);
    const ftruncateSync = () => {
      throw Object.assign(new Error("made by the test"), { code: "EIO" });
    };
    await expect(repair({ file, calls: { ...nodeCalls, ftruncateSync } })).rejects.toMatchObject({ code: "system.io" });
    expect(fs.readFileSync(file).equals(before)).toBe(true);
  });
});
