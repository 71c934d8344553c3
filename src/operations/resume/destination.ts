import { FixedramError } from "../../errors.ts";
import { connectQmp } from "../../qemu/connect.ts";
import { describeProcess, findQemu, type QemuProcess } from "../../qemu/process.ts";
import { type QemuEnd, type StartOptions, startQemu } from "../../qemu/start.ts";
import { parseQmpAddress } from "../../qmp/address.ts";
import type { QmpClient } from "../../qmp/client.ts";
import { queryStatus } from "../../qmp/commands.ts";
import type { Notice } from "../progress.ts";
import type { ResumeOptions } from "../resume.ts";

/** A QEMU that waits for a guest: started by us, or somebody else's. */
export interface Destination {
  readonly client: QmpClient;
  readonly process: QemuProcess | null;
  /** Null when it is not ours. */
  readonly started: {
    readonly pid: number;
    readonly qmp: string;
    readonly ended: Promise<QemuEnd>;
    /** A terminal's signals do not reach it. */
    readonly ownSession: boolean;
  } | null;
  /** The guest stays paused after loading. */
  readonly paused: boolean;
  /** QEMU's own last words; empty when it is not ours. */
  words(): string;
  /** The guest is in: what happens to us ends it no more. */
  letGo(): void;
  /** Ends a QEMU of ours; leaves another's alone. */
  giveUp(): Promise<void>;
}

/**
 * Attaches to a QEMU that waits in `-incoming defer`.
 *
 * @throws FixedramError `qmp.*`; `qemu.not-waiting`
 */
export async function attach(options: ResumeOptions, qmp: string): Promise<Destination> {
  const address = parseQmpAddress(qmp);
  const client = await connectQmp(address, {
    outOfBand: true,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  try {
    const { status } = await queryStatus(client);
    if (status !== "inmigrate") {
      throw new FixedramError("qemu.not-waiting", "this QEMU does not wait for a guest to be loaded", {
        path: qmp,
        expected: "run state inmigrate",
        found: status,
        hint: "Start it with -incoming defer.",
      });
    }
  } catch (error) {
    client.close();
    throw error;
  }
  return {
    client,
    process: findQemu(address),
    started: null,
    paused: options.paused === true,
    words: () => "",
    letGo: () => {},
    giveUp: async () => {},
  };
}

/** How a destination is got: `ownSession` as for startQemu. */
export type DestinationOptions = ResumeOptions & Pick<StartOptions, "ownSession">;

/** Starts a QEMU for the guest, in the folder its relative paths are meant for. @throws FixedramError of startQemu */
export async function start(
  options: DestinationOptions,
  command: readonly string[],
  cwd: string | null,
  notice: (notice: Notice) => void,
): Promise<Destination> {
  const qemu = await startQemu(command, {
    console: options.console ?? "captured",
    deathSignal: false,
    ownSession: options.ownSession === true,
    onNotice: notice,
    ...(cwd === null ? {} : { cwd }),
    ...(options.socketDir === undefined ? {} : { socketDir: options.socketDir }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.onOutput === undefined ? {} : { onOutput: options.onOutput }),
  });
  return {
    client: qemu.client,
    process: describeProcess(qemu.pid),
    started: { pid: qemu.pid, qmp: qemu.qmp, ended: qemu.ended, ownSession: qemu.ownSession },
    paused: options.paused === true || qemu.paused,
    words: () => qemu.words(),
    letGo: () => qemu.untether(),
    giveUp: async () => {
      qemu.client.close();
      await qemu.stop();
    },
  };
}
