import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { doctor } from "../../src/operations/doctor.ts";
import { findQemuPrograms, probeQemu } from "../../src/qemu/find.ts";
import { probeAccelerator, probeFolder, probeUserfaultfd } from "../../src/qemu/probe.ts";
import { probeFirmware } from "../../src/qemu/probe-firmware.ts";
import { describeProcess, presentBytes, startTimeOf } from "../../src/qemu/process.ts";
import { canReach } from "../../src/qemu/reach.ts";
import { onPath, startQemu } from "../../src/qemu/start.ts";
import { queryMigrateCapabilities, queryStatus } from "../../src/qmp/commands.ts";
import { qemus } from "./real-qemus.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "fixedram-test-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function script(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

const bare = "-machine none -display none -nodefaults".split(" ");
const [first] = qemus;
const qemu = first?.path ?? "";
const it = test.skipIf(first?.missing !== false);

describe("starting a QEMU", () => {
  it("starts it, speaks to it, ends it, removes the socket", async () => {
    const started = await startQemu([qemu, "-machine", "pc", "-m", "16", "-display", "none", "-nodefaults"]);
    expect((await queryStatus(started.client)).status).toBe("inmigrate");
    expect(startTimeOf(started.pid)).not.toBe(null);
    expect(existsSync(started.qmp)).toBe(true);
    // QEMU itself has some 20 MiB and more; its guest's memory has not been touched.
    expect(presentBytes(started.pid)).toBeGreaterThan(2 ** 23);
    await started.stop();
    expect(startTimeOf(started.pid)).toBe(null);
    expect(presentBytes(started.pid)).toBe(null);
    expect(existsSync(dirname(started.qmp))).toBe(false);
    expect(await started.stop()).toEqual(await started.ended);
  });

  it("its own words when it refuses, and nothing is left", async () => {
    // A folder of its own: other tests make theirs in the shared one at the same time.
    const sockets = mkdtempSync(join(tmpdir(), "fixedram-test-"));
    await expect(startQemu([qemu, "-machine", "no-such"], { socketDir: sockets })).rejects.toMatchObject({
      code: "qemu.exited",
      details: { said: expect.stringContaining("unsupported machine type"), found: "code 1" },
    });
    expect(readdirSync(sockets)).toEqual([]);
    rmSync(sockets, { recursive: true });
  });

  test("no such program", async () => {
    await expect(startQemu([join(folder, "none")])).rejects.toMatchObject({ code: "qemu.not-started" });
    await expect(startQemu(["no-such-qemu"])).rejects.toMatchObject({ code: "qemu.not-started" });
  });

  test("a program that never listens is ended, with what it said", async () => {
    const pidfile = join(folder, "pid");
    const mute = script("mute", `echo starting >&2; echo $$ > ${pidfile}; exec sleep 1000`);
    await expect(startQemu([mute], { timeout: 500 })).rejects.toMatchObject({
      code: "qemu.start-timeout",
      details: { said: "starting" },
    });
    expect(startTimeOf(Number(readFileSync(pidfile, "utf8")))).toBe(null);
  });

  test("an interrupted start leaves nothing", async () => {
    const pidfile = join(folder, "pid2");
    const mute = script("mute2", `echo $$ > ${pidfile}; exec sleep 1000`);
    const own = AbortSignal.timeout(300);
    await expect(startQemu([mute], { signal: own })).rejects.toMatchObject({ code: "interrupted.aborted" });
    expect(startTimeOf(Number(readFileSync(pidfile, "utf8")))).toBe(null);
    await expect(startQemu([mute], { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "interrupted.aborted",
    });
  });

  test("a program that says nothing: what to look at", async () => {
    const silent = script("silent", "exit 1");
    await expect(startQemu([silent])).rejects.toMatchObject({
      code: "qemu.exited",
      details: { found: "code 1", hint: expect.stringContaining("QEMU") },
    });
  });

  test("a flood on stderr: the end is kept", async () => {
    const noisy = script("noisy", "seq 1 200000 >&2; echo the reason >&2; exit 7");
    await expect(startQemu([noisy])).rejects.toMatchObject({
      code: "qemu.exited",
      details: { found: "code 7", said: expect.stringMatching(/the reason$/) },
    });
    await startQemu([noisy]).catch((error) => expect(error.details.said.length).toBeLessThanOrEqual(16384));
  });

  it("ends with us, even by kill -9", async () => {
    if (onPath("setpriv") === null) return console.warn("skipped: no setpriv, kill -9 of us leaves QEMU behind");
    const module = resolve(import.meta.dirname, "../../src/qemu/start.ts");
    const entry = join(folder, "parent.mts");
    writeFileSync(
      entry,
      `import { startQemu } from ${JSON.stringify(module)};
       const qemu = await startQemu(${JSON.stringify([qemu, ...bare])}, { incoming: false, socketDir: ${JSON.stringify(folder)} });
       console.log(qemu.pid);`,
    );
    const tsx = resolve(import.meta.dirname, "../../node_modules/tsx/dist/loader.mjs");
    const parent = spawn(process.execPath, ["--import", tsx, entry], { stdio: ["ignore", "pipe", "inherit"] });
    const pid = await new Promise<number>((done) => parent.stdout.once("data", (chunk) => done(Number(String(chunk)))));
    const client = describeProcess(pid);
    expect(client?.executable).toMatch(/qemu/);
    const gone = new Promise((done) => parent.once("exit", done));
    parent.kill("SIGKILL");
    await gone;
    await expect.poll(() => startTimeOf(pid), { timeout: 5000 }).toBe(null);
  });
});

describe("finding and probing", () => {
  it("each QEMU is found once and tells its capabilities", async () => {
    const link = join(folder, "qemu-system-x86_64");
    spawnSync("ln", ["-s", qemu, link]);
    const found = findQemuPrograms([link, qemu, join(folder, "none")]);
    expect(found.filter((path) => path === link || path === qemu)).toEqual([link]);
    const probed = await probeQemu(qemu);
    expect(probed).toMatchObject({
      target: "x86_64",
      problem: null,
      version: { text: expect.stringMatching(/^\d+\.\d+\.\d+$/) },
    });
    const started = await startQemu([qemu, ...bare], { incoming: false });
    expect(probed.capabilities).toEqual(Object.keys(await queryMigrateCapabilities(started.client)));
    await started.stop();
  });

  test("one that hangs, one that fails, one that is none", async () => {
    const pidfile = join(folder, "pid3");
    const hangs = script("qemu-system-hang", `echo $$ > ${pidfile}; exec sleep 1000`);
    expect(await probeQemu(hangs, { timeout: 300 })).toMatchObject({
      target: "hang",
      version: null,
      problem: expect.stringContaining("greet"),
    });
    expect(startTimeOf(Number(readFileSync(pidfile, "utf8")))).toBe(null);
    expect((await probeQemu(script("qemu-system-bad", "echo broken library >&2; exit 127"))).problem).toBe(
      "broken library",
    );
    expect((await probeQemu(join(folder, "none"))).problem).toContain("ENOENT");
  });

  test("a signal ends what is being asked, and leaves no process", async () => {
    const pidfile = join(folder, "pid4");
    const waits = script("qemu-system-waits", `echo $$ > ${pidfile}; exec sleep 1000`);
    /** Aborts when that program runs. */
    const whenRunning = async (stop: AbortController): Promise<number> => {
      const pid = await vi.waitFor(() => Number(/^\d+\n/.exec(readFileSync(pidfile, "utf8"))?.[0] ?? fail()), 10_000);
      stop.abort(new Error("enough"));
      rmSync(pidfile);
      return pid;
    };
    const fail = (): never => {
      throw new Error("not yet");
    };
    let stop = new AbortController();
    const [asked, asking] = await Promise.all([
      doctor({ folder, qemus: [waits], signal: stop.signal }).catch((error: Error) => error.message),
      whenRunning(stop),
    ]);
    expect([asked, startTimeOf(asking)]).toEqual(["enough", null]);
    stop = new AbortController();
    const [probed, probing] = await Promise.all([
      probeAccelerator(waits, "tcg", { timeout: 60_000, signal: stop.signal }),
      whenRunning(stop),
    ]);
    expect([probed.works, startTimeOf(probing)]).toEqual([false, null]);
  });

  it("the probe's guest runs under TCG; what it says of KVM, it has tried", async () => {
    expect(await probeAccelerator(qemu, "tcg")).toMatchObject({ works: true });
    const kvm = await probeAccelerator(qemu, "kvm", { timeout: 1500 });
    expect(kvm.why).toMatch(kvm.works ? /ran under KVM/ : /did nothing|\/dev\/kvm|KVM|kvm/);
    const hangs = script("qemu-system-x86_64-hangs", "exec sleep 1000");
    expect(await probeAccelerator(hangs, "tcg", { timeout: 200 })).toMatchObject({
      works: false,
      why: expect.stringContaining("did nothing"),
    });
  });

  test("the probe's firmware is its source, assembled", () => {
    if (onPath("nasm") === null) return console.warn("skipped: no nasm");
    const out = join(folder, "firmware.bin");
    const source = join(import.meta.dirname, "probe-firmware.asm");
    expect(spawnSync("nasm", ["-f", "bin", "-o", out, source]).status).toBe(0);
    expect(Buffer.compare(readFileSync(out), probeFirmware())).toBe(0);
  });

  test("folders", () => {
    expect(probeFolder(folder)).toMatchObject({ writable: true, sparse: { works: true } });
    expect(readdirSync(folder).filter((name) => name.startsWith(".fixedram-probe"))).toEqual([]);
    expect(probeFolder(join(folder, "none"))).toMatchObject({ writable: false, free: 0 });
    expect(probeFolder("/proc")).toMatchObject({ writable: false });
    expect(probeUserfaultfd().why).not.toBe("");
  });

  it("doctor is JSON throughout", async () => {
    const report = await doctor({ folder, qemus: [script("qemu-system-broken", "exit 1")] });
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
    expect(report.qemus.some((each) => each.path === qemu && each.modes.stop)).toBe(true);
    expect(report.problems.join()).toContain("qemu-system-broken");
  });
});

describe("who can reach a folder", () => {
  const root = process.getuid?.() === 0;
  test.skipIf(!root)("another user, another mount namespace, another root", async () => {
    const inner = join(folder, "inner");
    mkdirSync(inner);
    chmodSync(folder, 0o711);
    chmodSync(inner, 0o755);
    const wait = `echo ready; exec sleep 1000`;
    const run = async (program: string, ...args: string[]) => {
      const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
      await new Promise((done) => child.stdout.once("data", done));
      const found = describeProcess(child.pid ?? -1);
      if (found === null) throw new Error("gone");
      return { found, end: () => child.kill("SIGKILL") };
    };
    const nobody = await run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", wait);
    expect(nobody.found).toMatchObject({ uid: 65534, gid: 65534, ignoresModes: false });
    expect(canReach(nobody.found, inner).answer).toBe("yes");
    chmodSync(folder, 0o700);
    expect(canReach(nobody.found, inner)).toMatchObject({
      answer: "no",
      why: expect.stringContaining(`enter ${folder}`),
    });
    nobody.end();
    const hidden = await run("unshare", "-m", "sh", "-c", `mount -t tmpfs none ${folder} && ${wait}`);
    expect(hidden.found.sameMounts).toBe(false);
    expect(canReach(hidden.found, inner)).toMatchObject({
      answer: "no",
      why: expect.stringContaining("mount namespace"),
    });
    hidden.end();
    const shared = await run("unshare", "-m", "sh", "-c", wait);
    expect(canReach(shared.found, inner).answer).toBe("yes");
    shared.end();
    expect(canReach({ ...shared.found, pid: 2 ** 30 }, inner).answer).toBe("unknown");
  });
});
