/** What a page server does for a QEMU when it is through and nobody else is left. */
import { expect, test } from "vitest";
import { putBack } from "../../../src/operations/lazy/put-back.ts";
import { startTimeOf } from "../../../src/qemu/process.ts";
import { snapshotSettings } from "../../../src/qmp/migration-settings.ts";
import { fakeQemu } from "../fake-qemu.ts";

const self = { pid: process.pid, startTime: startTimeOf(process.pid) ?? 0 };

async function scene(migration: string) {
  const qemu = await fakeQemu();
  const client = await qemu.client();
  const settings = await snapshotSettings(client);
  client.close();
  qemu.state.capabilities["events"] = true;
  qemu.state.migration = migration;
  return { qemu, left: { qmp: qemu.path, qemu: self, settings } };
}

test("gives the settings back", async () => {
  const { qemu, left } = await scene("completed");
  expect(await putBack(left)).toBe(true);
  expect(qemu.state.capabilities["events"]).toBe(false);
});

test("does nothing to a QEMU that still needs them, nor to another process", async () => {
  const { qemu, left } = await scene("postcopy-paused");
  expect(await putBack(left, 150)).toBe(false);
  qemu.state.migration = "completed";
  expect(await putBack({ ...left, qemu: { ...self, startTime: self.startTime + 1 } })).toBe(false);
  expect(qemu.state.capabilities["events"]).toBe(true);
});

test("waits until the load has come to its end", async () => {
  const { qemu, left } = await scene("postcopy-active");
  const done = putBack(left, 5000);
  setTimeout(() => {
    qemu.state.migration = "completed";
  }, 120);
  expect(await done).toBe(true);
  expect(qemu.state.capabilities["events"]).toBe(false);
});
