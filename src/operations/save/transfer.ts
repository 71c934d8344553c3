import { FixedramError } from "../../errors.ts";
import type { MigrationConnection, MigrationListener } from "../../qemu/migration-socket.ts";
import type { QmpClient } from "../../qmp/client.ts";
import { migrate } from "../../qmp/migration-commands.ts";
import { pongMessage } from "../../stream/return-path.ts";
import type { Capture } from "./capture.ts";
import type { ChannelCapture } from "./channels.ts";
import type { MigrationWatch } from "./migration.ts";

/** Milliseconds; for tests, which cannot wait that long. */
export interface TransferTimes {
  /** QEMU gets this long to connect to our socket. */
  readonly connect: number;
  /** No byte for this long after the device state began: the end was not recognised, or QEMU hangs. */
  readonly quiet: number;
  /** After the connection broke: QMP may still say why, which is worth more than the bare fact. */
  readonly reason: number;
}

const usualTimes: TransferTimes = { connect: 20_000, quiet: 20_000, reason: 1000 };

export interface TransferOptions {
  readonly client: QmpClient;
  readonly watch: MigrationWatch;
  readonly listener: MigrationListener;
  readonly capture: Capture;
  readonly signal: AbortSignal;
  /** Bytes a second, taken at our end: QEMU lifts its own limit once the guest has stopped. */
  readonly limit: number | null;
  /** Multifd channels, which QEMU opens behind the first connection. */
  readonly channels?: ChannelCapture | null;
  /** The machine writes no vmdesc, and QEMU closes the connection at the end of the stream: that tells the end. */
  readonly endsByClose?: boolean;
  readonly times?: Partial<TransferTimes>;
}

/**
 * Lets QEMU send its stream, until the capture has all of it. QEMU is left waiting for our verdict, or, without a return path,
 * has closed.
 *
 * @param connected called once when there is a connection, also when this fails: whether QEMU may see it break is the
 *   caller's to know
 * @throws FixedramError what ended it: the capture's own error, `qemu.migration-failed`, `qemu.cut-short`, `qemu.no-connection`,
 *   `stream.no-end`, `qmp.*`, or the signal's reason
 */
export async function transfer(
  options: TransferOptions,
  connected: (connection: MigrationConnection) => void,
): Promise<void> {
  const { watch, capture, signal } = options;
  const times = { ...usualTimes, ...options.times };
  const { channels = null } = options;
  const connection = await connect(options, times.connect, connected);
  capture.onPing = (value) => void connection.send(pongMessage(value)).catch(() => {});
  const end = streamEnd(connection, capture, options.endsByClose === true, times, channels);
  const failure = channels === null ? watch.failure : Promise.race([watch.failure, channels.failure]);
  failure.catch(() => {});
  try {
    if (channels !== null) await firstOf(failure, connectChannels(options, channels, times.connect), signal);
    await firstOf(failure, end.reached, signal);
    if (channels !== null) await firstOf(failure, channels.end(), signal);
  } finally {
    end.stop();
  }
}

async function connectChannels(
  { listener, signal }: TransferOptions,
  channels: ChannelCapture,
  time: number,
): Promise<void> {
  const late = AbortSignal.timeout(time);
  try {
    channels.connected(await listener.channels(AbortSignal.any([signal, late])));
  } catch (error) {
    throw late.aborted && !signal.aborted ? noConnection(listener.uri, time) : error;
  }
}

async function connect(
  { client, watch, listener, capture, signal, limit }: TransferOptions,
  time: number,
  connected: (connection: MigrationConnection) => void,
): Promise<MigrationConnection> {
  const giveUp = new AbortController();
  const accepting = listener.accept(capture, giveUp.signal, limit === null ? {} : { limit });
  const reported = accepting.then(connected);
  reported.catch(() => {});
  let timer: NodeJS.Timeout | undefined;
  try {
    await migrate(client, listener.uri, { signal });
    timer = setTimeout(() => giveUp.abort(noConnection(listener.uri, time)), time);
    return await firstOf(watch.failure, accepting, signal);
  } catch (error) {
    giveUp.abort();
    // QEMU may have connected all the same.
    await reported.catch(() => {});
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Follows a connection until the capture is whole. */
function streamEnd(
  connection: MigrationConnection,
  capture: Capture,
  endsByClose: boolean,
  times: TransferTimes,
  channels: ChannelCapture | null,
): { readonly reached: Promise<void>; stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const broken = new Promise<never>((_resolve, reject) => {
    const arm = (time: number, error: () => FixedramError) => {
      clearTimeout(timer);
      if (!stopped) timer = setTimeout(() => reject(error()), time);
    };
    const quiet = () => arm(times.quiet, () => noEnd(capture, times.quiet));
    let devices = false;
    capture.onDeviceState = () => {
      if (devices) timer?.refresh();
      else quiet();
      devices = true;
    };
    connection.ended
      .then(() => {
        if (capture.isWhole) return;
        if (endsByClose) capture.end();
        else arm(times.reason, () => cutShort(capture.received));
      })
      .catch(reject);
    if (channels !== null) channels.onClosed = () => arm(times.reason, () => cutShort(capture.received));
  });
  broken.catch(() => {});
  return {
    reached: Promise.race([capture.whole, broken]),
    stop: () => {
      stopped = true;
      clearTimeout(timer);
      capture.onDeviceState = () => {};
    },
  };
}

function noConnection(uri: string, time: number): FixedramError {
  return new FixedramError("qemu.no-connection", "QEMU did not connect to our migration socket", {
    path: uri,
    expected: `a connection within ${time / 1000} s`,
    hint: "Name a folder that QEMU's user can reach with --socket-dir.",
  });
}

function noEnd(capture: Capture, time: number): FixedramError {
  const why = capture.whyNotWhole();
  return new FixedramError("stream.no-end", "the end of QEMU's stream was not recognised", {
    offset: capture.received,
    found: `no byte for ${time / 1000} s among the device state`,
    said: why === null ? "no description of the device state (vmdesc) came" : errorText(why),
    hint: "A device describes its state in a form that is not known, or QEMU hangs. Please report it with the machine's command line; --mode background may do meanwhile.",
  });
}

function errorText(error: unknown): string {
  if (!(error instanceof FixedramError)) return String(error);
  return [error.message, error.details.said].filter((text) => text !== undefined).join(": ");
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
