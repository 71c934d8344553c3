/** What is refused before the guest is touched: each with its code, the guest running on as it was, its settings too. */
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { QmpClient } from "../../src/qmp/client.ts";
import {
  atTestEnd,
  type Guest,
  type GuestOptions,
  type Qemu,
  qemu,
  qemus,
  startGuest,
  testFolder,
} from "./harness/index.ts";
import {
  expectWell,
  noticesOf,
  type Refusal,
  refused,
  runState,
  save,
  saveRefused,
  settingsOf,
} from "./support/steps.ts";

const asRoot = process.getuid?.() === 0;

/** Runs the refused save, then looks at the guest: nothing of it may have changed, and it must have gone on. */
async function refusedUntouched(guest: Guest, out: string, ...args: readonly string[]): Promise<Refusal> {
  const qmp = await guest.qmp();
  const before = { settings: await settingsOf(qmp), state: await runState(qmp), sequence: qmp.sequence };
  const stops: string[] = [];
  qmp.on("event", ({ event }) => stops.push(event));
  const refusal = await saveRefused(guest, out, ...args);
  expect(await settingsOf(qmp)).toEqual(before.settings);
  expect(await runState(qmp)).toBe(before.state);
  expect(stops.filter((event) => event === "STOP" || event === "MIGRATION")).toEqual([]);
  if (before.state === "running") expect(await guest.answers()).toBe(true);
  return refusal;
}

describe.each(qemus())("QEMU $label ($version)", (one) => {
  async function start(more: Partial<GuestOptions> = {}): Promise<Guest> {
    const guest = await startGuest({ qemu: one, kind: "boot", ...more });
    if (!(more.extraArgs ?? []).includes("-S")) await guest.ready(10_000);
    return guest;
  }

  test("a blocker is named in QEMU's own words", async () => {
    // Not migratable on either QEMU, from its start on, and without anything of the host.
    const guest = await start({ extraArgs: ["-device", "nvme,serial=1"] });
    const file = join(testFolder(), "guest.fram");
    const reasons = ((await (await guest.qmp()).execute("query-migrate")) as { "blocked-reasons"?: string[] })[
      "blocked-reasons"
    ];
    expect(reasons).toHaveLength(1);
    const { code, error } = await refusedUntouched(guest, file);
    expect({ code, what: error.code }).toEqual({ code: 4, what: "guest.migration-blocked" });
    expect(error.said).toContain(reasons?.[0]);
    expect(existsSync(file)).toBe(false);
  });

  test("targets that cannot hold pages, one after another", async () => {
    const guest = await start();
    const folder = testFolder();
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    const socket = join(folder, "socket");
    const server = await listening(socket);
    const cases: readonly (readonly [string, string, number])[] = [
      [pipe, "usage.target-is-pipe", 2],
      [socket, "usage.target-is-socket", 2],
      [folder, "usage.target-is-folder", 2],
      ["/dev/null", "usage.target-is-device", 2],
      [join(folder, "none", "guest.fram"), "usage.target-no-folder", 2],
      // Not even root may make files there.
      ["/sys/guest.fram", asRoot ? "system.permission" : "system.folder-not-writable", 5],
    ];
    for (const [out, what, exit] of cases) {
      const { code, error } = await refusedUntouched(guest, out);
      expect({ out, code, what: error.code }).toEqual({ out, code: exit, what });
    }
    server.close();
  });

  test("states in which a guest cannot be saved: postmigrate, background while paused, a migration under way", async () => {
    const guest = await start();
    const file = join(testFolder(), "guest.fram");
    const qmp = await guest.qmp();
    await qmp.execute("stop");
    const background = await refusedUntouched(guest, file, "--mode", "background");
    expect(background).toMatchObject({ code: 4, error: { code: "guest.run-state", found: "paused" } });
    await qmp.execute("cont");

    // A reader that never reads: the migration stays active.
    const stuck = join(testFolder(), "stuck");
    const server = await listening(stuck, (connection) => connection.pause());
    await qmp.execute("migrate", { uri: `unix:${stuck}` });
    const active = await saveRefused(guest, file);
    expect(active).toMatchObject({ code: 4, error: { code: "guest.migration-active" } });
    expect((await qmp.execute("query-migrate")) as object).toMatchObject({
      status: expect.stringMatching(/^(setup|active|device)$/),
    });
    await qmp.execute("migrate_cancel");
    server.close();

    await save(guest, file, "--then", "quit");
    const other = await startGuest({ ...guest.options });
    await other.ready(10_000);
    const otherQmp = await other.qmp();
    const since = otherQmp.sequence;
    await otherQmp.execute("migrate-set-capabilities", { capabilities: [{ capability: "events", state: true }] });
    await otherQmp.execute("migrate", { uri: "exec:cat >/dev/null" });
    await otherQmp.waitForEvent(({ data }) => data["status"] === "completed", { since, timeout: 30_000 });
    expect(await runState(otherQmp)).toBe("postmigrate");
    const moved = await refusedUntouched(other, file);
    expect(moved).toMatchObject({ code: 4, error: { code: "guest.run-state", found: "postmigrate" } });
    expect(moved.error.hint).toContain("cont");
    await otherQmp.execute("cont");
    await save(other, file);
  });

  test.skipIf(!asRoot)("QEMU of another user: root's socket folder is given to it, and the save works", async () => {
    const guest = await startAs(one);
    const before = await guest.ready(10_000);
    const file = join(testFolder(), "guest.fram");
    await save(guest, file);
    // The file is ours, not QEMU's: it never opens it.
    expect(statSync(file)).toMatchObject({ uid: 0 });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expectWell(await guest.verdict(), before);
  });

  test.skipIf(!asRoot)("a socket folder that QEMU's user cannot reach is refused, with the way out", async () => {
    const guest = await startAs(one);
    await guest.ready(10_000);
    const closed = mkdtempSync(join(tmpdir(), "fr-closed-"));
    atTestEnd(() => rmSync(closed, { recursive: true }));
    const file = join(testFolder(), "guest.fram");
    const { code, error } = await refusedUntouched(guest, file, "--socket-dir", closed);
    expect({ code, what: error.code }).toEqual({ code: 4, what: "qemu.cannot-reach" });
    expect(error.found).toContain(closed);
    expect(error.hint).toContain("--socket-dir");
    chmodSync(closed, 0o711);
    await save(guest, file, "--socket-dir", closed);
  });
});

test("a busy QMP socket is named with its holder; one that is not QMP, and one that is not there", async () => {
  const guest = await startGuest({ qemu: qemu("new"), kind: "boot" });
  await guest.ready(10_000);
  const file = join(testFolder(), "guest.fram");
  const holder = await QmpClient.connect(guest.qmpPath);
  const busy = await saveRefused(guest, file);
  expect(busy).toMatchObject({ code: 4, error: { code: "qmp.busy" } });
  expect(JSON.stringify(busy.error)).toContain(String(process.pid));
  holder.close();
  await save(guest, file);

  const notQmp = await refused(["save", file, "--qmp", guest.serialPath, "--json"]);
  expect(notQmp.code).toBe(4);
  expect(["qmp.not-qmp", "qmp.busy", "qmp.garbage"]).toContain(notQmp.error.code);
  const nowhere = join(testFolder(), "nowhere");
  expect(await refused(["save", file, "--qmp", nowhere, "--json"])).toMatchObject({
    code: 4,
    error: { code: "qmp.no-socket", path: `unix:${nowhere}` },
  });
  writeFileSync(nowhere, "");
  const plain = await refused(["save", file, "--qmp", nowhere, "--json"]);
  expect(plain.code).toBe(4);
  const monitor = join(testFolder(), "monitor");
  const human = await startGuest({ ...guest.options, extraArgs: ["-monitor", `unix:${monitor},server=on,wait=off`] });
  await human.ready(10_000);
  expect(await refused(["save", file, "--qmp", monitor, "--json"])).toMatchObject({
    code: 4,
    error: { code: "qmp.not-qmp" },
  });
  expect(noticesOf(plain.stderr)).toEqual([]);
});

async function listening(path: string, onConnection?: (socket: import("node:net").Socket) => void): Promise<Server> {
  const server = createServer(onConnection);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  atTestEnd(() => {
    server.close();
  });
  return server;
}

/** A guest whose QEMU runs as nobody, in a folder that nobody can enter. */
async function startAs(one: Qemu): Promise<Guest> {
  const folder = testFolder();
  chmodSync(folder, 0o711);
  const user = one.label === "old" ? ["-runas", "nobody"] : ["-run-with", "user=nobody"];
  const guest = await startGuest({ qemu: one, kind: "boot", extraArgs: user }, folder);
  chmodSync(guest.folder, 0o711);
  for (const path of [guest.qmpPath, guest.testQmpPath, guest.serialPath]) chownSync(path, 65534, 65534);
  return guest;
}
