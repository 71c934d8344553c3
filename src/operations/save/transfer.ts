import type { Socket } from "node:net";
import { FixedramError } from "../../errors.ts";
import type { MigrationConnection, MigrationListener } from "../../qemu/migration-socket.ts";
import type { QmpClient } from "../../qmp/client.ts";
import { migrate } from "../../qmp/migration-commands.ts";
import { pongMessage } from "../../stream/return-path.ts";
import type { Capture } from "./capture.ts";
import type { MigrationWatch } from "./migration.ts";

/** Milliseconds QEMU gets to connect to our socket. */
const CONNECT_TIME = 20_000;

export interface TransferOptions {
  readonly client: QmpClient;
  readonly watch: MigrationWatch;
  readonly listener: MigrationListener;
  readonly capture: Capture;
  readonly signal: AbortSignal;
  /** Bytes a second, taken at our end: QEMU lifts its own limit once the guest has stopped. */
  readonly limit: number | null;
  /** Hands a copy of the socket to the guard; null where it must not have one (it would keep QEMU waiting). */
  readonly hold: ((socket: Socket) => Promise<void>) | null;
}

/**
 * Lets QEMU send its stream, until the capture has all of it. QEMU is left waiting for our verdict, or, without a return path,
 * has closed.
 *
 * @throws FixedramError what ended it: the capture's own error, `qemu.migration-failed`, `qemu.cut-short`, `qemu.no-connection`,
 *   `qmp.*`, or the signal's reason
 */
export async function transfer(
  options: TransferOptions,
  connected: (connection: MigrationConnection) => void,
): Promise<void> {
  const { client, watch, listener, capture, signal } = options;
  await migrate(client, listener.uri, { signal });
  const late = AbortSignal.timeout(CONNECT_TIME);
  const accepting = listener.accept(capture, AbortSignal.any([signal, late]), {
    ...(options.limit === null ? {} : { limit: options.limit }),
    ...(options.hold === null ? {} : { prepare: options.hold }),
  });
  const connection = await firstOf(watch.failure, accepting, signal).catch((error: unknown) => {
    if (!late.aborted || signal.aborted) throw error;
    throw new FixedramError("qemu.no-connection", "QEMU did not connect to our migration socket", {
      path: listener.uri,
      expected: `a connection within ${CONNECT_TIME / 1000} s`,
      hint: "Name a folder that QEMU's user can reach with --socket-dir.",
    });
  });
  connected(connection);
  capture.onPing = (value) => void connection.send(pongMessage(value)).catch(() => {});
  const cut = connection.ended.then(() => {
    if (capture.isWhole) return;
    // QEMU says through QMP why; give that a moment before the bare fact.
    return new Promise<never>((_resolve, reject) => {
      setTimeout(() => reject(cutShort(capture.received)), 1000);
    });
  });
  cut.catch(() => {});
  await firstOf(watch.failure, Promise.race([capture.whole, cut]), signal);
}

function cutShort(received: number): FixedramError {
  return new FixedramError("qemu.cut-short", "QEMU closed the migration connection before the end of its stream", {
    offset: received,
    hint: "QEMU may have ended; look at its own messages.",
  });
}

/** The first to settle; a failure that is known already counts before an answer. */
export function firstOf<T>(failure: Promise<never>, answer: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    const done = () => signal.removeEventListener("abort", abort);
    failure.catch((error: unknown) => {
      done();
      reject(error);
    });
    answer.then(
      (value) => {
        done();
        resolve(value);
      },
      (error: unknown) => {
        done();
        reject(error);
      },
    );
  });
}
