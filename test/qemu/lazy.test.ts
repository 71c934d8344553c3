/** Lazy resume: the guest runs at once, its memory comes as it touches it, and is right. */
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  fixedram,
  type GuestOptions,
  hasQemu,
  type Qemu,
  qemu,
  qemus,
  startGuest,
  testFolder,
} from "./harness/index.ts";
import { lazily } from "./support/lazy.ts";
import { expectWell, long, noticesOf, refused, resumeCommand, runState, save, settingsOf } from "./support/steps.ts";

async function saved(options: GuestOptions) {
  const guest = await startGuest(options);
  const before = await guest.ready(120_000);
  const file = join(testFolder(), "guest.fram");
  await save(guest, file, "--then", "quit");
  await guest.exited;
  return { guest, file, before };
}

async function convert(file: string, to: string): Promise<string> {
  const out = join(testFolder(), `guest.${to}`);
  const xml = join(testFolder(), "domain.xml");
  writeFileSync(xml, "<domain type='qemu'><name>guest</name></domain>\n");
  const more = to === "libvirt-sparse" ? ["--xml", xml] : [];
  const run = await fixedram(["convert", file, out, "--to", to, ...more, "--json"]);
  expect(run, run.stderr + run.stdout).toMatchObject({ code: 0 });
  return out;
}

/** QEMU's own mapped-ram file of the same guest. */
async function mappedByQemu(file: string, options: GuestOptions): Promise<string> {
  const out = join(testFolder(), "guest.mapped");
  const one = qemu("new");
  const guest = await startGuest({ ...options, qemu: one, incoming: "defer" });
  const resumed = await fixedram(["resume", file, "--qmp", guest.qmpPath, "--json"]);
  expect(resumed, resumed.stdout).toMatchObject({ code: 0 });
  const qmp = await guest.qmp();
  const on = ["mapped-ram", "events"].map((capability) => ({ capability, state: true }));
  await qmp.execute("migrate-set-capabilities", { capabilities: on });
  const since = qmp.sequence;
  await qmp.execute("stop");
  await qmp.execute("migrate", { uri: `file:${out}` });
  await qmp.waitForEvent(({ data }) => data["status"] === "completed", { since, timeout: 60_000 });
  await guest.kill();
  return out;
}

describe.each(qemus())("QEMU $label ($version)", (one) => {
  test("from every container: the guest is as it was, and the four times are told", async () => {
    const { guest, file, before } = await saved({ qemu: one, kind: "boot", memory: 128, still: 64, zeroing: true });
    const files = [file, await convert(file, "stream"), await convert(file, "libvirt-sparse")];
    if (hasQemu("new")) files.push(await mappedByQemu(file, guest.options));
    for (const each of files) {
      const resumed = await lazily(guest, each, one);
      const { times, faults, recoveries, bytes } = resumed.result;
      // QEMU's own file was made of a guest that stood still.
      if (each.endsWith(".mapped")) await resumed.execute("cont");
      expectWell(await resumed.verdict(), before);
      expect(resumed.result, each).toMatchObject({ times: { stallFrom: "qemu" } });
      expect([times.running, times.complete, times.stall].every((time) => time >= 0)).toBe(true);
      expect(faults.latency.count).toBe(faults.served);
      expect({ recoveries, some: bytes > 64 * 2 ** 20 }).toEqual({ recoveries: 0, some: true });
      await resumed.quit();
    }
  });

  test("a Linux guest with two CPUs, a disk, a network card and a VGA display checks its memory", async () => {
    const { guest, file, before } = await saved({
      ...{ qemu: one, kind: "linux", machine: "q35", smp: 2, vga: "std", dirtyRate: 8 },
    });
    const other = qemus().find((each) => each !== one && long) ?? one;
    const resumed = await lazily(guest, file, other, { args: ["--verify"] });
    expectWell(await resumed.verdict(), before);
    await resumed.quit();
  });

  test("--qmp attaches, --paused holds the guest, and QEMU has its own settings afterwards", async () => {
    const { guest, file, before } = await saved({ qemu: one, kind: "boot" });
    const waiting = await startGuest({ ...guest.options, incoming: "defer" });
    const qmp = await waiting.qmp();
    await qmp.execute("migrate-set-parameters", { "multifd-channels": 5 });
    const multifd = { capabilities: [{ capability: "multifd", state: true }] };
    await qmp.execute("migrate-set-capabilities", multifd);
    const settings = await settingsOf(qmp);
    const run = await fixedram(["resume", file, "--lazy", "--paused", "--qmp", waiting.qmpPath, "--json"]);
    expect(run, run.stdout).toMatchObject({ code: 0 });
    expect(JSON.parse(run.stdout)).toMatchObject({ runState: "paused", process: null });
    expect(noticesOf(run.stderr).join("\n")).toMatch(/capability-off .*multifd/);
    expect(await settingsOf(qmp)).toEqual(settings);
    expect(await runState(qmp)).toBe("paused");
    await qmp.execute("cont");
    expectWell(await waiting.verdict(), before);
  });

  test("what was paused when it was saved stays paused", async () => {
    const guest = await startGuest({ qemu: one, kind: "boot" });
    const before = await guest.ready(10_000);
    await (await guest.qmp()).execute("stop");
    const file = join(testFolder(), "guest.fram");
    await save(guest, file, "--then", "quit");
    const resumed = await lazily(guest, file, one);
    expect(resumed.result.runState).toBe("paused");
    await resumed.execute("cont");
    expectWell(await resumed.verdict(), before);
    await resumed.quit();
  });

  test("a destination that does not fit is refused before anything runs", async () => {
    const { guest, file } = await saved({ qemu: one, kind: "boot" });
    const { argv } = resumeCommand({ ...guest.options, memory: 128, qemu: one });
    expect(await refused(["resume", file, "--lazy", "--json", "--", ...argv])).toMatchObject({
      code: 4,
      error: { code: "qemu.blocks-differ", block: "pc.ram" },
    });
    const other = resumeCommand({ ...guest.options, machine: "pc-q35-7.2", qemu: one });
    const { code, error } = await refused(["resume", file, "--lazy", "--json", "--", ...other.argv]);
    expect({ code, error: error.code }).toEqual({ code: 4, error: "qemu.load-failed" });
    expect(error.said).toMatch(/Machine type received is 'pc-i440fx-7.2'/);
  });

  test("the working set of the first resume is sent ahead of the second; one of another snapshot is refused if named, else replaced", async () => {
    const { guest, file, before } = await saved({ qemu: one, kind: "boot", memory: 128, still: 64 });
    const first = await lazily(guest, file, one);
    await first.verdict();
    await first.quit();
    const path = `${file}.workset`;
    const recorded = JSON.parse(readFileSync(path, "utf8")) as { resumes: number; runs: number[][] };
    expect(recorded.resumes).toBe(1);
    expect(recorded.runs.length).toBeGreaterThan(3);
    const second = await lazily(guest, file, one);
    expect(second.result.prefetch.pages).toBeGreaterThan(3);
    expectWell(await second.verdict(), before);
    await second.quit();
    expect((JSON.parse(readFileSync(path, "utf8")) as { resumes: number }).resumes).toBe(2);
    const another = await saved({ qemu: one, kind: "boot" });
    const { argv } = resumeCommand({ ...another.guest.options, qemu: one });
    const words = ["resume", another.file, "--lazy", "--json", "--prefetch", path, "--", ...argv];
    expect(await refused(words)).toMatchObject({ code: 3, error: { code: "file.other-working-set" } });
    const stale = `${another.file}.workset`;
    copyFileSync(path, stale);
    const third = await lazily(another.guest, another.file, one);
    expect(third.result.notices).toContainEqual(expect.objectContaining({ code: "working-set" }));
    expectWell(await third.verdict(), another.before);
    await third.quit();
    expect((JSON.parse(readFileSync(stale, "utf8")) as { resumes: number }).resumes).toBe(1);
  });
});

test.skipIf(!hasQemu("old"))("what one QEMU saved another one resumes lazily", async () => {
  const pairs: readonly (readonly [Qemu, Qemu])[] = [
    [qemu("new"), qemu("old")],
    [qemu("old"), qemu("new")],
  ];
  for (const [from, to] of pairs) {
    const { guest, file, before } = await saved({ qemu: from, kind: "boot", machine: "q35" });
    const resumed = await lazily(guest, file, to);
    expectWell(await resumed.verdict(), before);
    await resumed.quit();
  }
});
