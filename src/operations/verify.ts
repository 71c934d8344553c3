import { headBytes, recognise, refusal } from "../containers/recognise.ts";
import type { Container } from "../containers/snapshot.ts";
import { FixedramError, withPath } from "../errors.ts";
import type { Coverage } from "../fixedram/coverage.ts";
import { type Problem, Problems } from "../fixedram/problems.ts";
import { readSealAlone, type Seal, type SealState } from "../fixedram/seal.ts";
import { checkSealed } from "../fixedram/verify.ts";
import type { Store } from "../pages/store.ts";
import { FileStore } from "../storage/file-store.ts";
import type { OpenSnapshotOptions } from "./open.ts";
import { requireSealedOrder } from "./open-order.ts";
import { type Outline, openOutline } from "./open-packed.ts";
import { PageScreen } from "./parallel.ts";
import type { OperationContext } from "./progress.ts";

export interface VerifyOptions extends OperationContext {
  readonly file: string;
  /** Read every byte that the seal covers, not only what is no page. */
  readonly deep?: boolean;
  /** Where the stream begins, bytes. */
  readonly offset?: number;
  /** The order of the words of its bitmaps, as for openSnapshot. */
  readonly bigEndian?: boolean;
  /** The id that the snapshot must have, 64 hexadecimal digits. */
  readonly id?: string;
}

export interface VerifyResult {
  readonly path: string;
  /** Nothing is wrong with what was checked. Without a seal that is the structure alone. */
  readonly ok: boolean;
  readonly deep: boolean;
  /** Null: the file cannot be opened as a snapshot. */
  readonly container: Container | null;
  readonly sealState: SealState["state"];
  /** The snapshot's id, SHA-256 of the seal's directory; null without a seal that can be relied on. */
  readonly id: string | null;
  readonly uuid: string | null;
  /** Bytes of the file. */
  readonly size: number;
  /** What the seal's digests cover; the numbers add up to `size`. Without a seal that can be relied on, nothing is covered. */
  readonly coverage: Coverage;
  /** The first 1000. */
  readonly problems: readonly Problem[];
  readonly problemsLeftOut: number;
  /** Sentences. */
  readonly unchecked: readonly string[];
  /** Milliseconds. */
  readonly time: number;
}

type Finding = Pick<VerifyResult, "container" | "sealState" | "id" | "uuid" | "coverage" | "unchecked"> & {
  readonly problems: Problems;
};

const noDigests =
  "The file has no seal: its structure was checked, its pages and device state have nothing to be compared with.";

/**
 * Checks a snapshot: what it says about itself, and, where it is sealed, that it is as it was sealed. Damage is told in the result.
 *
 * @throws FixedramError `file.*` for what is no snapshot at all; `seal.unknown-version`, `seal.unknown-critical`; `usage.bad-id`,
 *   `usage.byte-order`; `system.*`; the signal's reason
 */
export async function verify(options: VerifyOptions): Promise<VerifyResult> {
  const began = performance.now();
  const wanted = options.id === undefined ? null : parseId(options.id);
  const store = FileStore.open(options.file);
  try {
    const finding = await verifyStore(store, options, began);
    const { problems, ...rest } = finding;
    if (wanted !== null) requireId(wanted, finding.id, problems);
    return {
      path: options.file,
      ok: problems.count === 0,
      deep: options.deep === true,
      ...rest,
      size: store.size,
      problems: problems.list,
      problemsLeftOut: problems.leftOut,
      time: performance.now() - began,
    };
  } catch (error) {
    throw withPath(error, options.file);
  } finally {
    await store.close();
  }
}

async function verifyStore(store: FileStore, options: VerifyOptions, began: number): Promise<Finding> {
  const problems = new Problems();
  const seal = await sealOf(store, problems);
  if (seal !== null) return verifySealed(store, seal, options, began);
  const head = new Uint8Array(Math.min(headBytes, store.size));
  const refused = refusal(recognise(head.subarray(0, await store.read(head, 0, options.signal))), head);
  const coverage = nothingCovered(store);
  const base = { id: null, uuid: null, coverage, problems };
  if (refused !== null && problems.count === 0 && options.offset === undefined) throw refused;
  try {
    const snapshot = await openChecked(store, problems, {
      index: "ignore",
      onRead: progressOf(options, began),
      ...(options.offset === undefined ? {} : { offset: options.offset }),
      ...(options.bigEndian === undefined ? {} : { bigEndian: options.bigEndian }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const { container, libvirt } = snapshot;
    const { state, reason } = snapshot.seal;
    await snapshot.close();
    if (reason !== null && !problems.list.some(({ code }) => code.startsWith("seal."))) addError(problems, reason);
    const packed = libvirt !== null && libvirt.format !== "raw" && libvirt.format !== "sparse" ? libvirt.format : null;
    const unchecked = packed === null ? [noDigests] : [packedOnly(packed)];
    if (libvirt !== null) unchecked.push("libvirt's XML and cookie were not checked but for their places.");
    return { ...base, container, sealState: state, unchecked };
  } catch (error) {
    if (!isDamage(error)) throw error;
    addError(problems, error);
    const sealState = problems.list.some(({ code }) => code.startsWith("seal.")) ? "damaged" : "none";
    return { ...base, container: null, sealState, unchecked: ["The rest of the file could not be checked."] };
  }
}

/** Bitmaps that stand in another order than was said are a problem of the file, and no reason not to look at the rest. */
async function openChecked(store: FileStore, problems: Problems, options: OpenSnapshotOptions): Promise<Outline> {
  try {
    return await openOutline(store, options);
  } catch (error) {
    if (!(error instanceof FixedramError && error.code === "file.byte-order")) throw error;
    addError(problems, error);
    return openOutline(store, { ...options, anyOrder: true });
  }
}

/** The seal at the file's end; null when there is none, or none that can be relied on, which is a problem then. */
async function sealOf(store: Store, problems: Problems): Promise<Seal | null> {
  try {
    return await readSealAlone(store);
  } catch (error) {
    if (!isDamage(error)) throw error;
    addError(problems, error);
    return null;
  }
}

async function verifySealed(store: FileStore, seal: Seal, options: VerifyOptions, began: number): Promise<Finding> {
  requireSealedOrder(seal, options.bigEndian, options.file);
  await using pages = new PageScreen(store, options.signal);
  const { state, ...rest } = await checkSealed(store, seal, {
    deep: options.deep === true,
    signal: options.signal,
    screen: pages.screen,
    onBytes: progressOf(options, began),
  });
  const believed = state === "sealed" || state === "damaged";
  return {
    container: await containerOf(store),
    sealState: state,
    id: believed ? seal.id : null,
    uuid: believed ? seal.uuid : null,
    ...rest,
    coverage: rest.coverage ?? nothingCovered(store),
  };
}

function nothingCovered({ size }: Store): Coverage {
  return { pages: 0, regions: 0, tables: 0, seal: 0, uncovered: size };
}

/** Of a sealed file. */
async function containerOf(store: Store): Promise<Container> {
  const head = new Uint8Array(16);
  const found = recognise(head.subarray(0, await store.read(head, 0)));
  return found.kind === "libvirt" ? "libvirt" : "fixed-ram";
}

function progressOf({ onProgress }: VerifyOptions, began: number): (bytes: number, total: number) => void {
  let reported = 0;
  return (bytes, total) => {
    const elapsed = performance.now() - began;
    if (elapsed - reported < 100) return;
    reported = elapsed;
    onProgress?.({ phase: "verify", bytes, total, round: 0, elapsed });
  };
}

function packedOnly(format: string): string {
  return `The file has no seal: it was unpacked to its end, of which ${format} told no damage, and the structure of the stream in it was checked.`;
}

function isDamage(error: unknown): error is FixedramError {
  if (!(error instanceof FixedramError)) return false;
  return /^(seal\.(?!unknown-)|stream\.|file\.)/.test(error.code);
}

function addError(problems: Problems, { code, message, details }: FixedramError): void {
  const { offset, block, page } = details;
  problems.add({
    code,
    message,
    ...(offset === undefined ? {} : { offset }),
    ...(block === undefined ? {} : { block }),
    ...(page === undefined ? {} : { page }),
  });
}

function requireId(wanted: string, id: string | null, problems: Problems): void {
  if (id === wanted) return;
  const found = id === null ? "the file has no seal that tells its id" : `its id is ${id}`;
  problems.add({ code: "seal.wrong-id", message: `this is not the snapshot that was asked for: ${found}` });
}

/** @throws `usage.bad-id` */
export function parseId(text: string): string {
  const id = text.toLowerCase();
  if (/^[0-9a-f]{64}$/.test(id)) return id;
  throw new FixedramError("usage.bad-id", "that is no snapshot id", {
    found: text,
    expected: "64 hexadecimal digits, as save, info and verify print them",
  });
}
