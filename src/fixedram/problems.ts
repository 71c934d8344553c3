/** Something that is not as it was sealed, or that cannot be. */
export interface Problem {
  /** Stable, as those of errors: docs/errors/. */
  readonly code: string;
  readonly message: string;
  /** Name of the RAM block (bytes as latin1). */
  readonly block?: string;
  /** The first page, and how many: page indices in the block. */
  readonly page?: number;
  readonly pages?: number;
  /** Where in the file, bytes. */
  readonly offset?: number;
  readonly length?: number;
}

/** Collects problems: neighbouring pages with the same one become one, and no more than `limit` are kept. */
export class Problems {
  readonly list: Problem[] = [];
  /** Problems that were not kept. */
  leftOut = 0;
  readonly #limit: number;

  constructor(limit = 1000) {
    this.#limit = limit;
  }

  get count(): number {
    return this.list.length + this.leftOut;
  }

  add(problem: Problem): void {
    const last = this.list.at(-1);
    if (last !== undefined && follows(last, problem)) {
      this.list[this.list.length - 1] = {
        ...last,
        pages: (last.pages ?? 0) + (problem.pages ?? 0),
        length: (last.length ?? 0) + (problem.length ?? 0),
      };
    } else if (this.list.length < this.#limit) this.list.push(problem);
    else this.leftOut++;
  }
}

function follows(last: Problem, next: Problem): boolean {
  return (
    last.page !== undefined &&
    last.pages !== undefined &&
    next.page === last.page + last.pages &&
    next.code === last.code &&
    next.message === last.message &&
    next.block === last.block
  );
}
