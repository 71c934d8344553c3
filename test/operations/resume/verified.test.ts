import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FixedRamWriter } from "../../../src/fixedram/writer.ts";
import { requireVerified } from "../../../src/operations/resume/verified.ts";
import { resume } from "../../../src/operations/resume.ts";
import { TargetFile } from "../../../src/storage/target-file.ts";
import { batch, configuration, meta, ramStart, tail } from "../../fixedram/sample.ts";

let folder: string;
let file: string;
let writer: FixedRamWriter;
beforeEach(async () => {
  folder = fs.mkdtempSync(join(tmpdir(), "fixedram-verified-"));
  file = join(folder, "guest.fram");
  writer = new FixedRamWriter(TargetFile.create(file), configuration(), ramStart(["pc.ram", 1500]), {
    isMainRam: () => true,
  });
  const [ram] = writer.blocks;
  if (ram === undefined) throw new Error("no block");
  writer.writePages(batch(ram, [[5, 1]]));
  writer.tail(tail());
  await writer.finish(meta);
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

function patch(position: number, byte: number): void {
  const fd = fs.openSync(file, "r+");
  fs.writeSync(fd, Uint8Array.of(byte), 0, 1, position);
  fs.closeSync(fd);
}

describe("a file before it is resumed", () => {
  it("passes when it is as it was sealed, has no seal, or half of one", async () => {
    await requireVerified({ file });
    await requireVerified({ file, verify: true, id: writer.id ?? "" });
    const { size } = fs.statSync(file);
    fs.truncateSync(file, size - 128);
    await requireVerified({ file });
    fs.truncateSync(file, writer.streamEnd);
    await requireVerified({ file });
  });

  it("is refused when --verify asks for a check that cannot be made, but for --force", async () => {
    const { size } = fs.statSync(file);
    for (const end of [size - 128, writer.streamEnd]) {
      fs.truncateSync(file, end);
      const error = await resume({ file, verify: true, command: [join(folder, "no-qemu")] }).catch((e: unknown) => e);
      expect(error).toMatchObject({
        code: "seal.none",
        exitCode: 3,
        details: { path: file, hint: expect.stringContaining("--force") },
      });
      await requireVerified({ file, verify: true, force: true });
    }
  });

  it("is refused for another id, changed device state, a damaged seal", async () => {
    await expect(requireVerified({ file, id: "0".repeat(64) })).rejects.toMatchObject({ code: "seal.wrong-id" });
    patch(writer.layout.tailOffset + 40, 0xee);
    await expect(requireVerified({ file })).rejects.toMatchObject({ code: "seal.damaged-region", exitCode: 3 });
    patch(fs.statSync(file).size - 5, 1);
    await expect(requireVerified({ file })).rejects.toMatchObject({ code: "seal.damaged-trailer" });
  });

  it("is refused for a changed page with --verify, before any QEMU is started", async () => {
    patch((writer.layout.blocks[0]?.pagesOffset ?? 0) + 5 * 4096 + 9, 0xee);
    await requireVerified({ file });
    const error = await resume({ file, verify: true, command: [join(folder, "no-qemu")] }).catch((e: unknown) => e);
    expect(error).toMatchObject({
      code: "seal.damaged-page",
      details: { path: file, block: "pc.ram", page: 5, hint: expect.stringContaining("not given to QEMU") },
    });
  });
});
