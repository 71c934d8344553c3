import { expect, test } from "vitest";
import { Inside } from "../../../src/operations/inside/open.ts";
import { x86Section } from "../../machine/cpu-sections.ts";
import { PAGE, Tables } from "../../machine/sample.ts";
import { snapshotOf } from "./sample.ts";

const tables = new Tables(4);
tables.map({ virtual: 0xffff_8880_0000_0000n, physical: 0x30_0000n, level: 1, flags: 3n });
tables.bytes.set(new TextEncoder().encode("known bytes"), 0x30_0010);
const inside = new Inside(snapshotOf("microvm", [["microvm.ram", tables.bytes]], [x86Section({})]));
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

test("the same bytes by block, physical and virtual address", async () => {
  const target = new Uint8Array(11);
  await inside.readBlock(inside.block("microvm.ram"), 0x30_0010, target);
  expect(text(target)).toBe("known bytes");
  await inside.readPhysical(0x30_0010, target.fill(0));
  expect(text(target)).toBe("known bytes");
  await inside.readVirtual(0xffff_8880_0000_0010n, target.fill(0));
  expect(text(target)).toBe("known bytes");
  expect(inside.memoryMap.from).toBe("rules");
  expect(await inside.translate(0xffff_8880_0000_0fffn)).toMatchObject({ physical: 0x30_0fff });
});

test("what is not there is said", async () => {
  expect(() => inside.cpu(1)).toThrow(
    expect.objectContaining({ code: "usage.no-such-cpu", details: expect.objectContaining({ expected: "0" }) }),
  );
  expect(() => inside.block("pc.ram")).toThrow(expect.objectContaining({ code: "usage.no-such-block" }));
  const block = inside.block("microvm.ram");
  await expect(inside.readBlock(block, block.length - PAGE, new Uint8Array(PAGE + 1))).rejects.toMatchObject({
    code: "usage.past-the-block",
  });
});
