import { FixedramError } from "../errors.ts";
import type { Store } from "../pages/store.ts";

/** A file of our own that decoded pages go to. */
export interface ScratchStore extends Store {
  readonly readSync: NonNullable<Store["readSync"]>;
  write(bytes: Uint8Array, position: number): void;
}

/** Pages that do not stand in the stream as they are. Slots that are given back are used again, so it is never larger than the RAM. */
export class Overlay {
  readonly #create: () => ScratchStore;
  readonly #maxBytes: number;
  readonly #free: number[] = [];
  #store: ScratchStore | null = null;
  #slots = 0;

  /** @param create called when the first page needs it */
  constructor(create: () => ScratchStore, maxBytes: number) {
    this.#create = create;
    this.#maxBytes = maxBytes;
  }

  /** Null while nothing was ever decoded. */
  get store(): ScratchStore | null {
    return this.#store;
  }

  read(slot: number, page: Uint8Array): void {
    this.#store?.readSync(page, slot * page.length);
  }

  write(slot: number, page: Uint8Array): void {
    this.#store ??= this.#create();
    this.#store.write(page, slot * page.length);
  }

  /** A slot for a page of so many bytes, all slots alike. @throws `file.too-large` */
  take(pageSize: number): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if ((this.#slots + 1) * pageSize > this.#maxBytes) {
      throw new FixedramError("file.too-large", "the stream's encoded pages unpack to more than the limit", {
        expected: `at most ${this.#maxBytes} bytes`,
      });
    }
    return this.#slots++;
  }

  give(slot: number): void {
    this.#free.push(slot);
  }
}
