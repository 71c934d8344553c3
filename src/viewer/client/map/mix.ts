import type { Rgb } from "../../shared/palette.ts";

/** The colour of a cell as it comes about: one to begin with, others laid over it. One object serves a whole tile. */
export class Mix {
  #red = 0;
  #green = 0;
  #blue = 0;
  #alpha = 0;

  /** @param alpha 0 to 255; once anything is laid over it, it is 255 */
  begin([red, green, blue]: Rgb, alpha: number): void {
    this.#red = red;
    this.#green = green;
    this.#blue = blue;
    this.#alpha = alpha;
  }

  /** @param weight 0: as if it were not there, 1: nothing else is seen */
  lay(color: Rgb, weight: number): void {
    this.#red += (color[0] - this.#red) * weight;
    this.#green += (color[1] - this.#green) * weight;
    this.#blue += (color[2] - this.#blue) * weight;
    this.#alpha = 255;
  }

  /** Writes it as the RGBA of cell `i`. */
  put(pixels: Uint8ClampedArray, i: number): void {
    pixels[i * 4] = this.#red;
    pixels[i * 4 + 1] = this.#green;
    pixels[i * 4 + 2] = this.#blue;
    pixels[i * 4 + 3] = this.#alpha;
  }
}
