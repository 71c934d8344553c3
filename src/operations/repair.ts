import type { Snapshot } from "../containers/snapshot.ts";
import { FixedramError, withPath } from "../errors.ts";
import { readSealAlone } from "../fixedram/seal.ts";
import type { Store } from "../pages/store.ts";
import { InPlaceFile } from "../storage/in-place-file.ts";
import type { FileSystemCalls } from "../storage/system-calls.ts";
import { openSnapshot } from "./open.ts";
import type { OperationContext } from "./progress.ts";

export interface RepairOptions extends OperationContext {
  readonly file: string;
  /** For tests. */
  readonly calls?: FileSystemCalls;
}

export interface RepairResult {
  readonly path: string;
  /** What was taken away; `nothing`: the file is as it was. */
  readonly repaired: "nothing" | "half-seal" | "vmdesc";
  /** One sentence: what was done and what is lost by it. */
  readonly message: string;
  /** Bytes of the file before and after. */
  readonly sizes: { readonly before: number; readonly after: number };
}

/** Bytes at a file's end that a vmdesc is looked for in; real ones have some 100 KiB. */
const searched = 16 * 2 ** 20;

/**
 * Takes away what is known to be of no use: half a seal, or a vmdesc that is cut or broken, where the stream is whole without it. One
 * change of the file's length does it, so a crash leaves the file as it was or repaired. Nothing is ever made up.
 *
 * @throws FixedramError `seal.not-repairable` with the reason; `file.not-regular`; `seal.unknown-version`, `seal.unknown-critical`;
 *   `system.*`
 */
export async function repair(options: RepairOptions): Promise<RepairResult> {
  const file = InPlaceFile.open(options.file, options.calls);
  try {
    return await repairFile(file, options);
  } catch (error) {
    throw withPath(error, options.file);
  } finally {
    await file.close();
  }
}

async function repairFile(file: InPlaceFile, options: RepairOptions): Promise<RepairResult> {
  const before = file.size;
  const done = (repaired: RepairResult["repaired"], message: string): RepairResult => ({
    path: options.file,
    repaired,
    message,
    sizes: { before, after: file.size },
  });
  let snapshot: Snapshot;
  try {
    snapshot = await openSnapshot(file, {
      anyOrder: true,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
  } catch (error) {
    const end = await wholeWithoutVmdesc(file, error);
    file.truncate(end);
    await file.sync();
    return done(
      "vmdesc",
      "The description of the device state (vmdesc) was cut off: QEMU loads the file without it, but the device state can no longer be told apart by device.",
    );
  }
  const { seal, streamEnd } = snapshot;
  await snapshot.close();
  switch (seal.state) {
    case "sealed":
      return done("nothing", "The file is sealed, and its seal is whole; fixedram verify --deep compares all of it.");
    case "none":
      return done("nothing", "The file's structure is whole, and it has no seal; fixedram seal makes one.");
    case "half":
      file.truncate(streamEnd);
      await file.sync();
      return done(
        "half-seal",
        "Half a seal was taken away, with what was recorded in it; whether pages were changed meanwhile is not known. fixedram seal makes a new one.",
      );
    case "stale":
    case "damaged":
      throw notRepairable(
        seal.reason,
        "The seal cannot be relied on, and whether the rest of the file is as it was can no longer be known; restore the file from a copy.",
      );
  }
}

/** Another file, which nothing could make a snapshot of: that is to be said, not that it is damaged. */
const noSnapshot = /^file\.(?:other-format|unknown-format|compressed|not-regular)$/;

/** Where the stream ends if its vmdesc is left away. @throws `seal.not-repairable` when that does not make the file whole */
async function wholeWithoutVmdesc(file: InPlaceFile, error: unknown): Promise<number> {
  if (!(error instanceof FixedramError) || !/^(stream|file)\./.test(error.code)) throw error;
  if (noSnapshot.test(error.code)) throw error;
  // A seal knows what the file's bytes were: nothing is cut off one.
  const seal = await readSealAlone(file).catch((problem: unknown) => {
    if (problem instanceof FixedramError) return problem;
    throw problem;
  });
  if (seal !== null) throw notRepairable(error, "The file was sealed and damaged since; restore it from a copy.");
  const end = await findBrokenVmdesc(file);
  if (end === null)
    throw notRepairable(error, "What is missing or damaged cannot be had back; take the snapshot again.");
  try {
    await (await openSnapshot(cutStore(file, end), { anyOrder: true })).close();
  } catch {
    throw notRepairable(error, "More than the vmdesc is missing or damaged; take the snapshot again.");
  }
  return end;
}

/**
 * The byte behind EOF where a vmdesc follows up to the end of the file: a footer (7e, u32), EOF (00), then 06, u32 and JSON, any of
 * it cut (docs/format.md, "Tail"). JSON has no control characters, so nothing behind it is mistaken for it.
 */
async function findBrokenVmdesc(file: Store): Promise<number | null> {
  const { size } = file;
  const start = Math.max(0, size - searched);
  const bytes = new Uint8Array(size - start);
  await file.read(bytes, start);
  let text = bytes.length;
  while (text > 0 && (bytes[text - 1] ?? 0) >= 0x20) text--;
  for (let at = bytes.length - 1; at >= Math.max(6, text - 11); at--) {
    if (bytes[at] !== 6 || bytes[at - 1] !== 0 || bytes[at - 6] !== 0x7e) continue;
    const json = at + 5;
    if (json >= bytes.length || bytes[json] === 0x7b) return start + at;
  }
  return null;
}

function cutStore(file: InPlaceFile, size: number): Store {
  return {
    name: file.name,
    size,
    read: (target, position, signal) =>
      file.read(target.subarray(0, Math.max(0, Math.min(target.length, size - position))), position, signal),
    close: async () => {},
  };
}

function notRepairable(reason: FixedramError, hint: string): FixedramError {
  const { offset, block } = reason.details;
  return new FixedramError("seal.not-repairable", "the file cannot be repaired", {
    found: `${reason.message} [${reason.code}]`,
    ...(offset === undefined ? {} : { offset }),
    ...(block === undefined ? {} : { block }),
    hint,
  });
}
