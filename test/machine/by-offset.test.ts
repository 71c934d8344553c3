import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { type BlockPart, byBlock } from "../../src/machine/by-offset.ts";
import { checkRanges } from "../../src/machine/memory-map.ts";
import { PhysicalMemory } from "../../src/machine/physical.ts";
import { blocksOf, mapOf, PAGE } from "./sample.ts";

const part = fc.record({
  block: fc.constantFrom("a", "b"),
  offset: fc.nat(100),
  length: fc.integer({ min: 1, max: 60 }),
});

const rangesOf = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ start: i, length: 1, block: "a", offset: i % PAGE, readOnly: false }));

describe("parts of blocks by offset", () => {
  test("are those that a look at every one finds, in the order of their offsets", () => {
    const key = ({ offset, length }: BlockPart) => [offset, length];
    const byKey = (a: BlockPart, b: BlockPart) => a.offset - b.offset || a.length - b.length;
    fc.assert(
      fc.property(fc.array(part, { maxLength: 40 }), fc.nat(170), fc.nat(20), (parts, start, length) => {
        const index = byBlock(parts, (each) => each);
        for (const block of ["a", "b"]) {
          const found = index.get(block)?.meeting(start, start + length) ?? [];
          const meets = (each: BlockPart) => each.offset < start + length && each.offset + each.length > start;
          const wanted = length === 0 ? [] : parts.filter((each) => each.block === block && meets(each));
          expect([...found].sort(byKey).map(key)).toEqual(wanted.sort(byKey).map(key));
          expect(found.map(({ offset }) => offset)).toEqual(found.map(({ offset }) => offset).sort((a, b) => a - b));
        }
      }),
    );
  });

  test("into an array that is used again", () => {
    const index = byBlock([{ block: "a", offset: 4, length: 4 }], (each) => each).get("a");
    const into: BlockPart[] = [];
    expect(index?.meeting(0, 5, into)).toHaveLength(1);
    expect(index?.meeting(8, 9, into)).toHaveLength(0);
    expect(into).toEqual([]);
  });
});

describe("maps of very many ranges", () => {
  test("are not looked through for each address; the lowest comes first", () => {
    const blocks = [["a", new Uint8Array(PAGE)]] as const;
    let looks = 0;
    const ranges = rangesOf(2 * PAGE).map(({ offset, ...rest }) => ({
      ...rest,
      get offset() {
        looks++;
        return offset;
      },
    }));
    const memory = new PhysicalMemory(mapOf(blocks), { ranges, from: "recorded", note: "" });
    looks = 0;
    expect(memory.addressesOf("a", 7)).toEqual([7, PAGE + 7]);
    expect(looks).toBeLessThan(10);
    expect(memory.addressesOf("a", PAGE)).toEqual([]);
    expect(memory.addressesOf("b", 0)).toEqual([]);
  });

  test("are checked without a search for each range's block", () => {
    const blocks = blocksOf(["z", PAGE], ["a", PAGE]);
    const find = vi.spyOn(blocks, "find");
    expect(checkRanges(rangesOf(PAGE), blocks)).toHaveLength(PAGE);
    expect(find).not.toHaveBeenCalled();
  });
});
