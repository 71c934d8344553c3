/** Seals of real files: what fixedram saves and what QEMU 10 writes itself, verified, and loaded by stock QEMU. */
import { openSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fixedram, type Guest, hasQemu, qemu, qemus, startGuest, testFolder } from "./harness/index.ts";
import { expectWell, save, untilState } from "./support/steps.ts";

interface Verified {
  readonly ok: boolean;
  readonly sealState: string;
  readonly id: string | null;
  readonly coverage: Record<string, number> | null;
  readonly problems: readonly { code: string; block?: string; page?: number; offset?: number }[];
}

async function verified(file: string, ...args: string[]): Promise<{ code: number | null; answer: Verified }> {
  const { code, stdout } = await fixedram(["verify", file, "--json", ...args]);
  return { code, answer: JSON.parse(stdout) as Verified };
}

async function sound(file: string, id: string): Promise<void> {
  const { code, answer } = await verified(file, "--deep", "--id", id);
  expect(answer.problems).toEqual([]);
  expect([code, answer.ok, answer.sealState, answer.id]).toEqual([0, true, "sealed", id]);
  const sum = Object.values(answer.coverage ?? {}).reduce((total, bytes) => total + bytes, 0);
  expect(sum).toBe(statSync(file).size);
}

/** How stock QEMU 10 reads the file. */
const ways: readonly (readonly [name: string, capabilities: readonly string[], parameters: Record<string, unknown>])[] =
  [
    ["plain", [], {}],
    ["multifd", ["multifd"], {}],
    ["multifd and direct-io", ["multifd"], { "direct-io": true }],
  ];

/** Loads the file into a QEMU 10 with no help of ours, and returns the guest. */
async function load(source: Guest, file: string, way: (typeof ways)[number]): Promise<Guest> {
  const [, capabilities, parameters] = way;
  const guest = await startGuest({ ...source.options, qemu: qemu("new"), incoming: "defer" });
  const qmp = await guest.qmp();
  const all = ["events", "mapped-ram", ...capabilities].map((capability) => ({ capability, state: true }));
  await qmp.execute("migrate-set-capabilities", { capabilities: all });
  if (Object.keys(parameters).length > 0) await qmp.execute("migrate-set-parameters", parameters);
  await qmp.execute("migrate-incoming", { uri: `file:${file}` });
  await untilState(qmp, (state) => state === "running");
  return guest;
}

describe.each(qemus())("QEMU $label ($version)", (one) => {
  test.each(["stop", "live", "background"])("a file saved with --mode %s is as its seal says", async (mode) => {
    const guest = await startGuest({ qemu: one, kind: "boot", dirtyRate: one.label === "old" ? 0 : 64 });
    const before = await guest.ready(10_000);
    const file = join(testFolder(), "guest.fram");
    const saved = await save(guest, file, "--mode", mode, ...(mode === "live" ? ["--force"] : []));
    await sound(file, saved.id);
    expect((await fixedram(["info", file])).stdout).toContain(saved.id);
    expectWell(await guest.verdict(), before);
    if (!hasQemu("new") || mode === "background") return;
    for (const way of mode === "live" ? ways : ways.slice(0, 1)) {
      const loaded = await load(guest, file, way);
      expectWell(await loaded.verdict(), before);
      await loaded.kill();
    }
  });
});

describe.skipIf(!hasQemu("new"))("a file that QEMU 10 wrote itself", () => {
  test.each([false, true])("is sealed in place, verified, and loaded by stock QEMU; multifd %s", async (multifd) => {
    const guest = await startGuest({ qemu: qemu("new"), kind: "boot" });
    const before = await guest.ready(10_000);
    const file = join(testFolder(), "guest.mapped");
    const qmp = await guest.qmp();
    const names = ["events", "mapped-ram", ...(multifd ? ["multifd"] : [])];
    const capabilities = names.map((capability) => ({ capability, state: true }));
    await qmp.execute("migrate-set-capabilities", { capabilities });
    const since = qmp.sequence;
    await qmp.execute("migrate", { uri: `file:${file}` });
    await qmp.waitForEvent(({ event, data }) => event === "MIGRATION" && data["status"] === "completed", {
      since,
      timeout: 60_000,
    });
    await untilState(qmp, (state) => state === "postmigrate");
    expect((await verified(file)).answer).toMatchObject({ ok: true, sealState: "none" });
    const { code, stdout } = await fixedram(["seal", file, "--json"]);
    expect(code).toBe(0);
    await sound(file, (JSON.parse(stdout) as { id: string }).id);
    for (const way of ways) {
      const loaded = await load(guest, file, way);
      expectWell(await loaded.verdict(), before);
      await loaded.kill();
    }
    const info = JSON.parse((await fixedram(["info", file, "--json"])).stdout) as {
      blocks: { name: string; pagesOffset: number; present: number }[];
    };
    const ram = info.blocks.find(({ present }) => present > 1000);
    // The boot sector's page at 0x7c00 is there in every guest.
    const fd = openSync(file, "r+");
    writeSync(fd, Uint8Array.of(0x5a, 0xa5, 0x5a), 0, 3, (ram?.pagesOffset ?? 0) + 7 * 4096 + 0xc03);
    const damaged = await verified(file, "--deep");
    expect(damaged.code).toBe(1);
    expect(damaged.answer.problems).toMatchObject([{ code: "seal.damaged-page", block: ram?.name, page: 7 }]);
    const refused = await fixedram(["resume", file, "--verify", "--json", "--", "/bin/false"]);
    expect(refused.code).toBe(3);
    expect(JSON.parse(refused.stdout).error.code).toBe("seal.damaged-page");
  });
});
