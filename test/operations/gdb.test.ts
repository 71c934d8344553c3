import { EventEmitter, once } from "node:events";
import * as fs from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test } from "vitest";
import { encodePacket } from "../../src/gdb/packets.ts";
import { type GdbOptions, gdb } from "../../src/operations/gdb.ts";
import { StreamWriter } from "../../src/stream/writer.ts";
import { asSnapshot } from "../devices/sample.ts";
import { batch, configuration, ramStart } from "../fixedram/sample.ts";
import { x86Section } from "../machine/cpu-sections.ts";
import { failure } from "./synthetic.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "fixedram-gdb-"));
  file = join(folder, "guest.stream");
  fs.writeFileSync(file, stream());
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

/** A guest of 1 MiB whose CPU does not page: page 3 is full of 0x2a. */
function stream(): Uint8Array {
  const pieces: Uint8Array[] = [];
  const writer = new StreamWriter((bytes) => pieces.push(bytes.slice()));
  const start = ramStart(["pc.ram", 256]);
  const { devices, vmdesc } = asSnapshot(x86Section({ cr0: 1n, efer: 0n }));
  writer.record({ kind: "header", version: 3 });
  writer.record(configuration());
  writer.record(start);
  writer.record({ kind: "ram-eos" });
  writer.record({ kind: "footer", sectionId: 2 });
  writer.record({ kind: "ram-end", sectionId: 2 });
  const [entry] = start.blocks;
  if (entry !== undefined) writer.pages(batch(entry.block, [[3, 0x2a]]));
  writer.record({ kind: "ram-eos" });
  writer.record({ kind: "footer", sectionId: 2 });
  for (const device of devices) {
    writer.record({ ...device, sectionId: 30 });
    writer.record({ kind: "footer", sectionId: 30 });
  }
  writer.record({ kind: "eof" });
  writer.record({ kind: "vmdesc", bytes: vmdesc });
  writer.end();
  return new Uint8Array(Buffer.concat(pieces));
}

const packet = (data: string) => Buffer.from(encodePacket(data));

/** Sends a packet, and waits until what came holds `expected`. */
async function ask(socket: Socket, data: string, expected: string): Promise<void> {
  socket.write(packet(data));
  let got = "";
  while (!got.includes(expected)) {
    const [bytes] = (await once(socket, "data")) as [Buffer];
    got += bytes.toString("latin1");
  }
}

const serve = (options: Partial<GdbOptions>) => gdb({ file, port: 0, ...options });

test("serves one gdb after the other on a port of this machine alone, until the signal", async () => {
  const abort = new AbortController();
  const ports = new EventEmitter();
  const listening = once(ports, "listening");
  const serving = serve({ signal: abort.signal, onListening: (port) => ports.emit("listening", port) }).catch(
    (error: unknown) => error,
  );
  const [port] = (await listening) as [number];
  for (let i = 0; i < 2; i++) {
    const socket = connect(port, "127.0.0.1");
    await ask(socket, "m2ffe,4", packet("00002a2a").toString("latin1"));
    await ask(socket, "mffffe,4", packet("0000").toString("latin1"));
    // Somebody else meanwhile is sent away.
    const other = connect(port, "127.0.0.1");
    await once(other, "close");
    const closed = once(socket, "close");
    socket.write(packet("D"));
    await closed;
  }
  abort.abort(new Error("enough"));
  expect(await serving).toMatchObject({ message: "enough" });
});

test("ends with the first gdb, or while one is connected at the signal", async () => {
  const onListening = (port: number) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(packet("k")));
    socket.resume();
  };
  const result = await serve({ once: true, onListening });
  expect(result).toMatchObject({ sessions: 1, packets: 1, cpus: 1 });
  expect(result.notices.map(({ code }) => code)).toEqual(["memory-map", "listening"]);

  const abort = new AbortController();
  const hold = (port: number) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    void ask(socket, "qC", "QC1").then(() => abort.abort(new Error("now")));
  };
  await expect(serve({ signal: abort.signal, onListening: hold })).rejects.toThrow("now");
});

test("speaks on standard input and output", async () => {
  const [input, output] = [new PassThrough(), new PassThrough()];
  input.write(packet("m3000,2"));
  input.write(packet("D"));
  const result = await serve({ stdio: { input, output } });
  expect(result).toMatchObject({ address: null, sessions: 1, packets: 2 });
  output.end();
  expect(await text(output)).toBe(`+${packet("2a2a")}+${packet("OK")}`);
});

test("tells that the port is taken", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  expect((await failure(() => serve({ port }))).code).toBe("system.port-in-use");
  server.close();
});
