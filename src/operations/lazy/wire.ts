import { connect, type Socket } from "node:net";
import { FixedramError, systemError } from "../../errors.ts";
import type { Wire } from "../../postcopy/pages.ts";

/** Bytes of the return path that are read at once. */
const returnBytes = 64 * 1024;

/** A connection to QEMU's migration socket. */
export interface MigrationWire extends Wire {
  /** QEMU closed it, or is gone; or the system failed. */
  readonly closed: Promise<FixedramError>;
  close(): void;
}

/**
 * Connects. What QEMU says goes to `receive`, in a buffer that is used again.
 *
 * @throws FixedramError `system.*`
 */
export function connectWire(path: string, receive: (bytes: Uint8Array) => void): Promise<MigrationWire> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({
      path,
      onread: {
        buffer: new Uint8Array(returnBytes),
        callback: (count, bytes) => {
          receive(bytes.subarray(0, count));
          return true;
        },
      },
    });
    let failed: Error | null = null;
    const closed = new Promise<FixedramError>((settle) => {
      socket.once("close", () => settle(lost(failed)));
    });
    socket.once("error", (error) => {
      failed = error;
      reject(systemError(error, path, "connecting to QEMU's migration socket"));
    });
    socket.once("end", () => socket.destroy());
    socket.once("connect", () => {
      resolve({
        write: (bytes, done) => {
          let now = true;
          socket.write(bytes, () => {
            if (!now) done();
          });
          // The system took it all: nothing of it is left with us.
          const gone = socket.writableLength === 0;
          now = gone;
          return gone;
        },
        closed,
        close: () => socket.destroy(),
      });
    });
  });
}

function lost(error: Error | null): FixedramError {
  return new FixedramError("qemu.connection-lost", "QEMU closed the migration connection", {
    ...(error === null ? {} : { said: error.message }),
  });
}
