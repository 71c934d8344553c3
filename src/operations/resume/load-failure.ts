import { FixedramError } from "../../errors.ts";
import { queryMigrate } from "../../qmp/commands.ts";
import type { Destination } from "./destination.ts";

/** Milliseconds QEMU gets to say why it failed. */
const LAST_WORDS = 2000;

/** What QEMU says of our ending it. */
const ENDED_BY_US = /^.*: terminating on signal \d+.*$/gm;

/** What QEMU says, and what the user can change; the first that fits. */
const remedies: readonly (readonly [RegExp, string])[] = [
  [
    /Machine type received is '([^']*)'/i,
    "Give QEMU the machine type of the snapshot with -machine (fixedram info shows it).",
  ],
  [
    /(Length|Size) mismatch|Unknown ramblock|outside of ramblock|length .* in stream|Mismatched RAM page size/i,
    "Give QEMU the same memory (-m) and the same devices as at the save (fixedram info shows blocks and command line).",
  ],
  [
    /Unknown (savevm )?section|unknown section|not supported in|load of migration failed|error while loading state/i,
    "Give QEMU the same devices, in the same order and with the same versions, and the same -cpu as at the save (fixedram info shows devices and command line).",
  ],
  [
    /host doesn't support|CPU|cpuid|feature/i,
    "Give QEMU the same -cpu as at the save, and an accelerator and host that have its features.",
  ],
  [/lock|in use/i, "Another QEMU still uses a disk: end it first."],
];

/**
 * Turns what ended a load into what the user is told: QEMU's own words, which come on its stderr a moment after it closed the
 * connections, and the remedy for them.
 */
export async function loadFailure(error: unknown, destination: Destination, signal?: AbortSignal): Promise<unknown> {
  if (!(error instanceof FixedramError) || signal?.aborted === true) return error;
  if (error.code !== "qemu.load-failed" && error.code !== "qmp.closed") return error;
  const { client, started } = destination;
  let said = error.code === "qemu.load-failed" ? error.details.said : undefined;
  if (!client.closed) said ??= (await queryMigrate(client).catch(() => null))?.["error-desc"];
  // One of ours that stays is ended here: what it printed is all in only when it is gone.
  if (started !== null && !client.closed) await destination.giveUp();
  else if (started !== null) await lastWords(started.ended);
  const words = destination.words().replace(ENDED_BY_US, "").trim();
  const all = [said, words].filter((text) => text !== undefined && text !== "").join("\n");
  const remedy = remedies.find(([pattern]) => pattern.test(all))?.[1];
  const { found, hint } = error.code === "qemu.load-failed" ? error.details : {};
  return new FixedramError(
    "qemu.load-failed",
    `${hint === undefined ? "QEMU could not load the snapshot" : error.message}; the file is as it was`,
    {
      ...(found === undefined ? {} : { found }),
      ...(all === "" ? {} : { said: all }),
      hint:
        remedy ??
        hint ??
        (started === null
          ? "Look at QEMU's own messages."
          : "Compare QEMU's command line with the one fixedram info shows."),
    },
    { cause: error },
  );
}

async function lastWords(ended: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, LAST_WORDS);
  });
  await Promise.race([ended, late]);
  clearTimeout(timer);
}
