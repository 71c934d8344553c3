import { statSync } from "node:fs";
import { connect as netConnect } from "node:net";
import type { Duplex } from "node:stream";
import { FixedramError } from "../errors.ts";
import type { QmpAddress } from "./address.ts";
import type { ConnectOptions } from "./client.ts";
import { abortError, busyError, connectError } from "./errors.ts";

/** Connects the socket alone; the deadline is on performance.now()'s clock. */
export function openSocket(
  where: QmpAddress,
  name: string,
  options: ConnectOptions,
  deadline: number,
): Promise<Duplex> {
  const { signal } = options;
  if (signal?.aborted === true) return Promise.reject(abortError(signal, "connecting"));
  return new Promise((resolve, reject) => {
    const socket = where.kind === "unix" ? netConnect(where.path) : netConnect(where.port, where.host);
    const stop = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      socket.off("connect", onConnect);
      socket.off("error", onError);
    };
    const fail = (error: FixedramError) => {
      stop();
      socket.on("error", () => {});
      socket.destroy();
      reject(error);
    };
    const onConnect = () => {
      stop();
      resolve(socket);
    };
    const onError = (error: NodeJS.ErrnoException) => {
      // A unix socket whose queue is full: the server has a client and does not accept.
      if (error.code === "ECONNREFUSED" && where.kind === "unix" && !isSocket(where.path)) return fail(noSocket(name));
      if (error.code !== "EAGAIN") return fail(connectError(error, name));
      stop();
      askHolder(where, options).then((holder) => reject(busyError(name, holder)), reject);
    };
    const onAbort = () => fail(abortError(signal, "connecting"));
    const timer = setTimeout(
      () => {
        fail(new FixedramError("qmp.timeout", `${name} took no connection in time`, { path: name }));
      },
      Math.max(deadline - performance.now(), 1),
    );
    signal?.addEventListener("abort", onAbort, { once: true });
    socket.on("connect", onConnect);
    socket.on("error", onError);
  });
}

function isSocket(path: string): boolean {
  try {
    return statSync(path).isSocket();
  } catch {
    return true;
  }
}

function noSocket(name: string): FixedramError {
  return new FixedramError("qmp.no-socket", `${name}: that is a file of another kind, not a socket`, {
    path: name,
    hint: "Give the path behind -qmp unix: in QEMU's command line.",
  });
}

/** Who holds a busy socket, where the caller can find it out; what fails there is no news. */
export async function askHolder(where: QmpAddress, options: ConnectOptions): Promise<string | null> {
  try {
    return (await options.whoHolds?.(where)) ?? null;
  } catch {
    return null;
  }
}
