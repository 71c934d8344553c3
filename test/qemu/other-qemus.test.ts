/** QEMUs of other Debian releases, and another machine: what they write is read, what is made of it they load. */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { SnapshotInfo } from "../../src/operations/inspect.ts";
import { QmpClient } from "../../src/qmp/client.ts";
import {
  fixedram,
  type Guest,
  type Qemu,
  qemu,
  type Status,
  startGuest,
  startProcess,
  testFolder,
} from "./harness/index.ts";
import { otherQemu } from "./harness/qemus.ts";
import { countsOf, differsFromStock, writeStream } from "./support/legacy.ts";
import { writeMapped } from "./support/mapped.ts";
import { expectWell, loadStock, resume, save, untilState } from "./support/steps.ts";

async function answer<T>(...args: readonly string[]): Promise<T> {
  const run = await fixedram([...args, "--json"]);
  expect(run, run.stdout + run.stderr).toMatchObject({ code: 0 });
  return JSON.parse(run.stdout) as T;
}

async function goesOn(loaded: Guest, before: Status): Promise<void> {
  const qmp = await loaded.qmp();
  if ((await untilState(qmp, (now) => now !== "inmigrate")) !== "running") await qmp.execute("cont");
  expectWell(await loaded.verdict(), before);
  await loaded.kill();
}

async function loadStream(guest: Guest, before: Status, file: string, on: Qemu): Promise<void> {
  await goesOn(await startGuest({ ...guest.options, qemu: on, incoming: `exec:cat ${file}` }), before);
}

const old = otherQemu("debian-11");
describe.skipIf(old === undefined)("QEMU 5.2 (Debian 11)", () => {
  const on = old as Qemu;
  const machine = "pc-i440fx-5.2";

  test("its streams, stopped and with compressed pages: shown, converted, loaded by QEMU 10 and by itself again", async () => {
    for (const wish of [{ stop: true }, { stop: true, capabilities: ["compress"] }]) {
      const guest = await startGuest({ qemu: on, kind: "boot", machine, zeroing: true, dirtyRate: 0 });
      const before = await guest.ready(20_000);
      const file = join(testFolder(), "guest.stream");
      await writeStream(guest, file, wish);
      await guest.kill();
      expect((await countsOf(file)).zlib > 1000).toBe(wish.capabilities !== undefined);
      expect(await answer<SnapshotInfo>("info", file)).toMatchObject({ container: "stream", machine });
      // QEMU itself loads compressed pages only when told to.
      if (wish.capabilities === undefined) expect(await differsFromStock(guest, file)).toEqual([]);
      const fram = join(testFolder(), "guest.fram");
      await answer("convert", file, fram);
      await goesOn(await loadStock(guest.options, fram, "multifd"), before);
      const again = join(testFolder(), "again.stream");
      await answer("convert", fram, again, "--to", "stream");
      await loadStream(guest, before, again, on);
    }
  });

  test("a guest of its is saved and resumed by fixedram", async () => {
    const guest = await startGuest({ qemu: on, kind: "boot", machine, zeroing: true, dirtyRate: 0 });
    const before = await guest.ready(20_000);
    const file = join(testFolder(), "guest.fram");
    expect(await save(guest, file)).toMatchObject({ qemuVersion: on.version });
    expectWell(await guest.verdict(), before);
    await guest.kill();
    for (const target of [on, qemu("new")]) {
      const resumed = await resume(guest, file, target);
      expect(resumed.result.transport).toBe(target === on ? "multifd" : "mapped-ram");
      expectWell(await resumed.verdict(), before);
      await resumed.quit();
    }
  });
});

const newest = otherQemu("sid");
describe.skipIf(newest === undefined)(`QEMU ${newest?.version} (Debian sid)`, () => {
  const on = newest as Qemu;

  test("its mapped-ram files: resumed by itself from the file, converted to a stream that 7.2 loads", async () => {
    const guest = await startGuest({ qemu: on, kind: "boot", zeroing: true });
    const before = await guest.ready(20_000);
    const file = join(testFolder(), "guest.mapped");
    await writeMapped(guest, file, { capabilities: ["multifd"], parameters: { "multifd-channels": 2 } });
    expect(await answer("verify", file)).toMatchObject({ ok: true, container: "mapped-ram" });
    const resumed = await resume(guest, file, on);
    expect(resumed.result).toMatchObject({ transport: "mapped-ram", qemuVersion: on.version });
    expectWell(await resumed.verdict(), before);
    await resumed.quit();
    const stream = join(testFolder(), "guest.stream");
    await answer("convert", file, stream, "--to", "stream");
    await loadStream(guest, before, stream, qemu("old"));
    await answer("seal", file);
    await goesOn(await loadStock(guest.options, file, "multifd + direct-io", on), before);
  });

  test("a guest of its is saved and resumed by fixedram, 10.0's too", async () => {
    const guest = await startGuest({ qemu: on, kind: "boot", zeroing: true });
    const before = await guest.ready(20_000);
    const file = join(testFolder(), "guest.fram");
    await save(guest, file);
    expectWell(await guest.verdict(), before);
    await guest.kill();
    for (const target of [on, qemu("new")]) {
      const resumed = await resume(guest, file, target);
      expect(resumed.result.transport).toBe("mapped-ram");
      expectWell(await resumed.verdict(), before);
      await resumed.quit();
    }
  });

  test("live and in the background too", async () => {
    const guest = await startGuest({ qemu: on, kind: "boot", zeroing: true });
    const before = await guest.ready(20_000);
    const folder = testFolder();
    const modes = ["live", "background"];
    for (const mode of modes) {
      expect(await save(guest, join(folder, mode), "--mode", mode)).toMatchObject({ mode });
      expectWell(await guest.verdict(), before);
    }
    await guest.kill();
    for (const mode of modes) {
      const resumed = await resume(guest, join(folder, mode), on);
      expectWell(await resumed.verdict(), before);
      await resumed.quit();
    }
  });
});

const arms = [otherQemu("arm-old"), otherQemu("arm-new")].filter((one) => one !== undefined);
describe.skipIf(arms.length < 2)("aarch64, machine virt", () => {
  const memory = 48;
  const start = 0x4000_0000;

  /** A machine whose CPU never runs; its memory is what a file put there. */
  async function machine(
    one: Qemu,
    more: readonly string[],
  ): Promise<{ readonly qmp: QmpClient; readonly end: () => Promise<unknown> }> {
    const folder = testFolder();
    const argv = [
      one.path,
      "-nodefaults",
      "-display",
      "none",
      "-machine",
      "virt-7.2",
      "-cpu",
      "cortex-a57",
      "-m",
      String(memory),
      "-S",
    ];
    const socket = join(folder, `qmp-${Math.random()}`);
    const started = await startProcess(
      [...argv, "-qmp", `unix:${socket},server=on,wait=off`, ...more],
      join(folder, "log"),
    );
    for (;;) {
      const qmp = await QmpClient.connect(socket).catch(() => null);
      if (qmp !== null) return { qmp, end: () => started.kill("SIGKILL") };
      if (started.exit() !== undefined) throw new Error(readFileSync(join(folder, "log"), "utf8"));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async function memoryOf(qmp: QmpClient): Promise<Buffer> {
    const path = join(testFolder(), "memory");
    await qmp.execute("pmemsave", { val: start, size: memory * 2 ** 20, filename: path });
    return readFileSync(path);
  }

  async function migrated(
    qmp: QmpClient,
    command: string,
    uri: string,
    capabilities: readonly string[] = [],
  ): Promise<void> {
    const all = ["events", ...capabilities].map((capability) => ({ capability, state: true }));
    await qmp.execute("migrate-set-capabilities", { capabilities: all });
    const since = qmp.sequence;
    await qmp.execute(command, { uri });
    const { data } = await qmp.waitForEvent(
      ({ event, data }) => event === "MIGRATION" && (data["status"] === "completed" || data["status"] === "failed"),
      { since, timeout: 60_000 },
    );
    const said = JSON.stringify(await qmp.execute("query-migrate").catch(String));
    expect(data["status"], said).toBe("completed");
  }

  test("a stream of 7.2, whose page size is in it, to a file and back to a stream that 7.2 loads", async () => {
    const [older] = arms as [Qemu, Qemu];
    const content = join(testFolder(), "content");
    writeFileSync(content, randomBytes(5 * 2 ** 20));
    const place = start + 16 * 2 ** 20;
    const source = await machine(older, ["-device", `loader,file=${content},addr=${place},force-raw=on`]);
    const wanted = await memoryOf(source.qmp);
    expect(wanted.subarray(16 * 2 ** 20, 21 * 2 ** 20).equals(readFileSync(content))).toBe(true);
    const stream = join(testFolder(), "arm.stream");
    await migrated(source.qmp, "migrate", `exec:cat > ${stream}`);
    await source.end();
    expect(readFileSync(stream).includes("configuration/target-page-bits")).toBe(true);
    const info = await answer<SnapshotInfo>("info", stream);
    expect(info).toMatchObject({ machine: "virt-7.2" });
    expect(info.blocks.map(({ name, pageSize }) => [name, pageSize])).toContainEqual(["mach-virt.ram", 4096]);
    const fram = join(testFolder(), "arm.fram");
    await answer("convert", stream, fram);
    expect(await answer("verify", fram, "--deep")).toMatchObject({ ok: true });
    const again = join(testFolder(), "again.stream");
    await answer("convert", fram, again, "--to", "stream");
    const back = await machine(older, ["-incoming", "defer"]);
    await migrated(back.qmp, "migrate-incoming", `exec:cat ${again}`);
    expect((await memoryOf(back.qmp)).equals(wanted)).toBe(true);
    await back.end();
  });

  test("a mapped-ram file of QEMU 10, by way of a stream, to a file that QEMU 10 loads", async () => {
    const [, newer] = arms as [Qemu, Qemu];
    const content = join(testFolder(), "content");
    writeFileSync(content, randomBytes(5 * 2 ** 20));
    const source = await machine(newer, ["-device", `loader,file=${content},addr=${start + 2 ** 24},force-raw=on`]);
    const wanted = await memoryOf(source.qmp);
    const mapped = join(testFolder(), "arm.mapped");
    await migrated(source.qmp, "migrate", `file:${mapped}`, ["mapped-ram"]);
    await source.end();
    const stream = join(testFolder(), "arm.stream");
    await answer("convert", mapped, stream, "--to", "stream");
    const fram = join(testFolder(), "arm.fram");
    await answer("convert", stream, fram);
    expect(await answer("verify", fram, "--deep")).toMatchObject({ ok: true });
    const there = await machine(newer, ["-incoming", "defer"]);
    await migrated(there.qmp, "migrate-incoming", `file:${fram}`, ["mapped-ram"]);
    expect((await memoryOf(there.qmp)).equals(wanted)).toBe(true);
    await there.end();
  });
});
