import { printable } from "../../bytes/text.ts";
import { TargetFile } from "../../storage/target-file.ts";
import type { PageDifference } from "./pages.ts";

const flushBytes = 256 * 1024;

/** Writes runs of pages, a line each: kind, block (escaped), first page, pages; tabs between them. */
export class PageListFile {
  readonly #file: TargetFile;
  #text = "";
  #position = 0;

  /** @throws what {@link TargetFile.create} throws */
  constructor(path: string) {
    this.#file = TargetFile.create(path);
  }

  add({ kind, block, first, pages }: PageDifference): void {
    this.#text += `${kind}\t${printable(block)}\t${first}\t${pages}\n`;
    if (this.#text.length >= flushBytes) this.#flush();
  }

  async commit(): Promise<void> {
    this.#flush();
    await this.#file.commit();
  }

  abort(): Promise<void> {
    return this.#file.abort();
  }

  #flush(): void {
    const bytes = Buffer.from(this.#text);
    this.#file.write(bytes, this.#position);
    this.#position += bytes.length;
    this.#text = "";
  }
}
