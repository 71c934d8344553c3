/** Two moments of a real guest compared, held against what QEMU itself shows of its memory at both. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fixedram, type Guest, qemu, startGuest, testFolder } from "./harness/index.ts";
import { save } from "./support/steps.ts";

const MiB = 2 ** 20;
const page = 4096;

/** Stops the guest, saves it, and has QEMU write its physical memory into a file. */
async function moment(guest: Guest, folder: string, name: string): Promise<Buffer> {
  const qmp = await guest.qmp();
  await qmp.execute("stop");
  await save(guest, join(folder, `${name}.fram`));
  const filename = join(folder, `${name}.raw`);
  await qmp.execute("pmemsave", { val: 0, size: guest.options.memory * MiB, filename });
  await qmp.execute("cont");
  return readFileSync(filename);
}

/** Kind of each page from 1 MiB on (below it the machine shows ROMs) that differs. */
function plainDiff(a: Buffer, b: Buffer): Map<number, string> {
  const found = new Map<number, string>();
  const zero = Buffer.alloc(page);
  for (let at = MiB; at < a.length; at += page) {
    const [left, right] = [a.subarray(at, at + page), b.subarray(at, at + page)];
    if (left.equals(right)) continue;
    found.set(at / page, left.equals(zero) ? "added" : right.equals(zero) ? "gone" : "changed");
  }
  return found;
}

function listed(path: string): Map<number, string> {
  const found = new Map<number, string>();
  for (const line of readFileSync(path, "utf8").trimEnd().split("\n")) {
    const [kind = "", block, first, pages] = line.split("\t");
    if (block !== "pc.ram") continue;
    for (let i = 0; i < Number(pages); i++) {
      if (Number(first) + i >= MiB / page) found.set(Number(first) + i, kind);
    }
  }
  return found;
}

describe("fixedram diff", () => {
  test("finds every page that a running guest changed, in every container, trusted or read", async () => {
    const guest = await startGuest({ qemu: qemu("new"), kind: "boot", dirtyRate: 16, zeroing: true });
    await guest.ready();
    const folder = testFolder();
    const before = await moment(guest, folder, "before");
    const { counter } = await guest.status();
    while ((await guest.status()).counter < counter + 2);
    const after = await moment(guest, folder, "after");
    const expected = plainDiff(before, after);
    expect(expected.size).toBeGreaterThan(100);
    expect(new Set(expected.values())).toContain("changed");

    const [a, b, list] = ["before.fram", "after.fram", "list.tsv"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    const { code, stdout } = await fixedram(["diff", a, b, "--json", "--pages-out", list, "--hex", "1"]);
    const answer = JSON.parse(stdout);
    expect([code, answer.same, answer.configuration]).toEqual([1, false, []]);
    expect(listed(list)).toEqual(expected);
    const [hex] = answer.hex;
    const [row] = hex.rows;
    const at = hex.page * page + row.offset;
    expect(hex.block).toBe("pc.ram");
    if (at >= MiB)
      expect(row).toMatchObject({ a: before.toString("hex", at, at + 16), b: after.toString("hex", at, at + 16) });
    expect(answer.devices.different.map(({ name }: { name: string }) => name)).toContain("cpu");
    const cpu = answer.devices.different.find(({ name }: { name: string }) => name === "cpu");
    expect(cpu.fields.map(({ path }: { path: string }) => path)).toContain("env.regs[0]");

    const trusted = await fixedram(["diff", a, b, "--json", "--trust-seals", "--pages-out", list]);
    expect(JSON.parse(trusted.stdout).pages.trusted).toBeGreaterThan(1000);
    expect(listed(list)).toEqual(expected);

    const stream = join(folder, "before.stream");
    expect((await fixedram(["convert", a, stream, "--to", "stream"])).code).toBe(0);
    expect((await fixedram(["diff", a, stream])).code).toBe(0);
    expect((await fixedram(["diff", stream, b, "--json", "--pages-out", list])).code).toBe(1);
    expect(listed(list)).toEqual(expected);
  });
});
