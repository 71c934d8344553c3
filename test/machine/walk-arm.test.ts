import { describe, expect, test } from "vitest";
import type { ArmCpu } from "../../src/machine/cpu-arm.ts";
import { translate } from "../../src/machine/virtual.ts";
import { flatMemory } from "./sample.ts";

const PXN = 1n << 53n;
const UXN = 1n << 54n;
const PXNTable = 1n << 59n;
const UXNTable = 1n << 60n;
const noUserTable = 1n << 61n;
const readOnlyTable = 1n << 62n;

/** In EL1, with 48 bits of address and 4 KiB granules in both halves, tables at 4096. */
const cpu: ArmCpu = {
  arch: "aarch64",
  index: 0,
  halted: false,
  el: 1,
  registers: [],
  pc: 0n,
  pstate: 5n,
  banked: {},
  system: { sctlr_el1: 1n, tcr_el1: 0x8010_0010n, ttbr0_el1: 0x1000n, ttbr1_el1: 0x1000n },
};

/** The rights of the page at 0: four levels, of which the first has these bits in its table entry. */
async function rightsOf({ table = 0n, user = true, page = 0n }: { table?: bigint; user?: boolean; page?: bigint }) {
  const bytes = new Uint8Array(0x6000);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0x1000, 0x2003n | table, true);
  view.setBigUint64(0x2000, 0x3003n, true);
  view.setBigUint64(0x3000, 0x4003n, true);
  view.setBigUint64(0x4000, 0x5403n | (user ? 1n << 6n : 0n) | page, true);
  const found = await translate(cpu, flatMemory(bytes), 0x10n);
  expect(found).toMatchObject({ mapped: true, physical: 0x5010, pageSize: 4096 });
  return found.mapped ? found.rights : null;
}

describe("aarch64 rights", () => {
  test.each([
    ["none", {}, { write: true, user: true, execute: true }],
    ["a kernel's page", { user: false }, { write: true, user: false, execute: true }],
    ["the user's code, by the page", { page: UXN }, { write: true, user: true, execute: false }],
    ["the user's code, by the table", { table: UXNTable }, { write: true, user: true, execute: false }],
    ["the kernel's code, of a user's page", { table: PXNTable, page: PXN }, { write: true, user: true, execute: true }],
    ["the kernel's code, by the page", { user: false, page: PXN }, { write: true, user: false, execute: false }],
    ["the kernel's code, by the table", { user: false, table: PXNTable }, { write: true, user: false, execute: false }],
    [
      "the user's code, of a kernel's page",
      { user: false, table: UXNTable, page: UXN },
      { write: true, user: false, execute: true },
    ],
    // Which bit counts is known at the page alone.
    [
      "the user at all, and the kernel's code",
      { table: noUserTable | PXNTable },
      { write: true, user: false, execute: false },
    ],
    ["writing", { table: readOnlyTable }, { write: false, user: true, execute: true }],
  ])("taken away: %s", async (_, bits, rights) => expect(await rightsOf(bits)).toEqual(rights));
});
