import { spawnSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { inspectGuest } from "../../src/qemu/inspect.ts";
import { QmpClient } from "../../src/qmp/client.ts";
import {
  migrate,
  queryBlock,
  queryMigrate,
  queryMigrateParameters,
  queryStatus,
  queryUuid,
  quit,
} from "../../src/qmp/commands.ts";
import { connectError } from "../../src/qmp/errors.ts";
import { restoreSettings, snapshotSettings } from "../../src/qmp/migration-settings.ts";
import { type FakeServer, fakeServer, send } from "./fake-server.ts";

const open: (FakeServer | QmpClient)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const each of open.splice(0)) await each.close();
});

type Answers = Record<string, unknown | ((args: Record<string, unknown>) => unknown)>;
const refuse = (desc: string) => ({ refused: desc });

/** A clock that goes on by so many milliseconds whenever it is looked at. */
function clock(step: number): () => number {
  let now = 0;
  return () => {
    now += step;
    return now;
  };
}

/** A QEMU with these answers; other commands do not exist. */
async function fakeQemu(answers: Answers): Promise<{ client: QmpClient; server: FakeServer }> {
  const server = await fakeServer({
    onRequest: (request, socket) => {
      const { id, execute } = request;
      const known = answers[execute];
      const answer = typeof known === "function" ? known(request.arguments ?? {}) : known;
      if (answer === undefined) send(socket, { id, error: { class: "CommandNotFound", desc: `no ${execute}` } });
      else if (answer?.refused !== undefined)
        send(socket, { id, error: { class: "GenericError", desc: answer.refused } });
      else send(socket, { id, return: answer });
    },
  });
  open.push(server);
  const client = await QmpClient.connect(server.path);
  open.push(client);
  return { client, server };
}

describe("answers are checked", () => {
  test.each([
    [{ running: "yes", status: "running" }, "running"],
    [{ running: true }, "status"],
    ["text", "answer"],
    [[], ""],
  ])("query-status %j", async (answer, where) => {
    const { client } = await fakeQemu({ "query-status": answer });
    const asked = queryStatus(client);
    await expect(asked).rejects.toMatchObject({
      code: "qmp.unexpected-answer",
      details: { expected: expect.stringContaining(where) },
    });
  });

  test("more fields than we know are fine, missing optional ones too", async () => {
    const { client } = await fakeQemu({
      "query-status": { running: true, status: "running", newer: { x: 1 } },
      "query-migrate": {},
      "query-uuid": { UUID: "00000000-0000-0000-0000-000000000000" },
      "query-block": [{ device: "cd", removable: true, locked: false, type: "unknown" }],
    });
    expect(await queryStatus(client)).toMatchObject({ running: true });
    expect(await queryMigrate(client)).toEqual({ status: "none", "blocked-reasons": [] });
    expect(await queryUuid(client)).toBe(null);
    expect(await queryBlock(client)).toMatchObject([{ device: "cd" }]);
  });

  test("quit may lose the connection before the answer", async () => {
    const server = await fakeServer({ onRequest: (_request, socket) => void socket.destroy() });
    open.push(server);
    const client = await QmpClient.connect(server.path);
    await quit(client);
    expect(client.closed).toBe(true);
  });

  test("quit waits until QEMU has closed the connection, which it does after its disks", async () => {
    const server = await fakeServer({ onRequest: (request, socket) => send(socket, { return: {}, id: request.id }) });
    open.push(server);
    const client = await QmpClient.connect(server.path);
    let over = false;
    const ended = quit(client).then(() => {
      over = true;
    });
    await queryStatus(client).catch(() => {});
    expect(over).toBe(false);
    for (const socket of server.sockets) socket.destroy();
    await ended;
    await quit(await QmpClient.connect(server.path), { timeout: 20 });
  });

  test("a command this QEMU does not have", async () => {
    const { client } = await fakeQemu({});
    const error = await queryStatus(client).catch((error) => error);
    expect(error).toMatchObject({ code: "qmp.command", details: { found: "CommandNotFound" } });
  });

  test("facts of a QEMU that knows little", async () => {
    const { client } = await fakeQemu({
      "query-status": { running: true, status: "running" },
      "query-migrate": { status: "completed", "blocked-reasons": ["a disk is locked"] },
      "query-migrate-capabilities": [{ capability: "xbzrle", state: true }],
      "query-migrate-parameters": { "max-bandwidth": 5 },
      "query-name": {},
      "query-uuid": { UUID: "00000000-0000-0000-0000-000000000000" },
      "qom-get": ({ property }: Record<string, unknown>) => (property === "type" ? "virt-9.8-machine" : refuse("no")),
    });
    expect(await inspectGuest(client)).toEqual({
      version: { major: 9, minor: 8, micro: 7, package: "fake", text: "9.8.7" },
      accelerator: "other",
      machine: "virt-9.8",
      cpu: { model: null, flags: [], count: 0, target: null },
      name: null,
      uuid: null,
      runState: "running",
      running: true,
      capabilities: { xbzrle: true },
      parameters: ["max-bandwidth"],
      blockers: ["a disk is locked"],
      migrationStatus: "completed",
      memory: { backends: [], mainBlocks: [] },
      suppressVmdesc: false,
    });
  });
});

describe("migrate", () => {
  const yank = [{ type: "migration" }];

  test("waits while QEMU cleans up after the last migration", async () => {
    const answers = [[{ type: "chardev", id: "qmp" }, ...yank], yank, []];
    let left = -1;
    const migrations = () => {
      left = answers.length;
      return {};
    };
    const { client } = await fakeQemu({ "query-yank": () => answers.shift(), migrate: migrations });
    await migrate(client, "unix:/run/x");
    expect(left).toBe(0);
  });

  test("an older QEMU is not asked again", async () => {
    const { client } = await fakeQemu({ migrate: {} });
    await migrate(client, "unix:/run/x");
  });

  test("a QEMU that does not clean up is told of, and not asked to migrate", async () => {
    vi.spyOn(performance, "now").mockImplementation(clock(1000));
    let asked = false;
    const { client } = await fakeQemu({
      "query-yank": yank,
      migrate: () => {
        asked = true;
        return {};
      },
    });
    await expect(migrate(client, "unix:/run/x")).rejects.toMatchObject({ code: "qemu.migration-stuck" });
    expect(asked).toBe(false);
  });

  test("an abort ends the waiting", async () => {
    const abort = new AbortController();
    const { client } = await fakeQemu({
      "query-yank": () => {
        abort.abort();
        return yank;
      },
    });
    await expect(migrate(client, "unix:/run/x", { signal: abort.signal })).rejects.toMatchObject({
      code: "interrupted.aborted",
    });
  });
});

describe("settings", () => {
  const queries = {
    "query-migrate-capabilities": [
      { capability: "a", state: true },
      { capability: "b", state: true },
    ],
    "query-migrate-parameters": { x: 1, fresh: "new" },
  };

  test("dependent capabilities come back whatever the order", async () => {
    // `a` may go off only after `b`, and never both at once.
    const state: Record<string, boolean> = { a: true, b: true };
    const { client } = await fakeQemu({
      "query-migrate-capabilities": () => Object.entries(state).map(([capability, on]) => ({ capability, state: on })),
      "query-migrate-parameters": {},
      "migrate-set-capabilities": ({ capabilities }: Record<string, unknown>) => {
        const list = capabilities as { capability: string; state: boolean }[];
        if (list.length > 1) return refuse("one at a time");
        const [{ capability, state: on } = { capability: "", state: false }] = list;
        if (capability === "a" && state.b) return refuse("b needs a");
        state[capability] = on;
        return {};
      },
    });
    const result = await restoreSettings(client, { version: 1, capabilities: { a: false, b: false }, parameters: {} });
    expect(state).toEqual({ a: false, b: false });
    expect(result).toEqual({ capabilities: ["b", "a"], parameters: [], failed: [] });
  });

  test("what was not set before and is now is reported", async () => {
    const { client } = await fakeQemu(queries);
    const before = { version: 1 as const, capabilities: {}, parameters: { x: 1 } };
    expect((await restoreSettings(client, before)).failed).toMatchObject([{ name: "fresh" }]);
  });

  test("a lost connection is not a refusal", async () => {
    const { client, server } = await fakeQemu({
      ...queries,
      "migrate-set-capabilities": () => {
        for (const socket of server.sockets) socket.destroy();
        return {};
      },
    });
    const before = { version: 1 as const, capabilities: { a: false }, parameters: {} };
    await expect(restoreSettings(client, before)).rejects.toMatchObject({ code: "qmp.closed" });
  });

  test("integers past 2^53 survive JSON", async () => {
    const server = await fakeServer({
      onRequest: ({ id, execute }, socket) => {
        const answer = execute === "query-migrate-parameters" ? '{"m":18446744073709551615}' : "[]";
        socket.write(`{"return":${answer},"id":${id}}\n`);
      },
    });
    open.push(server);
    const client = await QmpClient.connect(server.path);
    open.push(client);
    expect(await queryMigrateParameters(client)).toEqual({ m: 18446744073709551615n });
    expect(JSON.parse(JSON.stringify((await snapshotSettings(client)).parameters))).toEqual({
      m: { integer: "18446744073709551615" },
    });
  });
});

describe("what the system says on connecting", () => {
  test.each([
    ["EACCES", "qmp.permission"],
    ["EPERM", "qmp.permission"],
    ["ENOENT", "qmp.no-socket"],
    ["ECONNREFUSED", "qmp.nobody-listening"],
    ["EPROTOTYPE", "qmp.connect-failed"],
  ])("%s", (code, expected) => {
    const error = connectError(Object.assign(new Error("the system's words"), { code }), "unix:/s");
    expect(error).toMatchObject({ code: expected, details: { said: "the system's words", path: "unix:/s" } });
  });

  test.skipIf(process.getuid?.() !== 0)("a socket of another user", async () => {
    const server = await fakeServer();
    open.push(server);
    chmodSync(join(server.path, ".."), 0o755);
    chmodSync(server.path, 0o600);
    const module = resolve(import.meta.dirname, "../../src/qmp/client.ts");
    const tsx = resolve(import.meta.dirname, "../../node_modules/tsx/dist/loader.mjs");
    const code = `const { QmpClient } = await import(${JSON.stringify(module)});
      process.setuid(65534);
      await QmpClient.connect(${JSON.stringify(server.path)}).catch((error) => console.log(error.code));`;
    const child = spawnSync(process.execPath, ["--import", tsx, "--input-type=module", "-e", code], {
      encoding: "utf8",
    });
    expect(child.stdout.trim()).toBe("qmp.permission");
  });
});
