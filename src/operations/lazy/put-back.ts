import { startTimeOf } from "../../qemu/process.ts";
import { QmpClient } from "../../qmp/client.ts";
import { queryMigrate } from "../../qmp/commands.ts";
import { type MigrationSettings, restoreSettings } from "../../qmp/migration-settings.ts";
import { type NotedProcess, removeNote } from "./note.ts";

/** What is left to do for a QEMU when all RAM is in, if whoever supervised its load is gone by then. Plain data. */
export interface PutBack {
  /** Address of its control socket. */
  readonly qmp: string;
  readonly qemu: NotedProcess;
  readonly settings: MigrationSettings;
}

/** Milliseconds: for the socket to be free, for one answer, and between two looks. */
const patience = 10_000;
const answerTime = 1000;
const look = 50;

/**
 * Gives a QEMU its migration settings back, and removes the note of its load. Its control socket serves one at a time: when it is not free within
 * ten seconds, or QEMU is gone, nothing is done.
 *
 * @returns whether they are back
 */
export async function putBack({ qmp, qemu, settings }: PutBack, time = patience): Promise<boolean> {
  for (const deadline = performance.now() + time; performance.now() < deadline; await pause(look)) {
    if (startTimeOf(qemu.pid) !== qemu.startTime) return false;
    try {
      if (await once(qmp, settings)) {
        removeNote(qemu);
        return true;
      }
    } catch {
      // Somebody else has it, or QEMU is about to end.
    }
  }
  return false;
}

async function once(qmp: string, settings: MigrationSettings): Promise<boolean> {
  const options = { timeout: answerTime };
  const client = await QmpClient.connect(qmp, { greetingTimeout: answerTime });
  try {
    if ((await queryMigrate(client, options)).status !== "completed") return false;
    await restoreSettings(client, settings, options);
    return true;
  } finally {
    client.close();
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
