/** Conversions of what real QEMUs wrote, loaded by stock QEMUs and by fixedram: the guest's own verdict decides. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { ConvertResult } from "../../src/operations/convert.ts";
import {
  fixedram,
  type Guest,
  type GuestOptions,
  type Qemu,
  qemu,
  qemus,
  ROOT,
  type Status,
  startGuest,
} from "./harness/index.ts";
import { type StreamWish, writeStream } from "./support/legacy.ts";
import { expectWell, loadStock, long, save, untilState } from "./support/steps.ts";

async function convert(...args: readonly string[]): Promise<ConvertResult> {
  const run = await fixedram(["convert", ...args, "--json"]);
  expect(run, run.stdout + run.stderr).toMatchObject({ code: 0 });
  return JSON.parse(run.stdout) as ConvertResult;
}

interface Saved {
  readonly guest: Guest;
  readonly before: Status;
  readonly file: string;
}

async function streamOf(options: Partial<GuestOptions> & Pick<GuestOptions, "qemu">, wish: StreamWish): Promise<Saved> {
  const guest = await startGuest({ kind: "boot", zeroing: true, ...options });
  const before = await guest.ready();
  const file = join(guest.folder, "guest.stream");
  await writeStream(guest, file, wish);
  await guest.kill();
  return { guest, before, file };
}

/** Stock QEMU takes a stream; nothing of ours is involved. */
async function loadStream({ guest, before }: Saved, file: string, on: Qemu): Promise<void> {
  const loaded = await startGuest({ ...guest.options, qemu: on, incoming: `exec:cat ${file}` });
  await goesOn(loaded, before);
}

async function loadFile({ guest, before }: Saved, file: string): Promise<void> {
  await goesOn(await loadStock(guest.options, file, "multifd"), before);
}

async function goesOn(loaded: Guest, before: Status): Promise<void> {
  const qmp = await loaded.qmp();
  const state = await untilState(qmp, (now) => now !== "inmigrate");
  if (state !== "running") await qmp.execute("cont");
  expectWell(await loaded.verdict(), before);
  await loaded.kill();
}

const wishes: readonly (readonly [string, StreamWish])[] = [
  ["stopped", { stop: true }],
  ["background", { capabilities: ["background-snapshot"] }],
];

for (const one of qemus()) {
  describe(`streams of QEMU ${one.version}`, () => {
    test.each(wishes)("%s: to fixed-ram, which stock QEMU 10 loads; and back to a stream", async (_name, wish) => {
      const saved = await streamOf({ qemu: one }, wish);
      const fram = join(saved.guest.folder, "out.fram");
      await convert(saved.file, fram);
      await loadFile(saved, fram);
      const again = join(saved.guest.folder, "again.stream");
      await convert(fram, again, "--to", "stream");
      for (const target of long ? qemus() : [qemu("old")]) await loadStream(saved, again, target);
    });

    test("a fixed-ram file of ours to a stream", async () => {
      const guest = await startGuest({ kind: "boot", qemu: one });
      const before = await guest.ready();
      const file = join(guest.folder, "guest.fram");
      await save(guest, file, "--then", "quit");
      const stream = join(guest.folder, "out.stream");
      await convert(file, stream, "--to", "stream");
      for (const target of qemus()) await loadStream({ guest, before, file }, stream, target);
    });
  });
}

test("QEMU's migration piped into convert", async () => {
  const guest = await startGuest({ kind: "boot", qemu: qemu("new") });
  const before = await guest.ready();
  const fram = join(guest.folder, "out.fram");
  const qmp = await guest.qmp();
  await qmp.execute("migrate-set-capabilities", { capabilities: [{ capability: "events", state: true }] });
  const since = qmp.sequence;
  await qmp.execute("migrate", { uri: `exec:${process.execPath} ${join(ROOT, "bin/fixedram")} convert - ${fram}` });
  const { data } = await qmp.waitForEvent(
    ({ event, data }) => event === "MIGRATION" && (data["status"] === "completed" || data["status"] === "failed"),
    { since, timeout: 60_000 },
  );
  expect(data["status"]).toBe("completed");
  // QEMU is done when it has written; convert gives the file its name a moment later.
  await until(() => existsSync(fram));
  await guest.kill();
  await loadFile({ guest, before, file: fram }, fram);
});

test("a mapped-ram file of QEMU 10 to a stream that 7.2 loads", async () => {
  const guest = await startGuest({ kind: "boot", qemu: qemu("new") });
  const before = await guest.ready();
  const file = join(guest.folder, "qemu.mapped");
  const qmp = await guest.qmp();
  const capabilities = ["events", "mapped-ram"].map((capability) => ({ capability, state: true }));
  await qmp.execute("migrate-set-capabilities", { capabilities });
  const since = qmp.sequence;
  await qmp.execute("migrate", { uri: `file:${file}` });
  await qmp.waitForEvent(({ event, data }) => event === "MIGRATION" && data["status"] === "completed", {
    since,
    timeout: 60_000,
  });
  await guest.kill();
  const stream = join(guest.folder, "out.stream");
  await convert(file, stream, "--to", "stream");
  await loadStream({ guest, before, file }, stream, qemu("old"));
  // Raw memory is what the file's pages are.
  await convert(file, join(guest.folder, "raw"), "--to", "raw");
  expect(execFileSync("stat", ["-c", "%s", join(guest.folder, "raw", "pc.ram.raw")], { encoding: "utf8" })).toBe(
    `${guest.options.memory * 2 ** 20}\n`,
  );
});

async function until(is: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!is() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
}
