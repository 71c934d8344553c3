/** What is done to a lazy resume while pages are outstanding: to its page server, to fixedram, to QEMU, to the file, by Ctrl-C. */
import { closeSync, copyFileSync, openSync, renameSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { SnapshotInfo } from "../../src/operations/inspect.ts";
import {
  fixedram,
  type Qemu,
  qemu,
  qemus,
  sha256,
  startFixedram,
  startGuest,
  testFolder,
  verdictOf,
} from "./harness/index.ts";
import { beginLazily, childrenOf, commandOf, slowly, type UnderWay } from "./support/lazy.ts";
import { isRunning } from "./support/processes.ts";
import { saved as bootSaved, type Saved } from "./support/saved.ts";
import { expectWell, long, refusalOf, refused, settingsOf } from "./support/steps.ts";

/** A guest with enough memory that a slow load takes seconds. */
const saved = (one: Qemu) => bootSaved(one, { memory: 128, still: 64, dirtyRate: 8 });

async function infoOf(file: string): Promise<SnapshotInfo> {
  return JSON.parse((await fixedram(["info", file, "--json"])).stdout) as SnapshotInfo;
}

/** The page server at work, one that was not seen before. */
async function serverAfter(load: UnderWay, seen: ReadonlySet<number>): Promise<number> {
  let found = 0;
  await expect
    .poll(
      () => {
        const pid = load.server();
        if (pid !== null && !seen.has(pid)) found = pid;
        return found;
      },
      { timeout: 20_000, interval: 5 },
    )
    .toBeGreaterThan(0);
  return found;
}

async function paused(qmpPath: string): Promise<string> {
  const { QmpClient } = await import("../../src/qmp/client.ts");
  const client = await QmpClient.connect(qmpPath);
  try {
    return ((await client.execute("query-migrate")) as { status?: string }).status ?? "none";
  } finally {
    client.close();
  }
}

/** A waiting QEMU that is attached to, its load under way. */
async function attachLazily({ guest, file }: Saved, more: readonly string[] = []) {
  const waiting = await startGuest({ ...guest.options, incoming: "defer" });
  const settings = await settingsOf(await waiting.qmp());
  const words = ["resume", file, "--lazy", "--json", ...slowly, ...more, "--qmp", waiting.qmpPath];
  const { child, ended } = startFixedram(words);
  let stderr = "";
  await new Promise<void>((resolve, reject) => {
    child.stderr.on("data", (text: string) => {
      stderr += text;
      if (stderr.includes('"code":"running"')) resolve();
    });
    ended.then((run) => reject(new Error(run.stdout + run.stderr)), reject);
  });
  const pid = child.pid ?? -1;
  const server = () => childrenOf(pid).find((each) => commandOf(each).includes("lazy/server")) ?? null;
  return { waiting, settings, child, ended, pid, server, stderr: () => stderr };
}

describe.each(qemus())("QEMU $label ($version)", (one) => {
  test("the page server is killed over and over; the guest gets all of its memory", async () => {
    const { guest, file, before } = await saved(one);
    const digest = await sha256(file);
    const load = await beginLazily(guest, file, one);
    const killed = new Set<number>();
    for (let i = 0; i < (long ? 10 : 3); i++) {
      const pid = await serverAfter(load, killed);
      killed.add(pid);
      process.kill(pid, "SIGKILL");
    }
    const result = await load.answer();
    // One that is killed before it has the file open is replaced without having taken over.
    expect(result.recoveries).toBeGreaterThan(0);
    expect(result.recoveries).toBeLessThanOrEqual(killed.size);
    expectWell(await verdictOf(load.serial, "boot"), before);
    await load.quit(result);
    expect(await sha256(file)).toBe(digest);
  });

  test.skipIf(!long)("[long] a hundred kills, at any moment, over a dozen resumes", { timeout: 900_000 }, async () => {
    const { guest, file, before } = await saved(one);
    let kills = 0;
    const fatal: string[] = [];
    for (let round = 0; round < 12; round++) {
      const load = await beginLazily(guest, file, one).catch((error: unknown) => String(error));
      if (typeof load === "string") {
        fatal.push(load);
        continue;
      }
      const killed = new Set<number>();
      for (let i = 0; i < 10; i++) {
        const pid = await serverAfter(load, killed).catch(() => 0);
        if (pid === 0) break;
        killed.add(pid);
        // From at once to long after it has begun to serve.
        await new Promise((resolve) => setTimeout(resolve, (i * 37 + round * 11) % 150));
        if (isRunning(pid)) process.kill(pid, "SIGKILL");
        kills++;
      }
      const result = await load.answer();
      expectWell(await verdictOf(load.serial, "boot"), before);
      await load.quit(result);
    }
    console.log(`${kills} kills, ${fatal.length} fatal`);
    expect(kills).toBeGreaterThanOrEqual(100);
    expect(fatal).toEqual([]);
  });

  test.skipIf(!long)(
    "[long] killed before the guest runs: named, and the file is as it was",
    { timeout: 1_800_000 },
    async () => {
      const { guest, file, before } = await saved(one);
      const digest = await sha256(file);
      const ends: string[] = [];
      for (let i = 0; i < 12; i++) {
        const waiting = await startGuest({ ...guest.options, incoming: "defer" });
        const qmp = await waiting.qmp();
        const listens = qmp.waitForEvent(({ event, data }) => event === "MIGRATION" && data["status"] === "setup", {
          since: qmp.sequence,
          timeout: 60_000,
        });
        const { child, ended } = startFixedram(["resume", file, "--lazy", "--json", "--qmp", waiting.qmpPath]);
        await listens;
        // Held still, QEMU finds the whole package in its socket, and nobody behind it; else it is killed on the way.
        const held = i % 2 === 1;
        if (held) process.kill(waiting.pid, "SIGSTOP");
        await new Promise((resolve) => setTimeout(resolve, held ? 200 : i * 3));
        const server = childrenOf(child.pid ?? -1).find((each) => commandOf(each).includes("lazy/server"));
        if (server !== undefined) process.kill(server, "SIGKILL");
        if (held) process.kill(waiting.pid, "SIGCONT");
        const run = await ended;
        if (run.code === 0) {
          expectWell(await waiting.verdict(), before);
          ends.push("recovered");
        } else ends.push(refusalOf(run).error.code);
        await waiting.kill();
      }
      console.log(ends.join(" "));
      expect(ends.filter((end) => end !== "recovered" && end !== "qemu.lost-before-run")).toEqual([]);
      expect(await sha256(file)).toBe(digest);
    },
  );

  test("fixedram is killed: the page server goes on alone; both are: recover, from that snapshot only", async () => {
    const scene = await saved(one);
    const { before, file } = scene;
    const alone = await attachLazily(scene);
    const pid = alone.server() ?? 0;
    process.kill(alone.pid, "SIGKILL");
    await expect.poll(() => isRunning(pid), { timeout: 30_000 }).toBe(false);
    expect(await paused(alone.waiting.qmpPath)).toBe("completed");
    expect(await settingsOf(await alone.waiting.qmp())).toEqual(alone.settings);
    expectWell(await alone.waiting.verdict(), before);
    await alone.waiting.kill();

    const both = await attachLazily(scene);
    // A QEMU whose main thread itself waits for a page answers no new QMP connection (docs/guides/lazy.md): not so early.
    await expect.poll(() => both.stderr(), { timeout: 20_000 }).toMatch(/"phase":"load","bytes":[2-9]\d{7}/);
    const server = both.server() ?? 0;
    process.kill(both.pid, "SIGKILL");
    process.kill(server, "SIGKILL");
    const { qmpPath } = both.waiting;
    await expect.poll(() => paused(qmpPath), { timeout: 10_000 }).toBe("postcopy-paused");
    const other = await saved(one);
    const wrong = await refused(["recover", other.file, "--qmp", qmpPath, "--json"]);
    expect(wrong).toMatchObject({ code: 4, error: { code: "guest.other-snapshot" } });
    const unknown = await fixedram(["recover", file, "--qmp", qmpPath, "--json"], { XDG_RUNTIME_DIR: testFolder() });
    expect(refusalOf(unknown).error.code).toBe("guest.unknown-snapshot");
    const copy = join(testFolder(), "copy.fram");
    copyFileSync(file, copy);
    const run = await fixedram(["recover", copy, "--qmp", qmpPath, "--json"]);
    expect(run, run.stdout + run.stderr).toMatchObject({ code: 0 });
    expect(JSON.parse(run.stdout)).toMatchObject({ runState: "running", recoveries: 1 });
    expectWell(await both.waiting.verdict(), before);
    const again = await refused(["recover", file, "--qmp", qmpPath, "--json"]);
    expect(again.error.code).toBe("qemu.not-paused");
  });

  test("told to end, an attached guest's page server goes on by itself: at a hang-up, and at the first Ctrl-C of recover", async () => {
    const scene = await saved(one);
    const { before, file } = scene;
    const { waiting, settings, ended, pid, server, stderr } = await attachLazily(scene);
    const first = server() ?? 0;
    process.kill(pid, "SIGHUP");
    const run = await ended;
    expect(run.code, run.stdout).toBe(129);
    expect(stderr()).toContain(`page server ${first}`);
    expect(isRunning(first)).toBe(true);
    // Not so early that QEMU answers nobody: see the test before.
    const { qmpPath } = waiting;
    await expect.poll(() => paused(qmpPath).catch(() => ""), { timeout: 20_000 }).toBe("postcopy-active");
    process.kill(first, "SIGKILL");
    await expect.poll(() => paused(qmpPath), { timeout: 10_000 }).toBe("postcopy-paused");
    const recover = startFixedram(["recover", file, "--qmp", qmpPath, "--json", "--push-rate", "20M", "--around", "1"]);
    let said = "";
    let second = 0;
    recover.child.stderr.on("data", (text: string) => {
      said += text;
      const found = childrenOf(recover.child.pid ?? -1).find((each) => commandOf(each).includes("lazy/server"));
      if (second !== 0 || found === undefined || !/"phase":"load","bytes":[1-9]/.test(said)) return;
      second = found;
      recover.child.kill("SIGINT");
    });
    const stopped = await recover.ended;
    expect(stopped.code, stopped.stdout + said).toBe(130);
    expect(said).toContain(`page server ${second}`);
    await expect.poll(() => isRunning(second), { timeout: 30_000 }).toBe(false);
    expect(await paused(qmpPath)).toBe("completed");
    expect(await settingsOf(await waiting.qmp())).toEqual(settings);
    expectWell(await waiting.verdict(), before);
  });

  test("QEMU is killed: said, and the file is as it was", async () => {
    const scene = await saved(one);
    const digest = await sha256(scene.file);
    const { waiting, ended } = await attachLazily(scene);
    await waiting.kill();
    const run = await ended;
    expect(run.code).toBe(4);
    expect(refusalOf(run).error.code).toBe("qemu.died");
    expect(await sha256(scene.file)).toBe(digest);
  });

  test("Ctrl-C is explained first, and obeyed then", async () => {
    const { guest, file } = await saved(one);
    const load = await beginLazily(guest, file, one);
    const server = load.server() ?? 0;
    load.signal("SIGINT");
    await expect.poll(() => load.stderr(), { timeout: 10_000 }).toContain("pages-outstanding");
    expect(load.stderr()).toContain("Once more ends QEMU");
    load.signal("SIGINT");
    const run = await load.ended;
    expect(run.code).toBe(130);
    expect(isRunning(server)).toBe(false);
  });
});

describe("the file is", () => {
  test("replaced by another one: the guest gets the pages of the first, also from a new server", async () => {
    const one = qemu("new");
    const { guest, file, before } = await saved(one);
    const load = await beginLazily(guest, file, one);
    const other = join(testFolder(), "other");
    copyFileSync("/bin/ls", other);
    renameSync(other, file);
    process.kill(await serverAfter(load, new Set()), "SIGKILL");
    const result = await load.answer();
    expect(result.recoveries).toBe(1);
    expectWell(await verdictOf(load.serial, "boot"), before);
    await load.quit(result);
  });

  test("cut: an attached guest waits, and is recovered from a whole copy", async () => {
    const scene = await saved(qemu("new"));
    const { file, before } = scene;
    const copy = join(testFolder(), "copy.fram");
    copyFileSync(file, copy);
    const { waiting, ended } = await attachLazily(scene);
    const pages = (await infoOf(file)).blocks.find(({ name }) => name === "pc.ram")?.pagesOffset ?? 0;
    truncateSync(file, pages + 8 * 2 ** 20);
    const run = await ended;
    const { error } = refusalOf(run);
    expect(error.code, error.message).toMatch(/^(?:file\.truncated|file\.changed|seal\.damaged-table)$/);
    expect(error.message).toContain("The guest waits");
    await expect.poll(() => paused(waiting.qmpPath), { timeout: 10_000 }).toBe("postcopy-paused");
    const again = await fixedram(["recover", copy, "--qmp", waiting.qmpPath, "--json"]);
    expect(again, again.stdout).toMatchObject({ code: 0 });
    expectWell(await waiting.verdict(), before);
  });

  test("damaged, with --verify: that page is never answered; a QEMU of ours is ended", async () => {
    const one = qemu("new");
    const { guest, file } = await saved(one);
    const block = (await infoOf(file)).blocks.find(({ name }) => name === "pc.ram");
    const fd = openSync(file, "r+");
    // In the guest's data that is verified: well inside its 64 MiB.
    writeSync(fd, Buffer.from("damage"), 0, 6, (block?.pagesOffset ?? 0) + 40 * 2 ** 20 + 100);
    closeSync(fd);
    const load = await beginLazily(guest, file, one, { args: [...slowly, "--verify"] });
    const run = await load.ended;
    const { error } = refusalOf(run);
    expect(error).toMatchObject({ code: "seal.damaged-page", block: "pc.ram", page: 40 * 256 });
    expect(error.message).toContain("The guest was ended");
    expect(run.code).toBe(3);
  });
});
