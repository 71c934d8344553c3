import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readVirtual, translate } from "../../src/machine/virtual.ts";
import { flatMemory, type Mapping, PAGE, Tables, x86 } from "./sample.ts";

const mapping = (levels: 4 | 5) =>
  fc
    .record({
      // Few top entries, so that mappings meet.
      top: fc.bigInt(0n, 3n),
      upper: fc.boolean(),
      rest: fc.bigInt(0n, 2n ** 30n - 1n),
      frame: fc.bigInt(0n, 2n ** 22n - 1n),
      level: fc.constantFrom(1 as const, 2 as const, 3 as const),
      flags: fc.constantFrom(1n, 3n, 5n, 7n, 7n | (1n << 63n), 0x167n),
    })
    .map(({ top, upper, rest, frame, level, flags }): Mapping => {
      const below = BigInt(12 + 9 * (level - 1));
      const raw = (top << 30n) | rest | (upper ? 1n << BigInt(12 + 9 * levels - 1) : 0n);
      const canonical = BigInt.asUintN(64, BigInt.asIntN(12 + 9 * levels, raw));
      return { virtual: (canonical >> below) << below, physical: (frame << below) % 2n ** 50n, level, flags };
    });

describe.each([4, 5] as const)("%i-level tables", (levels) => {
  test("lead where a plain model says, whatever is mapped", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(mapping(levels), { maxLength: 12 }),
        fc.bigInt(0n, 2n ** 30n - 1n),
        async (wanted, inside) => {
          const tables = new Tables(levels);
          const mapped = wanted.filter((each) => tables.map(each));
          const cpu = x86({ paging: `${levels}-level` });
          const memory = flatMemory(tables.bytes);
          for (const { virtual, physical, level, flags } of mapped) {
            const size = 1n << BigInt(12 + 9 * (level - 1));
            const found = await translate(cpu, memory, virtual + (inside % size));
            expect(found).toMatchObject({
              mapped: true,
              physical: Number(physical + (inside % size)),
              pageSize: Number(size),
              rights: { write: (flags & 2n) !== 0n, user: (flags & 4n) !== 0n, execute: flags >> 63n === 0n },
            });
            expect(found.steps).toHaveLength(levels - level + 1);
          }
        },
      ),
    );
  });
});

describe("4-level tables", () => {
  const tables = new Tables(4);
  tables.map({ virtual: 0x40_0000n, physical: 0x20_0000n, level: 1, flags: 5n });
  tables.map({ virtual: 0x40_1000n, physical: 0x30_0000n, level: 1, flags: 5n });
  const memory = flatMemory(tables.bytes);

  test("an address with nothing behind it says at which table the way ends", async () => {
    expect(await translate(x86(), memory, 0x40_2000n)).toMatchObject({
      mapped: false,
      reason: "the PT entry is not present",
    });
    expect(await translate(x86(), memory, 2n ** 40n)).toMatchObject({
      mapped: false,
      reason: "the PML4 entry is not present",
    });
  });

  test("addresses that are not canonical are not mapped", async () => {
    const found = await translate(x86(), memory, 1n << 47n);
    expect(found).toMatchObject({ mapped: false, reason: expect.stringContaining("canonical") });
  });

  test("rights of upper levels take away from what the page says", async () => {
    const view = new DataView(tables.bytes.buffer);
    const before = view.getBigUint64(0x1000, true);
    view.setBigUint64(0x1000, (before & ~4n) | (1n << 63n), true);
    expect(await translate(x86(), memory, 0x40_0000n)).toMatchObject({
      rights: { write: false, user: false, execute: false },
    });
    // Without EFER.NXE bit 63 is reserved; a state that does not hold EFER says nothing of it.
    expect(await translate(x86({ msrs: { efer: 0x501n } }), memory, 0x40_0000n)).toMatchObject({
      mapped: false,
      reason: "the PML4 entry has reserved bits set (0x8000_0000_0000_0000): a CPU faults",
    });
    expect(await translate(x86({ msrs: {} }), memory, 0x40_0000n)).toMatchObject({ rights: { execute: true } });
    view.setBigUint64(0x1000, before, true);
  });

  test("a table that points at itself ends the walk like any other", async () => {
    const own = new Tables(4);
    // Entry 511 of the top table is the top table: the classic self-map.
    new DataView(own.bytes.buffer).setBigUint64(0x1000 + 511 * 8, 0x1003n, true);
    const found = await translate(x86(), flatMemory(own.bytes), 0xffff_ffff_ffff_f123n);
    expect(found).toMatchObject({ mapped: true, physical: 0x1123, pageSize: PAGE });
    expect(found.steps).toHaveLength(4);
  });

  test("bits that every CPU reserves make an entry map nothing", async () => {
    // Top entry and leaf of an address that a page of this level holds.
    const walked = async (levels: 4 | 5, level: 1 | 2 | 3, set: { top?: bigint; leaf?: bigint }) => {
      const own = new Tables(levels);
      own.map({ virtual: 0n, physical: 0n, level, flags: 7n | (set.leaf ?? 0n) });
      const view = new DataView(own.bytes.buffer);
      view.setBigUint64(0x1000, view.getBigUint64(0x1000, true) | (set.top ?? 0n), true);
      return await translate(x86({ paging: `${levels}-level` }), flatMemory(own.bytes), 0x123n);
    };
    for (const levels of [4, 5] as const) {
      expect(await walked(levels, 1, { top: 0x80n })).toMatchObject({
        mapped: false,
        reason: `the PML${levels} entry has reserved bits set (0x0000_0080): a CPU faults`,
        steps: [{ level: levels }],
      });
    }
    for (const [level, first, last] of [
      [2, 13n, 20n],
      [3, 13n, 29n],
    ] as const) {
      for (const bit of [first, last])
        expect(await walked(4, level, { leaf: 1n << bit }), `bit ${bit}`).toMatchObject({ mapped: false });
      // PAT, and the first bit of the address.
      for (const bit of [12n, last + 1n]) {
        const physical = bit === 12n ? 0x123 : Number((1n << bit) + 0x123n);
        expect(await walked(4, level, { leaf: 1n << bit })).toMatchObject({ mapped: true, physical });
      }
    }
    // PAT of a 4 KiB page.
    expect(await walked(4, 1, { leaf: 0x80n })).toMatchObject({ mapped: true, physical: 0x123 });
  });

  test("a table outside of memory is said", async () => {
    const found = await translate(x86({ cr3: 0xfff_0000_0000n }), memory, 0n);
    expect(found).toMatchObject({ mapped: false, reason: "PML4 lies at 0x0fff_0000_0000, where there is no memory" });
  });

  test("memory is read across pages that do not follow each other", async () => {
    tables.bytes.set(new TextEncoder().encode("hello "), 0x20_0000 + 4090);
    tables.bytes.set(new TextEncoder().encode("world"), 0x30_0000);
    const target = new Uint8Array(11);
    await readVirtual(x86(), memory, 0x40_0000n + 4090n, target);
    expect(new TextDecoder().decode(target)).toBe("hello world");
    await expect(readVirtual(x86(), memory, 0x40_1ffcn, target)).rejects.toMatchObject({ code: "usage.not-mapped" });
  });

  test("a CPU that ran a nested guest is refused", async () => {
    await expect(translate(x86({ nested: true }), memory, 0n)).rejects.toMatchObject({ code: "usage.nested-guest" });
  });
});

describe("older paging", () => {
  test("none: linear is physical, but for bit 20 while A20 is off", async () => {
    const cpu = x86({ paging: "none", mode: "real", a20Mask: 0xffef_ffff });
    expect(await translate(cpu, flatMemory(new Uint8Array(0)), 0x10_0010n)).toMatchObject({
      physical: 0x10,
      pageSize: 0,
    });
    expect(await translate(cpu, flatMemory(new Uint8Array(0)), 2n ** 32n)).toMatchObject({ mapped: false });
  });

  test("32-bit: 4 KiB and 4 MiB pages, PSE-36", async () => {
    const bytes = new Uint8Array(0x10000);
    const view = new DataView(bytes.buffer);
    view.setUint32(0x1000 + 4 * 1, 0x2007, true);
    view.setUint32(0x2000 + 4 * 5, 0x7003, true);
    view.setUint32(0x1000 + 4 * 2, 0x0140_0083 | (0x3 << 13), true);
    const cpu = x86({ paging: "32-bit", cr4: 0x10n, msrs: {} });
    const memory = flatMemory(bytes);
    expect(await translate(cpu, memory, 0x0040_5678n)).toMatchObject({
      physical: 0x7678,
      pageSize: 4096,
      rights: { user: false },
    });
    expect(await translate(cpu, memory, 0x0081_2345n)).toMatchObject({ physical: 0x3_0141_2345, pageSize: 2 ** 22 });
    view.setUint32(0x1000 + 4 * 3, 0x0140_0083 | (1 << 21), true);
    expect(await translate(cpu, memory, 0x00c1_2345n)).toMatchObject({ mapped: false });
    // Without PSE the same entry is a table.
    expect(await translate({ ...cpu, cr4: 0n }, memory, 0x0081_2345n)).toMatchObject({ mapped: false });
  });

  test("PAE: three levels, the first without rights", async () => {
    const bytes = new Uint8Array(0x10000);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0x1020 + 8 * 3, 0x2001n, true);
    view.setBigUint64(0x2000, 0x3007n, true);
    view.setBigUint64(0x2000 + 8, 0x1_0060_0087n, true);
    view.setBigUint64(0x3000 + 8 * 2, 0x9007n | (1n << 63n), true);
    const cpu = x86({ paging: "PAE", cr3: 0x1020n, msrs: { efer: 0x800n } });
    const memory = flatMemory(bytes);
    const rights = { write: true, user: true, execute: false };
    expect(await translate(cpu, memory, 0xc000_2abcn)).toMatchObject({ physical: 0x9abc, rights });
    expect(await translate(cpu, memory, 0xc020_0001n)).toMatchObject({ physical: 0x1_0060_0001, pageSize: 2 ** 21 });
    view.setBigUint64(0x2000 + 8, 0x1_0060_2087n, true);
    expect(await translate(cpu, memory, 0xc020_0001n)).toMatchObject({ mapped: false });
  });
});
