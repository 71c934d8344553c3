import { spawnSync } from "node:child_process";
import { mkdtempSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { connectQmp } from "../../src/qemu/connect.ts";
import { queryDisks } from "../../src/qemu/disks.ts";
import { inspectGuest } from "../../src/qemu/inspect.ts";
import { type MemoryRange, queryMemoryMap, queryRamblocks } from "../../src/qemu/memory-map.ts";
import { describeProcess, findQemu } from "../../src/qemu/process.ts";
import { canReach } from "../../src/qemu/reach.ts";
import { whoHolds } from "../../src/qemu/sockets.ts";
import * as qmp from "../../src/qmp/commands.ts";
import { restoreSettings, snapshotSettings } from "../../src/qmp/migration-settings.ts";
import { type Machine, machine, qemus } from "./real-qemus.ts";

const running: Machine[] = [];
afterEach(async () => {
  for (const each of running.splice(0)) await each.end();
});

describe.each(qemus)("$name", ({ path, missing }) => {
  const start = async (args: string, folder?: string): Promise<Machine> => {
    const started = await machine(path, args, folder);
    running.push(started);
    return started;
  };
  const it = test.skipIf(missing);

  const MiB = 1024 * 1024;
  const ofBlock = (map: readonly MemoryRange[], block: string) => map.filter((range) => range.block === block);
  const sum = (map: readonly MemoryRange[]) => map.reduce((total, range) => total + range.length, 0);

  it.each(["pc", "q35", "microvm"])("memory map of a bare %s", async (type) => {
    const { client } = await start(`-machine ${type} -m 64`);
    const map = await queryMemoryMap(client);
    const blocks = await queryRamblocks(client);
    const main = type === "microvm" ? "microvm.ram" : "pc.ram";
    expect(blocks.find((block) => block.name === main)).toMatchObject({
      pageSize: 4096,
      used: 64 * MiB,
      total: 64 * MiB,
    });
    expect(map[0]).toMatchObject({ start: 0, block: main, offset: 0, readOnly: false });
    // The hole below 1 MiB is covered by ROMs; everything from 1 MiB on is RAM.
    expect(ofBlock(map, main).at(-1)).toMatchObject({ start: MiB, length: 63 * MiB, offset: MiB });
    expect(ofBlock(map, "pc.bios").at(-1)).toMatchObject({ offset: 0 });
    const last = map.at(-1);
    expect((last?.start ?? 0) + (last?.length ?? 0)).toBe(2 ** 32);
    for (const range of map) {
      const block = blocks.find((each) => each.name === range.block);
      expect(range.offset + range.length).toBeLessThanOrEqual(block?.used ?? -1);
    }
    for (const [i, range] of map.entries()) {
      const before = map[i - 1];
      if (before !== undefined) expect(range.start).toBeGreaterThanOrEqual(before.start + before.length);
    }
  });

  it("memory map past 4 GiB goes round the hole, complete machine", async () => {
    const { client } = await start(
      "-machine q35 -m 5G -smp 2 -device VGA -netdev user,id=n -device virtio-net-pci,netdev=n",
    );
    const map = await queryMemoryMap(client);
    const ram = ofBlock(map, "pc.ram");
    expect(ram.at(-1)).toEqual({
      start: 2 ** 32,
      length: 3 * 2 ** 30,
      block: "pc.ram",
      region: "pc.ram",
      offset: 2 * 2 ** 30,
      readOnly: false,
    });
    expect(sum(ram)).toBeLessThanOrEqual(5 * 2 ** 30);
    expect(sum(ram)).toBeGreaterThan(5 * 2 ** 30 - MiB);
    expect(map.every((range) => range.block !== null)).toBe(true);
  });

  it("facts, memory backend, name and uuid", async () => {
    const uuid = "11111111-2222-3333-4444-555555555555";
    const { client } = await start(
      `-object memory-backend-memfd,id=mem0,size=64M,share=on -machine pc,memory-backend=mem0 -m 64 -smp 2 -cpu qemu64,+avx -name g,debug-threads=on -uuid ${uuid}`,
    );
    const facts = await inspectGuest(client);
    expect(facts).toMatchObject({
      accelerator: "tcg",
      machine: expect.stringMatching(/^pc-i440fx-[0-9.]+$/),
      cpu: { model: "qemu64", count: 2, target: "x86_64" },
      name: "g",
      uuid,
      running: false,
      runState: "prelaunch",
      blockers: [],
      migrationStatus: "none",
      suppressVmdesc: false,
      memory: {
        backends: [{ id: "mem0", size: 64 * MiB, shared: true, type: "memory-backend-memfd", path: null }],
        mainBlocks: expect.arrayContaining(["mem0"]),
      },
    });
    expect(facts.cpu.flags).toContain("sse2");
    expect(facts.cpu.flags).not.toContain("realized");
    expect(facts.capabilities["return-path"]).toBe(false);
    expect(ofBlock(await queryMemoryMap(client), "mem0").length).toBe(2);
    expect(facts.capabilities["mapped-ram"]).toBe(facts.version.major >= 9 ? false : undefined);
    expect((await inspectGuest(client, { cpuFlags: false })).cpu.flags).toEqual([]);
  });

  it("a blocker is in QEMU's own words", async () => {
    const { client } = await start(
      "-machine pc -m 64 -device ivshmem-plain,memdev=s,master=off -object memory-backend-ram,id=s,size=1M,share=on",
    );
    const { blockers } = await inspectGuest(client, { cpuFlags: false });
    expect(blockers.length).toBeGreaterThan(0);
    expect(blockers.join()).toMatch(/ivshmem|Migration is disabled/);
  });

  it("run state verbs, and an answer that is not as documented", async () => {
    const { client } = await start("-machine pc -m 64");
    const since = client.sequence;
    await qmp.cont(client);
    await client.waitForEvent((event) => event.event === "RESUME", { since, timeout: 5000 });
    expect((await qmp.queryStatus(client)).status).toBe("running");
    await qmp.stop(client);
    expect((await qmp.queryStatus(client)).status).toBe("paused");
    await expect(qmp.migrate(client, "nonsense:")).rejects.toMatchObject({
      code: "qmp.command",
      details: { said: expect.any(String) },
    });
    await qmp.quit(client);
  });

  it("settings come back exactly, each can be set to its own value", async () => {
    const { client } = await start("-machine pc -m 64");
    await client.execute("migrate-set-parameters", { "max-bandwidth": 9223372036853727232n });
    const before = await snapshotSettings(client);
    for (const [name, value] of Object.entries(before.parameters)) {
      if (name !== "max-bandwidth") await client.execute("migrate-set-parameters", { [name]: value });
    }
    const capabilities = { "return-path": true, events: true, multifd: true, "x-nonsense": true };
    expect((await qmp.setMigrateCapabilities(client, capabilities)).unknown).toEqual(["x-nonsense"]);
    const parameters = {
      "downtime-limit": 2_000_000,
      "max-bandwidth": 0,
      "multifd-channels": 4,
      "tls-hostname": "x",
      "no-such": 1,
    };
    expect((await qmp.setMigrateParameters(client, parameters)).unknown).toEqual(["no-such"]);
    expect(await snapshotSettings(client)).not.toEqual(before);
    // As another process would: through JSON.
    const result = await restoreSettings(client, JSON.parse(JSON.stringify(before)));
    expect(result.failed).toEqual([]);
    expect([...result.capabilities].sort()).toEqual(["events", "multifd", "return-path"]);
    expect([...result.parameters].sort()).toEqual([
      "downtime-limit",
      "max-bandwidth",
      "multifd-channels",
      "tls-hostname",
    ]);
    expect(await snapshotSettings(client)).toEqual(before);
    expect(await qmp.queryMigrateParameters(client)).toMatchObject({ "max-bandwidth": 9223372036853727232n });
    expect(await restoreSettings(client, before)).toEqual({ capabilities: [], parameters: [], failed: [] });
  });

  it("what QEMU refuses to take back does not keep the rest from coming back", async () => {
    const { client } = await start("-machine pc -m 64");
    const before = await snapshotSettings(client);
    await qmp.setMigrateCapabilities(client, { events: true });
    await qmp.setMigrateParameters(client, { "downtime-limit": 5 });
    const wrong = {
      ...before,
      capabilities: { ...before.capabilities, "gone-by": true },
      parameters: { ...before.parameters, "multifd-channels": 100_000 },
    };
    const result = await restoreSettings(client, wrong);
    expect(result.capabilities).toEqual(["events"]);
    expect(result.parameters).toEqual(["downtime-limit"]);
    expect(result.failed.map((each) => each.name).sort()).toEqual(["gone-by", "multifd-channels"]);
    expect(await snapshotSettings(client)).toEqual(before);
  });

  it("process, argv and who holds the socket", async () => {
    const { client, path: socket, pid, folder } = await start("-machine none -name a\nb,debug-threads=on");
    const process_ = findQemu({ kind: "unix", path: socket });
    expect(process_).toMatchObject({ pid, cwd: folder, argvExact: true, sameMounts: true, sameNetwork: true });
    expect(process_?.argv).toContain("a\nb,debug-threads=on");
    expect(process_?.startTime).toBe(describeProcess(pid)?.startTime);
    if (spawnSync("ss", ["-V"]).error === undefined) {
      expect(whoHolds({ kind: "unix", path: socket })).toContain("this very process");
    }
    await expect(connectQmp(socket, { greetingTimeout: 100 })).rejects.toMatchObject({ code: "qmp.busy" });
    // The kernel queues one more; past that it refuses at once.
    const crowd = Array.from({ length: 4 }, () => connect(socket).on("error", () => {}));
    await expect(connectQmp(socket, { greetingTimeout: 200 })).rejects.toMatchObject({ code: "qmp.busy" });
    for (const each of crowd) each.destroy();
    expect(client.closed).toBe(false);
  });

  it("found through TCP and through a relative path", async () => {
    const port = 20000 + (process.pid % 20000) + (path.includes("cache") ? 1 : 0);
    const { pid, folder } = await start(
      `-machine none -qmp tcp:127.0.0.1:${port},server=on,wait=off -qmp unix:rel.sock,server=on,wait=off`,
    );
    expect(findQemu({ kind: "tcp", host: "127.0.0.1", port })?.pid).toBe(pid);
    expect(findQemu({ kind: "unix", path: join(folder, "rel.sock") })?.pid).toBe(pid);
    expect(findQemu({ kind: "unix", path: join(folder, "no.sock") })).toBe(null);
    const client = await connectQmp(`tcp:127.0.0.1:${port}`);
    expect((await qmp.queryStatus(client)).running).toBe(false);
    client.close();
  });

  it("disks: chain, relative names, snapshot=on, read-only, no file", async () => {
    const folder = mkdtempSync(join(tmpdir(), "fixedram-test-"));
    const image = (...args: string[]) =>
      expect(spawnSync("qemu-img", ["create", "-q", ...args], { cwd: folder }).status).toBe(0);
    image("-f", "qcow2", "base,1.qcow2", "8M");
    image("-f", "qcow2", "-b", "base,1.qcow2", "-F", "qcow2", "top.qcow2");
    writeFileSync(join(folder, "raw.img"), "");
    truncateSync(join(folder, "raw.img"), MiB);
    const { client, pid } = await start(
      "-machine q35 -m 64 -drive file=top.qcow2,if=virtio,id=d0 -drive file=raw.img,format=raw,if=virtio,id=d1,readonly=on" +
        " -drive file=raw.img,format=raw,if=virtio,id=d2,snapshot=on" +
        ' -blockdev {"driver":"null-co","node-name":"nn","size":1048576,"read-zeroes":true} -device virtio-blk-pci,drive=nn,id=vd',
      folder,
    );
    const disks = await queryDisks(client, describeProcess(pid));
    expect(disks.map((disk) => disk.device)).toEqual(["d0", "d1", "d2", "vd"]);
    const [d0, d1, d2, vd] = disks;
    const stat = statSync(join(folder, "top.qcow2"), { bigint: true });
    expect(d0).toMatchObject({
      format: "qcow2",
      protocol: "file",
      path: join(folder, "top.qcow2"),
      readOnly: false,
      temporary: false,
      virtualSize: 8 * MiB,
      file: { mtime: String(stat.mtimeNs), inode: String(stat.ino), device: String(stat.dev), size: Number(stat.size) },
      backing: [{ format: "qcow2", path: join(folder, "base,1.qcow2"), file: { size: expect.any(Number) } }],
    });
    expect(d1).toMatchObject({
      format: "raw",
      path: join(folder, "raw.img"),
      readOnly: true,
      backing: [],
      file: { size: MiB },
    });
    expect(d2).toMatchObject({ temporary: true, file: null, backing: [{ path: join(folder, "raw.img") }] });
    expect(vd).toMatchObject({ protocol: "null-co", path: null, file: null, nodeName: "nn", temporary: false });
    // Without the process, a relative name cannot be looked at.
    expect((await queryDisks(client, null))[0]).toMatchObject({ path: "top.qcow2", file: null });
  });

  it("a folder that QEMU sees", async () => {
    const { pid, folder } = await start("-machine none");
    const process_ = describeProcess(pid);
    if (process_ === null) throw new Error("gone");
    expect(canReach(process_, folder)).toEqual({ answer: "yes", why: "" });
    const other = { ...process_, uid: 65534, gid: 65534, groups: [], ignoresModes: false };
    expect(canReach(other, folder)).toMatchObject({ answer: "no", why: expect.stringContaining("65534") });
    expect(canReach(other, folder, { uid: 65534 })).toMatchObject({ answer: "yes" });
    expect(canReach(process_, join(folder, "none"))).toMatchObject({ answer: "no" });
  });
});
