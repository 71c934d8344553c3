/** The guard as a real process, with a QMP server of the test's. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { settleEarlierSave } from "../../../src/operations/save/guarded.ts";
import {
  type Journal,
  journalPath,
  journals,
  readJournal,
  writeJournal,
} from "../../../src/operations/save/journal.ts";
import { startTimeOf } from "../../../src/qemu/process.ts";
import { snapshotSettings } from "../../../src/qmp/migration-settings.ts";
import { type FakeQemu, fakeQemu } from "../fake-qemu.ts";
import { failure } from "../synthetic.ts";

const me = { pid: process.pid, startTime: startTimeOf(process.pid) ?? 0 };
/** No pid can have been given out twice at the same tick. */
const dead = { pid: process.pid, startTime: 1 };
const patience = { timeout: 15_000, interval: 20 };

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fixedram-test-"));
  vi.stubEnv("XDG_RUNTIME_DIR", folder);
  onTestFinished(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true, force: true });
  });
});

/** A QEMU in the middle of a save, and what the saver notes of it. */
async function midway(qemuProcess = me): Promise<{ qemu: FakeQemu; journal: Omit<Journal, "guardPid"> }> {
  const qemu = await fakeQemu();
  const client = await qemu.client();
  const settings = await snapshotSettings(client);
  client.close();
  Object.assign(qemu.state, { runState: "finish-migrate", migration: "active" });
  qemu.on["migrate_cancel"] = () => Object.assign(qemu.state, { runState: "paused", migration: "cancelled" });
  qemu.state.parameters["downtime-limit"] = 2_000_000;
  const partial = join(folder, ".x.partial");
  writeFileSync(partial, "half");
  const sockets = join(folder, "sockets");
  mkdirSync(sockets);
  const shared = { version: 1, saver: me, qmp: `unix:${qemu.path}`, qemu: qemuProcess, runState: "running" } as const;
  return {
    qemu,
    journal: {
      ...shared,
      settings,
      partial,
      folder: sockets,
      breakFreezes: false,
      patient: false,
      cancelCrashes: false,
      abandoned: false,
    },
  };
}

async function startSaver(
  journal: Omit<Journal, "guardPid">,
  ...more: readonly string[]
): Promise<{ saver: ChildProcess; guardPid: number }> {
  const script = join(import.meta.dirname, "saver.ts");
  const saver = spawn(process.execPath, ["--import", "tsx", script, JSON.stringify(journal), ...more], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  onTestFinished(() => void saver.kill("SIGKILL"));
  const [line] = (await once(saver.stdout ?? saver, "data")) as [Buffer];
  return { saver, guardPid: Number(String(line)) };
}

const gone = (pid: number) => vi.waitFor(() => expect(startTimeOf(pid)).toBe(null), patience);

describe("the guard process", () => {
  test("ends at `done`, without a word to QEMU, and the note goes", async () => {
    const { qemu, journal } = await midway();
    const before = qemu.commands().length;
    const { saver, guardPid } = await startSaver(journal);
    expect(readJournal(journalPath(journal.qmp))).toMatchObject({ guardPid, qmp: journal.qmp, runState: "running" });
    expect(journals()).toHaveLength(1);
    saver.stdin?.write("end\n");
    await once(saver, "exit");
    await gone(guardPid);
    expect(qemu.commands().slice(before)).toEqual([]);
    expect(journals()).toEqual([]);
    expect(existsSync(journal.partial ?? "")).toBe(true);
  });

  test("puts everything back when the saver is killed, and clears away after it", async () => {
    const { qemu, journal } = await midway();
    const { saver, guardPid } = await startSaver(journal);
    saver.kill("SIGKILL");
    await gone(guardPid);
    expect(qemu.state).toMatchObject({ runState: "running", migration: "cancelled" });
    expect(qemu.state.parameters["downtime-limit"]).toBe(300);
    expect([existsSync(journal.partial ?? ""), existsSync(journal.folder ?? "")]).toEqual([false, false]);
    expect(journals()).toEqual([]);
  });

  test("tries again, on a connection of its own each time, when QEMU refuses at first", async () => {
    const { qemu, journal } = await midway();
    let tries = 0;
    qemu.on["cont"] = () => {
      if (++tries < 3) throw "Migration is not finalized yet";
      qemu.state.runState = "running";
    };
    const open: number[] = [];
    qemu.on["query-status"] = () => {
      open.push(qemu.server.sockets.filter((socket) => !socket.closed && !socket.readableEnded).length);
      return { status: qemu.state.runState, running: qemu.state.runState === "running" };
    };
    const { saver, guardPid } = await startSaver(journal);
    saver.kill("SIGKILL");
    await gone(guardPid);
    expect([qemu.state.runState, tries]).toEqual(["running", 3]);
    expect(Math.max(...open)).toBe(1);
  });

  test("leaves another QEMU behind the same socket alone when its own is gone", async () => {
    const { qemu, journal } = await midway(dead);
    const before = qemu.commands().length;
    const { saver, guardPid } = await startSaver(journal);
    saver.kill("SIGKILL");
    await gone(guardPid);
    expect(qemu.commands().slice(before)).toEqual([]);
    expect([existsSync(journal.partial ?? ""), journals()]).toEqual([false, []]);
  });

  test("of a saver that was killed before it wrote its note leaves another's alone", async () => {
    const { qemu, journal } = await midway();
    writeJournal(journalPath(journal.qmp), { ...journal, saver: dead, guardPid: null });
    const before = qemu.commands().length;
    const { saver, guardPid } = await startSaver(journal, "early");
    saver.kill("SIGKILL");
    await gone(guardPid);
    expect([qemu.commands().slice(before), journals().length]).toEqual([[], 1]);
  });
});

describe("settleEarlierSave", () => {
  const settle = (qemu: FakeQemu) => settleEarlierSave(`unix:${qemu.path}`, () => qemu.client());

  test("nothing was left: a connection, and nothing to say", async () => {
    const { qemu } = await midway();
    const { client, found } = await settle(qemu);
    expect([found, client.closed]).toEqual([null, false]);
  });

  test("a saver that died with its guard: the guest is put back from the note, and that is said", async () => {
    const { qemu, journal } = await midway();
    writeJournal(journalPath(journal.qmp), { ...journal, saver: dead, guardPid: null });
    const { found } = await settle(qemu);
    expect(found).toContain("had no guard left");
    expect([qemu.state.runState, existsSync(journal.partial ?? ""), journals()]).toEqual(["running", false, []]);
  });

  test("a guard at work is waited for", async () => {
    const { qemu, journal } = await midway();
    let allowed = false;
    qemu.on["cont"] = () => {
      if (!allowed) throw "not yet";
      qemu.state.runState = "running";
    };
    const { saver } = await startSaver(journal);
    saver.kill("SIGKILL");
    await once(saver, "exit");
    const settled = settle(qemu);
    await vi.waitFor(() => expect(qemu.commands()).toContain("cont"), patience);
    allowed = true;
    expect((await settled).found).toContain("its guard has put the guest back");
    expect(qemu.state.runState).toBe("running");
  });

  test("a save that is under way is left alone", async () => {
    const { qemu, journal } = await midway();
    writeJournal(journalPath(journal.qmp), { ...journal, guardPid: null });
    expect((await settle(qemu)).found).toBe(null);
    expect([qemu.state.runState, journals().length]).toEqual(["finish-migrate", 1]);
  });

  test("another QEMU behind the same socket is not touched", async () => {
    const { qemu, journal } = await midway(dead);
    writeJournal(journalPath(journal.qmp), { ...journal, saver: dead, guardPid: null });
    await settle(qemu);
    expect([qemu.state.runState, journals(), existsSync(journal.partial ?? "")]).toEqual(["finish-migrate", [], false]);
  });

  test("putting back that fails leaves the note for the next, and no open connection", async () => {
    const { qemu, journal } = await midway();
    writeJournal(journalPath(journal.qmp), { ...journal, saver: dead, guardPid: null });
    qemu.on["cont"] = () => {
      throw "Device is locked";
    };
    expect((await failure(() => settle(qemu))).code).toBe("qmp.command");
    expect(journals()).toHaveLength(1);
    await vi.waitFor(() => expect(qemu.server.sockets.every((socket) => socket.readableEnded)).toBe(true));
  });

  test("a guard that is still at work is not overtaken", async () => {
    const { qemu, journal } = await midway();
    writeJournal(journalPath(journal.qmp), { ...journal, saver: dead, guardPid: process.pid });
    const waiting = settleEarlierSave(journal.qmp, () => qemu.client(), undefined, 60);
    await expect(waiting).rejects.toMatchObject({ code: "guest.being-put-back" });
    expect(qemu.state.migration).toBe("active");
  });

  test("a migration whose end would freeze the guest is not cancelled", async () => {
    const { qemu, journal } = await midway();
    Object.assign(qemu.state, { runState: "running" });
    writeJournal(journalPath(journal.qmp), { ...journal, saver: dead, guardPid: null, breakFreezes: true });
    (await settle(qemu)).client.close();
    expect(qemu.state.migration).toBe("active");
    expect(qemu.state.parameters["downtime-limit"]).toBe(300);
  });

  test("a note that its living saver has given up on is settled all the same", async () => {
    const { qemu, journal } = await midway();
    writeJournal(journalPath(journal.qmp), { ...journal, saver: me, guardPid: null, abandoned: true });
    const { client, found } = await settle(qemu);
    client.close();
    expect(found).toContain("put back first");
    expect(qemu.state.parameters["downtime-limit"]).toBe(300);
  });

  test("aborted while it waits", async () => {
    const { qemu, journal } = await midway();
    // This very process stands for a guard that is at work.
    writeJournal(journalPath(journal.qmp), { ...journal, saver: dead, guardPid: process.pid });
    const waiting = settleEarlierSave(journal.qmp, () => qemu.client(), AbortSignal.timeout(60));
    await expect(waiting).rejects.toThrow(/timeout|abort/i);
  });
});

describe("the note", () => {
  const note = async () => {
    const { journal } = await midway();
    return { path: journalPath(journal.qmp), journal: { ...journal, guardPid: 5 } };
  };

  test("comes back as it was; a half-written one is never seen, and nothing is left beside it", async () => {
    const { path, journal } = await note();
    writeJournal(path, journal);
    writeJournal(path, { ...journal, guardPid: 6 });
    expect(readJournal(path)).toEqual({ ...journal, guardPid: 6 });
    expect(readdirSync(join(path, ".."))).toEqual([path.split("/").at(-1)]);
  });

  test.each([
    ["not there", null],
    ["empty", ""],
    ["cut", '{"version":1,"saver"'],
    ["of another version", '{"version":2}'],
  ])("%s is none", async (_name, text) => {
    const { path } = await note();
    if (text !== null) writeFileSync(path, text);
    expect(readJournal(path)).toBe(null);
  });

  test("that cannot be written is an error of the system, and leaves nothing", async () => {
    const { path, journal } = await note();
    mkdirSync(path);
    writeFileSync(join(path, "x"), "");
    expect((await failure(() => writeJournal(path, journal))).code).toBe("system.io");
    expect(readdirSync(join(path, "..")).length).toBe(1);
  });

  test("is the same one from whatever folder the socket is named", () => {
    const here = process.cwd();
    expect(journalPath("unix:qmp.sock")).toBe(journalPath(`unix:${here}/qmp.sock`));
    expect(journalPath("unix:qmp.sock")).not.toBe(journalPath("unix:/qmp.sock"));
    expect(journalPath("tcp:127.0.0.1:4444")).not.toBe(journalPath("tcp:127.0.0.1:4445"));
  });
});
