import { describe, expect, test, vi } from "vitest";
import { type Limits, MigrationWatch } from "../../../src/operations/save/migration.ts";
import { fakeQemu, outcome, seen } from "../fake-qemu.ts";

const none: Limits = { maxTime: null, maxRounds: null, onLimit: "stop" };

async function watched(limits: Partial<Limits> = {}) {
  const qemu = await fakeQemu();
  const client = await qemu.client();
  const rounds: number[] = [];
  const watch = new MigrationWatch(client, { ...none, ...limits }, (round) => rounds.push(round));
  const say = async (...events: [string, Record<string, unknown>?, number?][]) => {
    for (const [event, data, time] of events) qemu.emit(event, data, time);
    await seen(client);
  };
  return { qemu, client, watch, rounds, say };
}

describe("how it ends", () => {
  test.each(["failed", "cancelled"])(
    "%s before our verdict is the save's failure, with QEMU's words",
    async (status) => {
      const { qemu, watch, say } = await watched();
      qemu.state.errorDesc = "Channel error: no space";
      await say(["MIGRATION", { status: "active" }], ["MIGRATION", { status }]);
      await expect(watch.failure).rejects.toMatchObject({
        code: "qemu.migration-failed",
        message: expect.stringContaining(status),
        details: { said: "Channel error: no space" },
      });
    },
  );

  test("a failure without words is one all the same", async () => {
    const { qemu, watch, say } = await watched();
    qemu.on["query-migrate"] = () => {
      throw "no";
    };
    await say(["MIGRATION", { status: "failed" }]);
    await expect(watch.failure).rejects.toMatchObject({ code: "qemu.migration-failed" });
  });

  test("failed after our verdict is QEMU going on by itself", async () => {
    const { watch, say } = await watched();
    watch.verdictGiven();
    await say(["MIGRATION", { status: "failed" }]);
    expect(await outcome(watch.failure)).toBe("pending");
    expect(await watch.end()).toBe("failed");
  });

  test("an end that came before anybody waited is found; one of an earlier migration is not", async () => {
    const { client, say } = await watched();
    await say(["MIGRATION", { status: "completed" }]);
    const later = new MigrationWatch(client, none, () => {});
    const end = later.end();
    expect(await outcome(end)).toBe("pending");
    await say(["MIGRATION", { status: "active" }], ["MIGRATION", { status: "cancelled" }]);
    expect(await end).toBe("cancelled");
    later.stop();
  });

  test("QMP closing is a failure, for the end as well", async () => {
    const { qemu, watch } = await watched();
    const end = watch.end();
    for (const socket of qemu.server.sockets) socket.destroy();
    await expect(watch.failure).rejects.toMatchObject({ code: "qmp.closed" });
    await expect(end).rejects.toMatchObject({ code: "qmp.closed" });
  });

  test("our own closing is a failure too, and nothing is left unhandled", async () => {
    const { client, watch } = await watched();
    client.close();
    await expect(watch.failure).rejects.toMatchObject({ code: "qmp.closed" });
  });

  test("stop() takes every listener away", async () => {
    const { client, watch } = await watched({ maxTime: 60_000 });
    expect(client.listenerCount("event")).toBe(1);
    watch.stop();
    expect([client.listenerCount("event"), client.listenerCount("close")]).toEqual([0, 0]);
  });
});

describe("the guest's pause", () => {
  test("is from the first STOP to the first RESUME behind it", async () => {
    const { watch, say } = await watched();
    await say(["RESUME", {}, 500], ["STOP", {}, 1000], ["RESUME", {}, 1250], ["STOP", {}, 2000], ["RESUME", {}, 3000]);
    expect([watch.stopped, watch.resumed]).toEqual([1000, 1250]);
    watch.stop();
  });

  test("running() is there at once for a guest that runs, waits for RESUME else", async () => {
    const { qemu, watch, say } = await watched();
    await watch.running();
    qemu.state.runState = "finish-migrate";
    const running = watch.running();
    await say(["STOP"]);
    expect(await outcome(running)).toBe("pending");
    await say(["RESUME"]);
    await running;
  });
});

describe("limits", () => {
  test("rounds are counted, and one too many stops the guest by way of QEMU", async () => {
    const { qemu, watch, rounds, say } = await watched({ maxRounds: 2 });
    await say(["MIGRATION_PASS", { pass: 1 }], ["MIGRATION_PASS", { pass: 2 }]);
    expect([watch.rounds, watch.limit]).toEqual([2, null]);
    await say(["MIGRATION_PASS", { pass: 3 }], ["MIGRATION_PASS", { pass: 4 }]);
    await vi.waitFor(() => expect(qemu.state.parameters["downtime-limit"]).toBe(2_000_000));
    expect([watch.limit, rounds]).toEqual(["rounds", [1, 2, 3, 4]]);
    expect(await outcome(watch.failure)).toBe("pending");
    expect(qemu.commands().filter((name) => name === "migrate-set-parameters")).toHaveLength(1);
  });

  test("with abort it fails as not converging and cancels; what QEMU says then does not replace that", async () => {
    const { qemu, watch, say } = await watched({ maxRounds: 1, onLimit: "abort" });
    await say(["MIGRATION_PASS", { pass: 2 }]);
    await expect(watch.failure).rejects.toMatchObject({
      code: "guest.not-converging",
      details: { found: "not done after 1 rounds" },
    });
    await vi.waitFor(() => expect(qemu.commands()).toContain("migrate_cancel"));
    await say(["MIGRATION", { status: "cancelled" }]);
    await expect(watch.failure).rejects.toMatchObject({ code: "guest.not-converging" });
  });

  test("time counts", async () => {
    const { qemu, watch } = await watched({ maxTime: 1 });
    await vi.waitFor(() => expect(qemu.state.parameters["downtime-limit"]).toBe(2_000_000));
    expect(watch.limit).toBe("time");
  });

  test("a limit that is reached when the guest has stopped already does nothing", async () => {
    const { qemu, watch, say } = await watched({ maxRounds: 1, onLimit: "abort" });
    await say(["STOP"], ["MIGRATION_PASS", { pass: 2 }]);
    expect(watch.limit).toBe(null);
    expect(await outcome(watch.failure)).toBe("pending");
    expect(qemu.commands()).not.toContain("migrate_cancel");
  });

  test("QEMU refusing the limit's command fails the save", async () => {
    const { qemu, watch, say } = await watched({ maxRounds: 1 });
    qemu.on["migrate-set-parameters"] = () => {
      throw "not now";
    };
    await say(["MIGRATION_PASS", { pass: 2 }]);
    await expect(watch.failure).rejects.toMatchObject({ code: "qmp.command", details: { said: "not now" } });
  });
});
