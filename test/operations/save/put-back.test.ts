import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { putBack, removeLeftOvers } from "../../../src/operations/save/put-back.ts";
import { snapshotSettings } from "../../../src/qmp/migration-settings.ts";
import { fakeQemu } from "../fake-qemu.ts";
import { failure } from "../synthetic.ts";

/** A QEMU whose settings a save has changed, in the middle of it. */
async function midway(runState: string, migration: string, was = "running") {
  const qemu = await fakeQemu();
  const client = await qemu.client();
  const settings = await snapshotSettings(client);
  Object.assign(qemu.state, { runState, migration });
  qemu.state.capabilities["return-path"] = true;
  qemu.state.parameters["downtime-limit"] = 2_000_000;
  const restored = () => [qemu.state.capabilities["return-path"], qemu.state.parameters["downtime-limit"]];
  return { qemu, client, before: { runState: was, settings }, restored };
}
const wereBack = [false, 300];

describe("putBack", () => {
  test.each(["none", "completed", "failed", "cancelled"])("a migration that is %s is not cancelled", async (status) => {
    const { qemu, client, before, restored } = await midway("running", status);
    expect(await putBack(client, before)).toBe("running");
    expect(qemu.commands()).not.toContain("migrate_cancel");
    expect(qemu.commands()).not.toContain("cont");
    expect(restored()).toEqual(wereBack);
  });

  test("one under way is cancelled once and waited for", async () => {
    const { qemu, client, before, restored } = await midway("running", "active");
    let looks = 0;
    qemu.on["migrate_cancel"] = () => {
      qemu.state.migration = "cancelling";
    };
    qemu.on["query-migrate"] = () => {
      if (qemu.state.migration === "cancelling" && ++looks === 3) qemu.state.migration = "cancelled";
      return { status: qemu.state.migration };
    };
    expect(await putBack(client, before)).toBe("running");
    expect(qemu.commands().filter((name) => name === "migrate_cancel")).toHaveLength(1);
    expect(restored()).toEqual(wereBack);
  });

  test.each(["paused", "postmigrate"])("a guest that ran and is %s goes on", async (state) => {
    const { client, before, restored } = await midway(state, "failed");
    expect(await putBack(client, before)).toBe("running");
    expect(restored()).toEqual(wereBack);
  });

  test("finish-migrate is waited for: QEMU refuses cont in it, and leaves it by itself", async () => {
    const { qemu, client, before } = await midway("finish-migrate", "failed");
    let looks = 0;
    qemu.on["query-status"] = () => {
      if (++looks === 3) qemu.state.runState = "running";
      return { status: qemu.state.runState, running: looks >= 3 };
    };
    expect(await putBack(client, before)).toBe("running");
    expect(qemu.commands()).not.toContain("cont");
  });

  test("settings are put back only when QEMU has cleaned up after the migration", async () => {
    const { qemu, client, before, restored } = await midway("running", "failed");
    let looks = 0;
    qemu.on["query-yank"] = () => {
      expect(restored(), "not before").not.toEqual(wereBack);
      return ++looks < 3 ? [{ type: "migration" }] : [];
    };
    expect(await putBack(client, before)).toBe("running");
    expect(looks).toBe(3);
    expect(restored()).toEqual(wereBack);
  });

  test("one that must not be cancelled is brought to its end, however long that takes", async () => {
    const { qemu, client, before, restored } = await midway("running", "active");
    let looks = 0;
    qemu.on["query-migrate"] = () => {
      if (++looks === 6) Object.assign(qemu.state, { migration: "completed", runState: "postmigrate" });
      return { status: qemu.state.migration };
    };
    const all = { ...before, cancelCrashes: true };
    expect(await putBack(client, all, { timeout: 1 })).toBe("running");
    expect(qemu.commands()).not.toContain("migrate_cancel");
    expect(qemu.commands()).toContain("cont");
    expect(restored()).toEqual(wereBack);
  });

  test("a patient save's guest goes on from postmigrate, but not from a pause that is somebody else's", async () => {
    for (const [state, after] of [
      ["postmigrate", "running"],
      ["paused", "paused"],
    ] as const) {
      const { client, before } = await midway(state, "failed");
      expect(await putBack(client, { ...before, patient: true })).toBe(after);
    }
  });

  test("cont refused: the settings are put back all the same", async () => {
    const { qemu, client, before, restored } = await midway("paused", "failed");
    qemu.on["cont"] = () => {
      throw "Block device is locked";
    };
    expect(await failure(() => putBack(client, before))).toMatchObject({ code: "qmp.command" });
    expect(restored()).toEqual(wereBack);
  });

  test.each(["shutdown", "guest-panicked", "io-error", "internal-error"])(
    "a guest's own state %s stays",
    async (state) => {
      const { qemu, client, before } = await midway(state, "failed");
      expect(await putBack(client, before)).toBe(state);
      expect(qemu.commands()).not.toContain("cont");
    },
  );

  test("a guest that was paused is not let run", async () => {
    const { qemu, client, before } = await midway("postmigrate", "failed", "paused");
    expect(await putBack(client, before)).toBe("postmigrate");
    expect(qemu.commands()).not.toContain("cont");
  });

  test("a migration that never ends is an error, not a wait for ever", async () => {
    const { qemu, client, before } = await midway("finish-migrate", "active");
    qemu.on["migrate_cancel"] = () => {
      qemu.state.migration = "cancelling";
    };
    const error = await failure(() => putBack(client, before, { timeout: 50 }));
    expect(error).toMatchObject({ code: "qemu.migration-stuck", details: { found: "status cancelling" } });
  });

  test("twice does no more than once", async () => {
    const { qemu, client, before } = await midway("paused", "active");
    await putBack(client, before);
    const count = qemu.commands().length;
    await putBack(client, before);
    const again = qemu.commands().slice(count);
    expect(again.filter((name) => !name.startsWith("query-"))).toEqual([]);
  });

  test("QEMU going away in the middle is reported", async () => {
    const { qemu, client, before } = await midway("paused", "failed");
    qemu.on["cont"] = (_request, socket) => void socket.destroy();
    expect(await failure(() => putBack(client, before))).toMatchObject({ code: "qmp.closed" });
  });
});

test("removeLeftOvers takes file and folder away, and minds neither being gone", () => {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-test-"));
  const sockets = join(folder, "sockets");
  mkdirSync(sockets);
  writeFileSync(join(sockets, "a"), "");
  const partial = join(folder, "x.partial");
  writeFileSync(partial, "");
  removeLeftOvers({ partial, folder: sockets });
  expect([existsSync(partial), existsSync(sockets)]).toEqual([false, false]);
  removeLeftOvers({ partial, folder });
  removeLeftOvers({ partial: null, folder: null });
  expect(existsSync(folder)).toBe(false);
});
