import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const greeting = {
  QMP: { version: { qemu: { major: 9, minor: 8, micro: 7 }, package: "fake" }, capabilities: ["oob"] },
};

export interface Request {
  readonly execute: string;
  readonly arguments?: Record<string, unknown>;
  readonly id: number;
}

/** A QMP server whose manners the test decides. */
export interface FakeServer {
  readonly path: string;
  readonly requests: Request[];
  readonly sockets: Socket[];
  close(): Promise<void>;
}

export interface Manners {
  /** Called for each connection; default: greets. */
  readonly onConnect?: (socket: Socket) => void;
  /** Called for each request; default: answers `{}`. */
  readonly onRequest?: (request: Request, socket: Socket) => void;
}

export const send = (socket: Socket, message: unknown) => void socket.write(`${JSON.stringify(message)}\r\n`);

export async function fakeServer(manners: Manners = {}): Promise<FakeServer> {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-test-"));
  const path = join(folder, "qmp.sock");
  const requests: Request[] = [];
  const sockets: Socket[] = [];
  const server: Server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    let text = "";
    socket.on("data", (chunk) => {
      text += String(chunk);
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
        const request = JSON.parse(text.slice(0, end)) as Request;
        text = text.slice(end + 1);
        requests.push(request);
        if (request.execute === "qmp_capabilities") send(socket, { return: {}, id: request.id });
        else (manners.onRequest ?? ((r, s) => send(s, { return: {}, id: r.id })))(request, socket);
      }
    });
    (manners.onConnect ?? ((s) => send(s, greeting)))(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    path,
    requests,
    sockets,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
