import type { Theme } from "../../shared/palette.ts";
import { PageKind, type ViewBlock } from "../../shared/protocol.ts";
import { getPages } from "../api.ts";
import { side as shown } from "../state.ts";

const mostPictures = 600;
const mostAtOnce = 4;
/** Pages asked for together where they lie side by side. */
const run = 16;

interface Picture {
  canvas: OffscreenCanvas | null;
  theme: Theme | null;
  /** Null: still on its way, or nothing but zeros. */
  bytes: Uint8Array | null;
}

/** Pages drawn as dots, one a byte: for the deepest zoom. */
export class PagePictures {
  readonly #pictures = new Map<string, Picture>();
  #underWay = 0;
  readonly #changed: () => void;

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  picture(block: ViewBlock, page: number, theme: Theme): OffscreenCanvas | null {
    const key = keyOf(block, page);
    const known = this.#pictures.get(key);
    if (known === undefined) {
      if (this.#underWay < mostAtOnce) void this.#load(block, page);
      return null;
    }
    if (known.bytes === null) return null;
    if (known.theme !== theme) {
      known.canvas = paint(known.bytes, theme);
      known.theme = theme;
    }
    return known.canvas;
  }

  /** The file is another one now, or is there at last. */
  forget(): void {
    this.#pictures.clear();
    this.#changed();
  }

  async #load(block: ViewBlock, page: number): Promise<void> {
    const side = shown.peek();
    const first = Math.floor(page / run) * run;
    const count = Math.min(run, block.pages - first);
    for (let i = 0; i < count; i++) {
      const key = keyOf(block, first + i);
      if (!this.#pictures.has(key)) this.#pictures.set(key, { canvas: null, theme: null, bytes: null });
    }
    this.#underWay++;
    try {
      const { kinds, bytes } = await getPages(side, block.index, first, count);
      for (let i = 0; i < count; i++) {
        const picture = this.#pictures.get(keyOf(block, first + i, side));
        if (picture !== undefined && kinds[i] === PageKind.data)
          picture.bytes = bytes.slice(i * block.pageSize, (i + 1) * block.pageSize);
      }
    } catch {
      // Told where the page itself is read; the cell keeps its colour.
    }
    this.#underWay--;
    for (const key of this.#pictures.keys()) {
      if (this.#pictures.size <= mostPictures) break;
      this.#pictures.delete(key);
    }
    this.#changed();
  }
}

function keyOf(block: ViewBlock, page: number, side = shown.peek()): string {
  return `${side} ${block.index} ${page}`;
}

/** Bytes as dots: nothing for 0, printable ones in one hue, high ones lighter (on dark) or darker. */
function paint(bytes: Uint8Array, theme: Theme): OffscreenCanvas {
  const side = Math.max(1, Math.round(Math.sqrt(bytes.length)));
  const rows = Math.ceil(bytes.length / side);
  const pixels = new Uint8ClampedArray(side * rows * 4);
  const dark = theme === "dark";
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0;
    const at = i * 4;
    const printable = byte >= 0x20 && byte < 0x7f;
    const depth = byte / 255;
    const [red, green, blue] =
      byte === 0
        ? dark
          ? [22, 28, 37]
          : [233, 237, 242]
        : printable
          ? dark
            ? [225, 205, 105]
            : [176, 138, 0]
          : dark
            ? [45 + 110 * depth, 95 + 125 * depth, 150 + 100 * depth]
            : [150 - 125 * depth, 185 - 110 * depth, 220 - 70 * depth];
    pixels[at] = red ?? 0;
    pixels[at + 1] = green ?? 0;
    pixels[at + 2] = blue ?? 0;
    pixels[at + 3] = 255;
  }
  const canvas = new OffscreenCanvas(side, rows);
  canvas.getContext("2d")?.putImageData(new ImageData(pixels, side, rows), 0, 0);
  return canvas;
}
