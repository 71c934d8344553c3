/**
 * What is converted gets a seal of its own: damage that the seal it had would show must not be sealed as if it were right.
 */
import type { Snapshot } from "../../containers/snapshot.ts";
import { FixedramError } from "../../errors.ts";
import type { Digests } from "../../fixedram/digest-sections.ts";
import type { Problem, Problems } from "../../fixedram/problems.ts";
import { readDigests, type SealState } from "../../fixedram/seal.ts";
import { checkSealed } from "../../fixedram/verify.ts";
import type { Store } from "../../pages/store.ts";
import { FileStore } from "../../storage/file-store.ts";
import { PageScreen } from "../parallel.ts";

const hint = "Look at it with fixedram verify --deep; --force takes it as it is.";

/** @throws `seal.*`: half a seal, a damaged or a stale one */
export function requireTrusted({ reason }: SealState, force: boolean): void {
  if (reason === null || force) return;
  const { code, message, details, cause } = reason;
  throw new FixedramError(code, message, { ...details, hint }, { cause });
}

/**
 * The quick check of a sealed snapshot: headers, bitmaps, device state.
 *
 * @returns what its pages are to be compared with; null where there is nothing
 * @throws `seal.*`, the first thing that is not as it was sealed
 */
export async function requireSealed(
  store: Store,
  { seal: { seal } }: Snapshot,
  signal: AbortSignal | undefined,
): Promise<Digests | null> {
  if (seal === null) return null;
  const digests = await readDigests(store, seal);
  if (digests === null) return null;
  const { problems } = await checkSealed(store, seal, { signal });
  throwFirst(problems, store);
  return digests;
}

/** The deep check. @throws `seal.*`, the first thing that is not as it was sealed */
export async function requirePages(
  store: Store,
  { seal: { seal } }: Snapshot,
  onBytes: (bytes: number, total: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (seal === null) return;
  await using pages = store instanceof FileStore ? new PageScreen(store, signal) : null;
  const { problems } = await checkSealed(store, seal, { deep: true, signal, onBytes, screen: pages?.screen });
  throwFirst(problems, store);
}

function throwFirst({ list, count }: Problems, store: Store): void {
  const [problem] = list;
  if (problem !== undefined) throw problemError(problem, store.name, count - 1);
}

function problemError({ code, message, block, page, offset }: Problem, path: string, more: number): FixedramError {
  return new FixedramError(code, message, {
    path,
    ...(block === undefined ? {} : { block }),
    ...(page === undefined ? {} : { page }),
    ...(offset === undefined ? {} : { offset }),
    ...(more > 0 ? { found: `this, and ${more} more like it` } : {}),
    hint,
  });
}
