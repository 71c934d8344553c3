import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { Duplex, PassThrough, Writable } from "node:stream";
import { afterEach, describe, expect, test } from "vitest";
import { FixedramError } from "../../src/errors.ts";
import { QmpClient, type QmpEvent } from "../../src/qmp/client.ts";
import { type FakeServer, fakeServer, greeting, type Manners, send } from "./fake-server.ts";

const open: (FakeServer | QmpClient)[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

async function serve(manners: Manners = {}): Promise<FakeServer> {
  const server = await fakeServer(manners);
  open.push(server);
  return server;
}

async function connected(manners: Manners = {}): Promise<{ client: QmpClient; server: FakeServer; socket: Socket }> {
  const server = await serve(manners);
  const client = await QmpClient.connect(server.path);
  open.push(client);
  const [socket] = server.sockets;
  if (socket === undefined) throw new Error("no connection");
  return { client, server, socket };
}

const code = (code: string) => expect.objectContaining({ code });
const fire = (socket: Socket, event: string, data = {}) =>
  send(socket, { event, data, timestamp: { seconds: 5, microseconds: 6 } });

describe("connecting", () => {
  test("greets, negotiates and knows the version", async () => {
    const { client, server } = await connected();
    expect(client.greeting.version.qemu).toMatchObject({ major: 9, minor: 8, micro: 7 });
    expect(server.requests.map((r) => r.execute)).toEqual(["qmp_capabilities"]);
  });

  test("a server that says nothing is busy, and who holds it is named", async () => {
    const server = await serve({ onConnect: () => {} });
    const asked = QmpClient.connect(server.path, { greetingTimeout: 50, whoHolds: () => "virsh (pid 42)" });
    await expect(asked).rejects.toMatchObject({ code: "qmp.busy", details: { found: "virsh (pid 42)" } });
    await expect(asked).rejects.toThrow(new RegExp(`${server.path}.*virsh`));
  });

  test("busy without anybody to name", async () => {
    const server = await serve({ onConnect: () => {} });
    const whoHolds = () => Promise.reject(new Error("no"));
    await expect(QmpClient.connect(server.path, { greetingTimeout: 30, whoHolds })).rejects.toThrow(code("qmp.busy"));
  });

  test("no socket, nobody behind it", async () => {
    await expect(QmpClient.connect("/nonexistent/q.sock")).rejects.toThrow(code("qmp.no-socket"));
    const server = await serve();
    const dead = `${server.path}.dead`;
    writeFileSync(dead, "");
    await expect(QmpClient.connect(dead)).rejects.toThrow(code("qmp.no-socket"));
    // A socket file that outlived its server, as a killed QEMU leaves it.
    const left = `${server.path}.left`;
    spawnSync(process.execPath, [
      "-e",
      `require("net").createServer().listen(${JSON.stringify(left)}, () => process.kill(process.pid, "SIGKILL"))`,
    ]);
    await expect(QmpClient.connect(left)).rejects.toThrow(code("qmp.nobody-listening"));
    await expect(QmpClient.connect("tcp:127.0.0.1:1")).rejects.toThrow(code("qmp.nobody-listening"));
  });

  test("the human monitor is recognised", async () => {
    const server = await serve({ onConnect: (s) => void s.write("QEMU 7.2.22 monitor - type 'help'\r\n(qemu) ") });
    await expect(QmpClient.connect(server.path)).rejects.toMatchObject({
      code: "qmp.not-qmp",
      details: { hint: expect.stringContaining("human monitor") },
    });
  });

  test("closed before the greeting", async () => {
    const server = await serve({ onConnect: (s) => s.destroy() });
    await expect(QmpClient.connect(server.path)).rejects.toThrow(code("qmp.closed"));
  });

  test("a signal ends the wait", async () => {
    const server = await serve({ onConnect: () => {} });
    await expect(QmpClient.connect(server.path, { signal: AbortSignal.timeout(30) })).rejects.toThrow(
      code("interrupted.aborted"),
    );
    await expect(QmpClient.connect(server.path, { signal: AbortSignal.abort() })).rejects.toThrow(
      code("interrupted.aborted"),
    );
  });
});

describe("commands", () => {
  test("answers find their command, in whatever order they come", async () => {
    const waiting: (() => void)[] = [];
    const { client } = await connected({
      onRequest: (r, s) => {
        waiting.push(() => send(s, { return: r.execute, id: r.id }));
        if (waiting.length === 3) for (const answer of waiting.reverse()) answer();
      },
    });
    expect(await Promise.all(["a", "b", "c"].map((c) => client.execute(c)))).toEqual(["a", "b", "c"]);
  });

  test("arguments go as given, big integers whole", async () => {
    const { client, server } = await connected();
    await client.execute("x", { a: 2n ** 63n, b: "é\n" });
    expect(server.requests.at(-1)).toMatchObject({ execute: "x", arguments: { a: 2 ** 63, b: "é\n" } });
  });

  test("QEMU's refusal is kept whole", async () => {
    const { client } = await connected({
      onRequest: (r, s) => send(s, { error: { class: "GenericError", desc: "no é such\nthing" }, id: r.id }),
    });
    await expect(client.execute("x")).rejects.toMatchObject({
      code: "qmp.command",
      details: { found: "GenericError", said: "no é such\nthing" },
    });
  });

  test("bytes one by one, characters split", async () => {
    const { client } = await connected({
      onRequest: async (r, s) => {
        const bytes = Buffer.from(`${JSON.stringify({ return: "snowman ☃ 𝄞", id: r.id })}\r\n`);
        for (const byte of bytes) {
          s.write(Buffer.of(byte));
          await new Promise((resolve) => setImmediate(resolve));
        }
      },
    });
    expect(await client.execute("x")).toBe("snowman ☃ 𝄞");
  });

  test("many messages in one chunk", async () => {
    const { client } = await connected({
      onRequest: (r, s) => {
        const lines = Array.from({ length: 50 }, (_, i) => JSON.stringify({ event: "E", data: { i } }));
        s.write(`${[...lines, JSON.stringify({ return: 1, id: r.id }), ...lines].join("\n")}\n`);
      },
    });
    const seen: QmpEvent[] = [];
    client.on("event", (event) => seen.push(event));
    expect(await client.execute("x")).toBe(1);
    expect(seen).toHaveLength(100);
  });

  test("the connection closes in the middle of a command", async () => {
    const { client } = await connected({ onRequest: (_r, s) => void s.end('{"return": ') });
    await expect(client.execute("query-x")).rejects.toMatchObject({ code: "qmp.closed", message: /query-x/ });
    await expect(client.execute("again")).rejects.toThrow(code("qmp.closed"));
    expect(client.closed).toBe(true);
  });

  test("a connection torn down without an end", async () => {
    const { client } = await connected({ onRequest: (_r, s) => void s.destroy() });
    await expect(client.execute("x")).rejects.toThrow(code("qmp.closed"));
  });

  test.each([["{nonsense"], ["[1,2]"], ['"x"'], ['{"return": {}, "id": 999}'], ['{"error": 5}'], ["\0\xff"]])(
    "garbage %j ends the connection",
    async (line) => {
      const { client } = await connected({ onRequest: (_r, s) => void s.write(`${line}\n`) });
      await expect(client.execute("x")).rejects.toThrow(code("qmp.garbage"));
      expect(client.closed).toBe(true);
    },
  );

  test("the same command answered twice ends the connection", async () => {
    const { client } = await connected({
      onRequest: (r, s) => {
        if (r.execute === "x") for (const answer of [1, 2]) send(s, { return: answer, id: r.id });
      },
    });
    const closed = new Promise((resolve) => client.once("close", resolve));
    expect(await client.execute("x")).toBe(1);
    expect(await closed).toMatchObject({ code: "qmp.garbage" });
  });

  test("an endless line is cut off", async () => {
    const block = Buffer.alloc(1 << 20, 65);
    const { client } = await connected({
      onRequest: (_r, s) => {
        const more = () => {
          while (!s.destroyed && s.write(block));
        };
        s.on("drain", more);
        more();
      },
    });
    await expect(client.execute("x")).rejects.toThrow(code("qmp.line-too-long"));
  });

  test("timeout and signal; the late answer is dropped", async () => {
    const late: (() => void)[] = [];
    const { client } = await connected({
      onRequest: (r, s) => {
        if (r.execute === "slow") late.push(() => send(s, { return: "late", id: r.id }));
        else {
          for (const answer of late) answer();
          send(s, { return: "fresh", id: r.id });
        }
      },
    });
    await expect(client.execute("slow", {}, { timeout: 20 })).rejects.toThrow(code("qmp.timeout"));
    await expect(client.execute("slow", {}, { signal: AbortSignal.timeout(20) })).rejects.toThrow(
      code("interrupted.aborted"),
    );
    const own = new FixedramError("interrupted.sigint", "interrupted");
    await expect(client.execute("slow", {}, { signal: AbortSignal.abort(own) })).rejects.toBe(own);
    expect(await client.execute("next")).toBe("fresh");
  });

  test("many commands under way on one signal make no noise", async () => {
    const { client } = await connected();
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => void warnings.push(warning);
    process.on("warning", onWarning);
    const { signal } = new AbortController();
    await Promise.all(Array.from({ length: 30 }, () => client.execute("query-status", {}, { signal })));
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
  });

  test("close twice, close while waiting", async () => {
    const { client } = await connected({ onRequest: () => {} });
    const closes: unknown[] = [];
    client.on("close", (error) => closes.push(error));
    const waiting = client.execute("x");
    const event = client.waitForEvent(() => true);
    client.close();
    client.close();
    await expect(waiting).rejects.toThrow(code("qmp.closed"));
    await expect(event).rejects.toThrow(code("qmp.closed"));
    expect(closes).toEqual([null]);
  });

  test("a stream that fails on writing", async () => {
    const input = new PassThrough();
    input.write(`${JSON.stringify(greeting)}\n`);
    const output = new Writable({ write: (_chunk, _encoding, done) => done(new Error("EPIPE")) });
    const stream = Duplex.from({ readable: input, writable: output });
    await expect(QmpClient.attach(stream, "pipe")).rejects.toThrow(code("qmp.closed"));
  });
});

describe("events", () => {
  test("a wait sees what came since a sequence number", async () => {
    const { client } = await connected({
      onRequest: (r, s) => {
        fire(s, "STOP");
        fire(s, "MIGRATION", { status: "completed" });
        send(s, { return: {}, id: r.id });
      },
    });
    const since = client.sequence;
    await client.execute("migrate");
    const event = await client.waitForEvent((e) => e.event === "STOP", { since });
    expect(event).toMatchObject({ sequence: since + 1, event: "STOP", time: 5_000_006 });
    await expect(client.waitForEvent((e) => e.event === "STOP", { timeout: 20 })).rejects.toThrow(code("qmp.timeout"));
    expect(client.eventsSince(since).map((e) => e.event)).toEqual(["STOP", "MIGRATION"]);
  });

  test("a wait ends with the event, the signal, or the connection", async () => {
    const { client, socket } = await connected();
    const coming = client.waitForEvent((e) => e.event === "RESUME");
    fire(socket, "STOP");
    fire(socket, "RESUME", { x: 1 });
    expect((await coming).data).toEqual({ x: 1 });
    await expect(client.waitForEvent(() => true, { signal: AbortSignal.timeout(20) })).rejects.toThrow(
      code("interrupted.aborted"),
    );
    const never = client.waitForEvent(() => false);
    socket.end();
    await expect(never).rejects.toThrow(code("qmp.closed"));
  });

  test("a flood of events is bounded and the newest are kept", async () => {
    const { client, socket } = await connected();
    for (let i = 1; i <= 20_000; i++) fire(socket, "E", { i });
    await client.waitForEvent((e) => e.data.i === 20_000);
    const kept = client.eventsSince(0);
    expect(kept.length).toBeLessThanOrEqual(8192);
    expect(kept.at(-1)?.data).toEqual({ i: 20_000 });
    expect(client.sequence).toBe(20_000);
  });

  test("a clock that QEMU could not read", async () => {
    const { client, socket } = await connected();
    send(socket, { event: "E", timestamp: { seconds: -1, microseconds: -1 } });
    expect((await client.waitForEvent(() => true)).time).toBe(null);
  });
});
