import { FixedramError } from "../errors.ts";
import type { OpenSnapshotOptions } from "../operations/open.ts";
import { ViewerServer } from "./server/http.ts";
import { Session } from "./server/session.ts";

export interface ViewOptions extends Pick<OpenSnapshotOptions, "bigEndian" | "signal"> {
  readonly file: string;
  /** A second snapshot: what differs is marked on the map. */
  readonly other?: string;
  /** Address of the loopback interface and port, `127.0.0.1:8000`; default 127.0.0.1 and any free port. */
  readonly listen?: string;
}

/** A page about a snapshot that is being served. */
export interface Viewer extends AsyncDisposable {
  /** For a browser on this machine. It holds the key to it: whoever knows the address can read the snapshot's memory. */
  readonly url: string;
  /** An address that leads there once: for the command line of a browser, which every user of this machine can read. */
  ticket(): string;
  /** Settles when it is over by itself or was closed. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
}

/**
 * Serves a page that shows a snapshot, on the loopback interface, until it is closed (docs/viewer.md). The files are only read.
 *
 * @throws FixedramError `usage.bad-address`, `system.address-in-use`, and those of openSnapshot
 */
export async function view({ file, other, listen, ...options }: ViewOptions): Promise<Viewer> {
  const { host, port } = parseListen(listen ?? "127.0.0.1:0");
  return serve(await Session.open(other === undefined ? [file] : [file, other], options), host, port);
}

/** Serves what a session holds; closing it closes the session. @throws `system.address-in-use` */
export async function serve(session: Session, host: string, port: number): Promise<Viewer> {
  try {
    const server = await ViewerServer.start(session, host, port);
    let resolve = (): void => undefined;
    const ended = new Promise<void>((settle) => {
      resolve = settle;
    });
    const end = async () => {
      // Who listens is told that it is over before connections are cut.
      session.announcer.close();
      session.live?.close();
      await server.close();
      await session[Symbol.asyncDispose]();
      resolve();
    };
    let ending: Promise<void> | null = null;
    const close = () => {
      ending ??= end();
      return ending;
    };
    return { url: server.url, ticket: () => server.ticket(), ended, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
}

/** @throws `usage.bad-address` */
export function parseListen(text: string): { host: string; port: number } {
  const match = /^(?:(127\.0\.0\.1|localhost|\[::1\]):)?([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[2] ?? Number.NaN);
  if (match !== null && port <= 65_535) {
    const host = match[1] ?? "127.0.0.1";
    return { host: host === "localhost" ? "127.0.0.1" : host.replace(/^\[|\]$/g, ""), port };
  }
  throw new FixedramError("usage.bad-address", "--listen wants an address of this machine itself and a port", {
    found: text,
    expected: "127.0.0.1:PORT, [::1]:PORT or PORT",
    hint: "The page shows all of a guest's memory, so it is served on the loopback interface only. From another machine: ssh -L PORT:127.0.0.1:PORT.",
  });
}
