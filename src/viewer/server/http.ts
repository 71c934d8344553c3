import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { extname } from "node:path";
import { FixedramError, systemError } from "../../errors.ts";
import { assetFile } from "../../installation.ts";
import { problemHeader } from "../shared/protocol.ts";
import { admit, guardHeaders, ownHost } from "./access.ts";
import { errorOf, handlers, sendJson } from "./api.ts";
import type { Session } from "./session.ts";

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** All that is served beside the API. */
const assets: Readonly<Record<string, string>> = {
  "/": "index.html",
  "/app.js": "app.js",
  "/app.css": "app.css",
  "/icon.svg": "icon.svg",
};

/** The page and its API, on the loopback interface, for whoever has the token. */
export class ViewerServer {
  /** Where to look. It holds the token: whoever has it can read the snapshot's memory while the viewer runs. */
  readonly url: string;
  readonly #server: Server;
  readonly #tickets: Set<string>;

  private constructor(server: Server, url: string, tickets: Set<string>) {
    this.#server = server;
    this.url = url;
    this.#tickets = tickets;
  }

  /**
   * An address that leads to {@link ViewerServer.url} once: for a command line, which every user of the machine can read. Whoever
   * uses it first has the page, and the one it was meant for sees that it is used up.
   */
  ticket(): string {
    const path = `/open-${randomBytes(24).toString("base64url")}`;
    this.#tickets.add(path);
    return new URL(path, this.url).href;
  }

  /** @throws `system.address-in-use`, `system.*` */
  static async start(session: Session, host: string, port: number): Promise<ViewerServer> {
    const token = randomBytes(24).toString("base64url");
    const tickets = new Set<string>();
    let bound = port;
    const server = createServer((request, response) => {
      if (!redeem(request, response, { tickets, token, port: bound })) {
        void answer(request, response, { session, token, port: bound });
      }
    });
    // A page that is gone must not keep a port busy, nor a slow one a request.
    server.requestTimeout = 30_000;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error) => reject(cannotListen(error, host, port)));
      server.listen(port, host, resolve);
    });
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no address");
    bound = address.port;
    const shown = host.includes(":") ? `[${host}]` : host;
    return new ViewerServer(server, `http://${shown}:${bound}/${token}/`, tickets);
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}

/** Sends who has a ticket on to the page. False: it was none. */
function redeem(
  { method, url = "", headers }: IncomingMessage,
  response: ServerResponse,
  { tickets, token, port }: { readonly tickets: Set<string>; readonly token: string; readonly port: number },
): boolean {
  if (method !== "GET" || ownHost({ headers }, port) === null || !tickets.delete(url)) return false;
  response.writeHead(303, { ...guardHeaders, location: `/${token}/` });
  response.end();
  return true;
}

interface Context {
  readonly session: Session;
  readonly token: string;
  readonly port: number;
}

async function answer(request: IncomingMessage, response: ServerResponse, context: Context): Promise<void> {
  for (const [name, value] of Object.entries(guardHeaders)) response.setHeader(name, value);
  const { method = "", url = "", headers } = request;
  const admitted = admit({ method, url, headers }, context.token, context.port);
  if ("status" in admitted) {
    response.writeHead(admitted.status, { "content-type": "text/plain; charset=utf-8" });
    response.end(`${admitted.reason}\n`);
    return;
  }
  const { path, query } = admitted;
  const leaving = new AbortController();
  response.once("close", () => leaving.abort(new Error("the page has gone")));
  const signal = AbortSignal.any([leaving.signal, context.session.ending.signal]);
  try {
    const handler = Object.hasOwn(handlers, path) ? handlers[path] : undefined;
    if (handler !== undefined) await handler({ query, session: context.session, response, signal });
    else if (Object.hasOwn(assets, path)) await sendAsset(response, assets[path] ?? "");
    else sendJson(response, 404, { code: "viewer.not-found", message: "there is no such thing here", hint: null });
  } catch (error) {
    if (response.headersSent || response.destroyed) response.destroy();
    else {
      const { status, body } = errorOf(error);
      if (status === 200) response.setHeader(problemHeader, "1");
      sendJson(response, status, body);
    }
  }
}

async function sendAsset(response: ServerResponse, name: string): Promise<void> {
  const file = assetFile(name);
  const bytes = await readFile(file).catch((error: unknown) => {
    throw systemError(error, file, "reading a part of the viewer", "Build it: script/setup.");
  });
  response.writeHead(200, { "content-type": types[extname(name)] ?? "application/octet-stream" });
  response.end(bytes);
}

function cannotListen(error: NodeJS.ErrnoException, host: string, port: number): FixedramError {
  if (error.code === "EADDRINUSE") {
    return new FixedramError("system.address-in-use", "the viewer's port is in use", {
      found: `${host}:${port}`,
      hint: "Give another one: --listen 127.0.0.1:PORT. Without --listen a free one is taken.",
    });
  }
  return systemError(error, `${host}:${port}`, "listening");
}
