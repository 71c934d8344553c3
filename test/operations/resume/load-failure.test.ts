import { describe, expect, test } from "vitest";
import { FixedramError } from "../../../src/errors.ts";
import type { Destination } from "../../../src/operations/resume/destination.ts";
import { LoadWatch, requireRunning } from "../../../src/operations/resume/load.ts";
import { loadFailure } from "../../../src/operations/resume/load-failure.ts";
import { fakeQemu, outcome, seen } from "../fake-qemu.ts";
import { failure } from "../synthetic.ts";

const failed = (said?: string) =>
  new FixedramError("qemu.load-failed", "QEMU could not load the snapshot", said === undefined ? {} : { said });

async function destination(words = "", own = true) {
  const qemu = await fakeQemu();
  const client = await qemu.client();
  const started = own ? { pid: 1, qmp: qemu.path, ended: Promise.resolve({ code: 1, signal: null }) } : null;
  const made = {
    client,
    process: null,
    started,
    paused: false,
    words: () => words,
    letGo: () => {},
    giveUp: async () => {},
  };
  return { qemu, client, made: made as unknown as Destination };
}

describe("what is said, and the remedy", () => {
  test.each([
    ["Machine type received is 'pc-q35-7.2' and local is 'pc-i440fx-7.2'", "-machine"],
    ["Size mismatch: pc.ram: 0x4000000 != 0x8000000: Invalid argument", "-m"],
    ['Unknown ramblock "vga.vram", cannot accept migration', "same memory"],
    ["Unknown savevm section or instance '0000:00:03.0/virtio-net' 0", "same devices"],
    ["error while loading state for instance 0x0 of device 'cpu'", "same devices"],
    ["host doesn't support requested feature: CPUID", "-cpu"],
    ['Failed to get "write" lock', "uses a disk"],
    ["the moon is full", "Compare"],
  ])("%s", async (said, hint) => {
    const { made } = await destination();
    const error = await loadFailure(failed(said), made);
    expect(error).toMatchObject({ code: "qemu.load-failed", details: { said, hint: expect.stringContaining(hint) } });
  });

  test("a broken connection is no reason: QMP's error-desc is, and what QEMU printed", async () => {
    const { qemu, made } = await destination("qemu: load of migration failed: Invalid argument");
    qemu.state.errorDesc = "Section footer error";
    const error = (await loadFailure(failed(), made)) as FixedramError;
    expect(error.details.said).toBe("Section footer error\nqemu: load of migration failed: Invalid argument");
  });

  test("a QEMU that ended has left its last words", async () => {
    const { client, made } = await destination("Size mismatch: pc.ram");
    client.close();
    const error = await loadFailure(new FixedramError("qmp.closed", "gone"), made);
    expect(error).toMatchObject({ code: "qemu.load-failed", details: { said: "Size mismatch: pc.ram" } });
  });

  test("another's QEMU: look at its messages", async () => {
    const { made } = await destination("", false);
    const error = (await loadFailure(failed(), made)) as FixedramError;
    expect(error.details).toEqual({ hint: "Look at QEMU's own messages." });
  });

  test("other errors, and an interruption, are passed on as they are", async () => {
    const { made } = await destination();
    const other = new FixedramError("file.truncated", "cut");
    expect(await loadFailure(other, made)).toBe(other);
    const error = failed();
    expect(await loadFailure(error, made, AbortSignal.abort())).toBe(error);
    expect(await loadFailure("x", made)).toBe("x");
  });
});

describe("LoadWatch", () => {
  test("loaded when completed and out of inmigrate", async () => {
    const { qemu, client } = await destination();
    qemu.state.runState = "inmigrate";
    const loaded = new LoadWatch(client).loaded();
    qemu.emit("MIGRATION", { status: "active" });
    qemu.emit("MIGRATION", { status: "completed" });
    await seen(client);
    expect(await outcome(loaded)).toBe("pending");
    qemu.state.runState = "running";
    await loaded;
  });

  test("a QEMU that has loaded all and stays in inmigrate is not waited for for ever", async () => {
    const { qemu, client, made } = await destination('Failed to get "write" lock');
    qemu.state.runState = "inmigrate";
    const loaded = new LoadWatch(client, 40).loaded();
    qemu.emit("MIGRATION", { status: "completed" });
    const error = await loaded.catch((error) => error);
    expect(error).toMatchObject({ code: "qemu.load-failed", details: { found: "run state inmigrate" } });
    expect(await loadFailure(error, made)).toMatchObject({
      message: "QEMU loaded the snapshot, but does not let the guest run; the file is as it was",
      details: { said: expect.stringContaining("lock"), hint: expect.stringContaining("uses a disk") },
    });
    const silent = await destination("", false);
    expect(await loadFailure(error, silent.made)).toMatchObject({
      details: { hint: expect.stringContaining("disks") },
    });
  });

  test("a guest that ran and was left paused is told of, unless somebody wanted it so", async () => {
    const { qemu, made } = await destination();
    const state = (name: string) => {
      const payload = new Uint8Array(104);
      payload.set(new TextEncoder().encode(name), 4);
      return { devices: [{ name: "globalstate", payload }] } as unknown as Parameters<typeof requireRunning>[0];
    };
    const ours = made;
    qemu.state.runState = "paused";
    expect(await failure(() => requireRunning(state("running"), ours))).toMatchObject({
      code: "qemu.load-failed",
      details: { found: "run state paused" },
    });
    await requireRunning(state("paused"), ours);
    await requireRunning(state("running"), { ...ours, paused: true });
    qemu.state.runState = "running";
    await requireRunning(state("running"), ours);
  });

  test("failed, with QEMU's words; and an event from before it was made does not count", async () => {
    const { qemu, client } = await destination();
    qemu.emit("MIGRATION", { status: "completed" });
    await seen(client);
    const watch = new LoadWatch(client);
    qemu.state.errorDesc = "bad footer";
    qemu.emit("MIGRATION", { status: "failed" });
    await expect(watch.loaded()).rejects.toMatchObject({ code: "qemu.load-failed", details: { said: "bad footer" } });
  });

  test("QMP closing, and the signal, end the wait", async () => {
    const { qemu, client } = await destination();
    const abort = new AbortController();
    const waiting = new LoadWatch(client).loaded(abort.signal);
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: "interrupted.aborted" });
    const again = new LoadWatch(client).loaded();
    for (const socket of qemu.server.sockets) socket.destroy();
    await expect(again).rejects.toMatchObject({ code: "qmp.closed" });
  });
});
