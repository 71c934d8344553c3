import { FixedramError } from "../errors.ts";

/** Where a QMP server listens. */
export type QmpAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** sun_path holds 108 bytes, the last one NUL. */
export const maxSocketPath = 107;

/**
 * Reads `PATH`, `unix:PATH` or `tcp:HOST:PORT` (loopback only: QMP has no password, and who speaks it owns the guest).
 *
 * Errors: `usage.qmp-address`, `usage.qmp-not-loopback`, `usage.socket-path-too-long`.
 */
export function parseQmpAddress(text: string): QmpAddress {
  if (text.startsWith("tcp:")) return parseTcp(text);
  const path = text.startsWith("unix:") ? text.slice(5) : text;
  if (path === "") throw new FixedramError("usage.qmp-address", "the QMP address has no path", { found: text });
  checkSocketPath(path);
  return { kind: "unix", path };
}

export function formatQmpAddress(address: QmpAddress): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  return `tcp:${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
}

/** Refuses what the kernel cannot bind or connect to. Errors: `usage.qmp-address` (NUL), `usage.socket-path-too-long`. */
export function checkSocketPath(path: string): void {
  if (path.includes("\0")) throw new FixedramError("usage.qmp-address", "a socket's path cannot hold a NUL", { path });
  const bytes = new TextEncoder().encode(path).length;
  if (bytes > maxSocketPath) {
    throw new FixedramError("usage.socket-path-too-long", `the socket's path has ${bytes} bytes`, {
      path,
      expected: `at most ${maxSocketPath} bytes`,
      found: `${bytes} bytes`,
      hint: "Change to its folder and give a relative path, or make a short symbolic link to the folder.",
    });
  }
}

function parseTcp(text: string): QmpAddress {
  const match = /^tcp:(?:\[([^\]]*)\]|([^:]*)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3] ?? 0);
  if (match === null || host === "" || port < 1 || port > 65535) {
    throw new FixedramError("usage.qmp-address", "the QMP address is not tcp:HOST:PORT", {
      found: text,
      expected: "PATH, unix:PATH or tcp:HOST:PORT",
    });
  }
  if (!isLoopback(host)) {
    throw new FixedramError("usage.qmp-not-loopback", `QMP over TCP is spoken on loopback only, not with ${host}`, {
      found: host,
      expected: "127.0.0.0/8, ::1 or localhost",
      hint: "Forward the socket instead, for example with ssh -L.",
    });
  }
  return { kind: "tcp", host, port };
}

function isLoopback(host: string): boolean {
  if (host === "localhost" || host === "::1") return true;
  const parts = host.split(".");
  return parts.length === 4 && parts[0] === "127" && parts.every((p) => /^[0-9]{1,3}$/.test(p) && Number(p) <= 255);
}
