import { FixedramError } from "../../errors.ts";
import type { Problem } from "../../fixedram/problems.ts";
import { readSealAlone } from "../../fixedram/seal.ts";
import { FileStore } from "../../storage/file-store.ts";
import type { ResumeOptions } from "../resume.ts";
import { verify } from "../verify.ts";

/**
 * Checks a file before any QEMU sees it: the quick check always, the deep one when asked for. Half a seal is let pass: the snapshot
 * before it may be whole, and the caller is warned. Not so when the deep check was asked for: what cannot be checked is refused.
 *
 * @throws FixedramError what the first problem is: `seal.*`, `file.*`, `stream.*`; `seal.none`
 */
export async function requireVerified(options: ResumeOptions): Promise<void> {
  const { file, id, verify: deep, bigEndian, signal, onProgress } = options;
  // Its structure is checked when it is opened; a stream would be read through twice.
  if (id === undefined && !(await hasSeal(file))) return deep === true ? refuseUnsealed(options) : undefined;
  const result = await verify({
    file,
    ...(deep === true ? { deep } : {}),
    ...(id === undefined ? {} : { id }),
    ...(bigEndian === undefined ? {} : { bigEndian }),
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  });
  const [problem] = result.problems.filter(({ code }) => code !== "seal.half");
  if (problem !== undefined) throw damaged(file, problem, result.problems.length + result.problemsLeftOut - 1);
  if (deep === true && result.sealState !== "sealed") refuseUnsealed(options);
}

/** @throws FixedramError `seal.none`, but for `force` */
function refuseUnsealed({ file, force }: ResumeOptions): void {
  if (force === true) return;
  throw new FixedramError("seal.none", "the pages cannot be checked: the file has no seal to compare them with", {
    path: file,
    expected: "a sealed file, as --verify asks for",
    hint: "Resume it without --verify, or with --force: its structure is checked all the same. fixedram seal gives it a seal, which tells of what happens to it from then on.",
  });
}

function damaged(file: string, { code, message, block, page, offset }: Problem, others: number): FixedramError {
  return new FixedramError(code, message, {
    path: file,
    ...(block === undefined ? {} : { block }),
    ...(page === undefined ? {} : { page }),
    ...(offset === undefined ? {} : { offset }),
    ...(others > 0 ? { found: `${others} more problems` } : {}),
    hint: "The file was not given to QEMU. fixedram verify tells all that is wrong; fixedram repair takes away what can be.",
  });
}

/** True also for one that is damaged. */
async function hasSeal(file: string): Promise<boolean> {
  const store = FileStore.open(file);
  try {
    return (await readSealAlone(store)) !== null;
  } catch (error) {
    if (error instanceof FixedramError && error.code.startsWith("seal.")) return true;
    throw error;
  } finally {
    await store.close();
  }
}
