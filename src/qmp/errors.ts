import { FixedramError } from "../errors.ts";

/** A command that QEMU refused, its class and words kept whole. */
export function commandError(command: string, errorClass: string, said: string): FixedramError {
  return new FixedramError("qmp.command", `QEMU refused ${command}: ${said}`, { found: errorClass, said });
}

/** The caller's signal: its own FixedramError when it gave one as reason. */
export function abortError(signal: AbortSignal | undefined, what: string): FixedramError {
  const reason: unknown = signal?.reason;
  if (reason instanceof FixedramError) return reason;
  return new FixedramError("interrupted.aborted", `interrupted: ${what}`, {}, { cause: reason });
}

const connectCodes: Readonly<Record<string, readonly [code: string, message: string, hint: string]>> = {
  ENOENT: ["qmp.no-socket", "there is no such socket", "Start QEMU with -qmp unix:PATH,server=on,wait=off."],
  ENOTDIR: ["qmp.no-socket", "there is no such socket", "Start QEMU with -qmp unix:PATH,server=on,wait=off."],
  ECONNREFUSED: ["qmp.nobody-listening", "nobody listens there", "That QEMU has ended, or this is not its QMP socket."],
  EACCES: ["qmp.permission", "the socket may not be used", "Run as the user of that QEMU, or as root."],
  EPERM: ["qmp.permission", "the socket may not be used", "Run as the user of that QEMU, or as root."],
};

export function connectError(error: NodeJS.ErrnoException, name: string): FixedramError {
  const known = connectCodes[error.code ?? ""];
  const [code, message] = known ?? ["qmp.connect-failed", "the connection failed"];
  const hint = known?.[2];
  return new FixedramError(
    code,
    `${name}: ${message}`,
    { path: name, said: error.message, ...(hint === undefined ? {} : { hint }) },
    { cause: error },
  );
}

/** No greeting: QMP serves one client at a time. `holder`: who that is, in words, where it is known. */
export function busyError(name: string, holder: string | null): FixedramError {
  return new FixedramError(
    "qmp.busy",
    `${name} does not greet: it serves another client${holder ? `, ${holder}` : ""}`,
    {
      path: name,
      ...(holder === null ? {} : { found: holder }),
      hint: "QMP serves one client at a time: close the other one, or start QEMU with a second -qmp socket. A socket that is not QMP's looks the same.",
    },
  );
}
