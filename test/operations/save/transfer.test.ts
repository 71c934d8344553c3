import { connect, type Socket } from "node:net";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { Capture } from "../../../src/operations/save/capture.ts";
import { MigrationWatch } from "../../../src/operations/save/migration.ts";
import { type TransferOptions, transfer } from "../../../src/operations/save/transfer.ts";
import {
  listenForMigration,
  type MigrationConnection,
  type MigrationListener,
} from "../../../src/qemu/migration-socket.ts";
import { makePrivateFolder } from "../../../src/qemu/private-folder.ts";
import { shutMessage } from "../../../src/stream/return-path.ts";
import { MemoryFile, meta } from "../../fixedram/sample.ts";
import { fakeQemu, outcome, silent } from "../fake-qemu.ts";
import { contents, encode, failure, model, open, type Synthetic } from "../synthetic.ts";

const stream: Synthetic = {
  blocks: [["pc.ram", 16]],
  before: [{ kind: "command", command: 2, data: Uint8Array.of(0, 0, 0, 7), packaged: null }],
  rounds: [[{ kind: "page", block: 0, page: 1, fill: 1 }], [{ kind: "page", block: 0, page: 2, fill: 2 }]],
};
const bytes = encode(stream);

/** What the source does with its connection. */
type Source = (socket: Socket, heard: () => Buffer) => void;

async function setUp(source: Source | null, more: Partial<TransferOptions> = {}) {
  const qemu = await fakeQemu();
  const client = await qemu.client();
  const folder = makePrivateFolder();
  const listener: MigrationListener = await listenForMigration(folder);
  const file = new MemoryFile();
  const capture = new Capture(
    file,
    () => true,
    () => {},
    () => {},
  );
  const watch = new MigrationWatch(client, { maxTime: null, maxRounds: null, onLimit: "stop" }, () => {});
  const peers: Socket[] = [];
  let heard = Buffer.alloc(0);
  qemu.on["migrate"] = ({ arguments: args }) => {
    const path = String(args?.["uri"]).replace("unix:", "");
    if (source === null) return;
    const socket = connect(path, () => source(socket, () => heard));
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      heard = Buffer.concat([heard, chunk]);
    });
    peers.push(socket);
  };
  const abort = new AbortController();
  const connections: MigrationConnection[] = [];
  onTestFinished(() => {
    for (const each of connections) each.close();
    for (const each of peers) each.destroy();
    listener.close();
    folder.remove();
    watch.stop();
  });
  const run = () =>
    transfer({ client, watch, listener, capture, signal: abort.signal, limit: null, ...more }, (connection) =>
      connections.push(connection),
    );
  return { qemu, client, file, capture, watch, abort, connections, peers, run, heard: () => heard };
}

const all: Source = (socket) => void socket.write(bytes);

describe("a whole stream", () => {
  test("QEMU keeps the connection open, PING is answered, our verdict reaches it", async () => {
    const { run, capture, connections, file, heard } = await setUp(all);
    await run();
    expect(capture.isWhole).toBe(true);
    expect(capture.received).toBe(bytes.length);
    await connections[0]?.send(shutMessage(false));
    const wanted = Buffer.from([0, 2, 0, 4, 0, 0, 0, 7, 0, 1, 0, 4, 0, 0, 0, 1]);
    await vi.waitFor(() => expect(heard()).toEqual(wanted));
    capture.complete(meta);
    expect(contents((await open(file)).map)).toEqual(model(stream));
  });

  test("closed straight after it (background) is as good", async () => {
    const { run, capture } = await setUp((socket) => void socket.end(bytes));
    await run();
    expect(capture.isWhole).toBe(true);
  });

  test("with a limit it comes slowly, and whole", async () => {
    const { run, capture } = await setUp(all, { limit: bytes.length * 8 });
    const began = performance.now();
    await run();
    expect(capture.isWhole).toBe(true);
    // An eighth of a second at this rate, less the first piece.
    expect(performance.now() - began).toBeGreaterThan(20);
  });
});

describe("a stream that is no whole one", () => {
  test.each([8, 100, bytes.length - 1])(
    "cut at byte %i: qemu.cut-short, after a moment for QEMU's own words",
    async (at) => {
      const { run, capture } = await setUp((socket) => void socket.end(bytes.subarray(0, at)), {
        times: { reason: 1 },
      });
      const error = await failure(run);
      expect(error).toMatchObject({ code: "qemu.cut-short", details: { offset: at } });
      expect(capture.isWhole).toBe(false);
    },
  );

  test("a QEMU that dies with our PONG unread is an end as well, not a fault of this system", async () => {
    const { run } = await setUp(
      (socket) => {
        socket.pause();
        socket.write(bytes.subarray(0, bytes.length - 1), () => setTimeout(() => socket.destroy(), 20));
      },
      { times: { reason: 1 } },
    );
    expect((await failure(run)).code).toBe("qemu.cut-short");
  });

  test("QEMU's own reason comes instead, when it says one", async () => {
    const set = await setUp((socket) => {
      socket.end(bytes.subarray(0, 100));
      set.qemu.state.errorDesc = "Unable to write: disk on fire";
      set.qemu.emit("MIGRATION", { status: "failed" });
    });
    const error = await failure(set.run);
    expect(error).toMatchObject({ code: "qemu.migration-failed", details: { said: "Unable to write: disk on fire" } });
  });

  test("what the capture refuses ends it", async () => {
    const { run } = await setUp((socket) => void socket.write(Buffer.from("not a stream at all")));
    expect((await failure(run)).code).toBe("stream.bad-magic");
  });

  test("a disk that fills ends it with the disk's error, and nothing more is written", async () => {
    const set = await setUp(all);
    const full = new Error("disk full");
    let writes = 0;
    set.file.write = () => {
      writes++;
      throw full;
    };
    await expect(set.run()).rejects.toBe(full);
    expect(writes).toBe(1);
  });

  test("device state whose end is not recognised: stream.no-end, with the reason", async () => {
    const wrong = encode({ ...stream, vmdesc: "wrong" });
    const { run } = await setUp((socket) => void socket.write(wrong), { times: { quiet: 30 } });
    const error = await failure(run);
    expect(error).toMatchObject({ code: "stream.no-end", details: { offset: wrong.length } });
    expect(error.details.said).toContain("does not agree with its description");
  });

  test("bytes that go on coming put that off", async () => {
    const devices = bytes.length - 40;
    const { run, capture } = await setUp(
      async (socket) => {
        socket.write(bytes.subarray(0, devices));
        for (let at = devices; at < bytes.length; at += 4) {
          await new Promise((resolve) => setTimeout(resolve, 15));
          socket.write(bytes.subarray(at, at + 4));
        }
      },
      { times: { quiet: 120 } },
    );
    await run();
    expect(capture.isWhole).toBe(true);
  });

  test("a quiet QEMU among the pages is waited for: the guest may be slow", async () => {
    const set = await setUp((socket) => void socket.write(bytes.subarray(0, 4000)), { times: { quiet: 5 } });
    const running = set.run();
    await vi.waitFor(() => expect(set.capture.received).toBe(4000));
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(await outcome(running)).toBe("pending");
    set.abort.abort(new Error("enough"));
    await expect(running).rejects.toThrow("enough");
  });

  test("no vmdesc: whole when the connection closes, if the caller says so, and an error if not", async () => {
    const none = encode({ ...stream, vmdesc: "none" });
    const background = await setUp((socket) => void socket.end(none), { endsByClose: true });
    await background.run();
    expect(background.capture.isWhole).toBe(true);
    const other = await setUp((socket) => void socket.end(none), { times: { reason: 1 } });
    expect((await failure(other.run)).code).toBe("qemu.cut-short");
    const cut = await setUp((socket) => void socket.end(none.subarray(0, -4)), { endsByClose: true });
    expect((await failure(cut.run)).code).toBe("stream.cut");
  });
});

describe("no connection", () => {
  test("in time is an error with a hint", async () => {
    const { run, connections } = await setUp(null, { times: { connect: 5 } });
    expect(await failure(run)).toMatchObject({
      code: "qemu.no-connection",
      details: { expected: "a connection within 0.005 s" },
    });
    expect(connections).toEqual([]);
  });

  test("because QEMU refuses the command: its words", async () => {
    const { qemu, run } = await setUp(null);
    qemu.on["migrate"] = () => {
      throw "There's a migration process in progress";
    };
    expect(await failure(run)).toMatchObject({
      code: "qmp.command",
      details: { said: "There's a migration process in progress" },
    });
  });

  test("because the migration failed at once", async () => {
    const { qemu, run } = await setUp(null);
    qemu.on["migrate"] = () => qemu.emit("MIGRATION", { status: "failed" });
    expect((await failure(run)).code).toBe("qemu.migration-failed");
  });
});

describe("given up from outside", () => {
  test("before it begins nothing is sent to QEMU", async () => {
    const { qemu, run, abort } = await setUp(all);
    abort.abort(new Error("stop"));
    await expect(run()).rejects.toMatchObject({ code: "interrupted.aborted" });
    expect(qemu.commands()).not.toContain("migrate");
  });

  test("while QEMU does not answer `migrate`: a connection that is there already is handed over", async () => {
    const set = await setUp((socket) => void socket.write(bytes.subarray(0, 50)));
    const migrate = set.qemu.on["migrate"];
    set.qemu.on["migrate"] = (request, socket) => {
      migrate?.(request, socket);
      return silent;
    };
    const running = set.run();
    await vi.waitFor(() => expect(set.capture.received).toBe(50));
    set.abort.abort(new Error("stop"));
    await expect(running).rejects.toMatchObject({ code: "interrupted.aborted" });
    expect(set.connections).toHaveLength(1);
  });

  test("in the middle: the signal's reason", async () => {
    const set = await setUp((socket) => void socket.write(bytes.subarray(0, 4000)));
    const running = set.run();
    await vi.waitFor(() => expect(set.capture.received).toBe(4000));
    const reason = new Error("Ctrl-C");
    set.abort.abort(reason);
    await expect(running).rejects.toBe(reason);
  });

  test("QMP closing in the middle", async () => {
    const set = await setUp((socket) => void socket.write(bytes.subarray(0, 4000)));
    const running = set.run();
    await vi.waitFor(() => expect(set.capture.received).toBe(4000));
    for (const socket of set.qemu.server.sockets) socket.destroy();
    await expect(running).rejects.toMatchObject({ code: "qmp.closed" });
  });
});
