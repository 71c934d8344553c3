import { PageBitmap } from "../bytes/bitmap.ts";
import { FixedramError } from "../errors.ts";
import { nodePages } from "../fixedram/digest-table.ts";
import type { BlockDigester } from "../fixedram/seal-in-place.ts";
import type { RamBlock } from "../pages/block.ts";
import type { SharedFile } from "../workers/page-reader.ts";
import { WorkerPool } from "../workers/pool.ts";
import { eachJob, jobNodes, worthThreads } from "./parallel.ts";

const jobPages = jobNodes * nodePages;

export interface DigestThreadsOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes of a block's pages below which no threads are started for it. */
  readonly worth?: number;
  /** Blocks in which a page that is present must not be zero; default: none. */
  readonly noZero?: (block: RamBlock) => boolean;
}

/** Makes the digests of a file that is being sealed in threads, which start when a block is large enough. */
export class DigestThreads implements AsyncDisposable {
  readonly #file: SharedFile | null;
  readonly #options: DigestThreadsOptions;
  #pool: WorkerPool | null = null;

  /** @param file null: other threads cannot reach it, and nothing is done here */
  constructor(file: SharedFile | null, options: DigestThreadsOptions = {}) {
    this.#file = file;
    this.#options = options;
  }

  /** @throws `qemu.lost-pages`, `file.truncated`, `system.*`, the signal's reason */
  readonly digest: BlockDigester = async ({ block, pagesOffset, tableOffset }, bitmap, onBytes) => {
    const { signal, worth = worthThreads, noZero } = this.#options;
    const { pageSize, pages, name } = block;
    const file = this.#file;
    const findZero = noZero?.(block) === true;
    if (file === null || (bitmap.count() * pageSize < worth && !findZero)) return false;
    this.#pool ??= new WorkerPool();
    function* jobs() {
      for (let first = 0; first < pages; first += jobPages) {
        const count = Math.min(jobPages, pages - first);
        const bits = bitmap.bytes.slice(first / 8, Math.ceil((first + count) / 64) * 8);
        if (bits.every((byte) => byte === 0)) continue;
        const places = { pagesOffset: pagesOffset + first * pageSize, tableOffset: tableOffset + first * 8 };
        yield {
          input: { file: file as SharedFile, pageSize, pages: count, ...places, bits, findZero },
          more: { first, count, bits },
        };
      }
    }
    await eachJob(
      this.#pool,
      "digest-pages",
      jobs(),
      (zero, { first, count, bits }) => {
        if (zero >= 0) throw lostPage(file.name, name, first + zero, pagesOffset + (first + zero) * pageSize);
        onBytes(new PageBitmap(count, bits).count() * pageSize);
      },
      signal,
    );
    return true;
  };

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool?.close();
  }
}

/** QEMU sets no bit for a zero page, and does not look whether all that it gave to the system was written. */
function lostPage(path: string, block: string, page: number, offset: number): FixedramError {
  return new FixedramError("qemu.lost-pages", "a page that QEMU says it has written is not in its file", {
    path,
    block,
    page,
    offset,
    expected: "a page that is not zero",
    found: "zeros",
    hint: "The disk may have been full for a moment. Save again; --transport stream does not leave the writing to QEMU.",
  });
}
