import { FixedramError } from "../../errors.ts";
import { readSealAlone } from "../../fixedram/seal.ts";
import { FileStore } from "../../storage/file-store.ts";
import type { ResumeOptions } from "../resume.ts";
import { verify } from "../verify.ts";

/**
 * Checks a file before any QEMU sees it: the quick check always, the deep one when asked for. Half a seal is let pass: the snapshot
 * before it may be whole, and the caller is warned.
 *
 * @throws FixedramError what the first problem is: `seal.*`, `file.*`, `stream.*`
 */
export async function requireVerified({ file, id, verify: deep, signal, onProgress }: ResumeOptions): Promise<void> {
  // Its structure is checked when it is opened; a stream would be read through twice.
  if (id === undefined && !(await hasSeal(file))) return;
  const result = await verify({
    file,
    ...(deep === true ? { deep } : {}),
    ...(id === undefined ? {} : { id }),
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  });
  const [problem] = result.problems.filter(({ code }) => code !== "seal.half");
  if (problem === undefined) return;
  const { code, message, block, page, offset } = problem;
  const others = result.problems.length + result.problemsLeftOut - 1;
  throw new FixedramError(code, message, {
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
