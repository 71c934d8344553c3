/**
 * Colours of the map, of both themes. Hues are those of Okabe and Ito's set, which people with any colour blindness can tell
 * apart, lighter on dark; what matters most (damaged, changed) also differs in lightness from all around it.
 */
export type Theme = "dark" | "light";

export interface Swatch {
  readonly dark: string;
  readonly light: string;
}

export const swatches = {
  zero: { dark: "#1d232c", light: "#e4e6ea" },
  data: { dark: "#4fa3dc", light: "#2274b5" },
  absent: { dark: "#5b4a72", light: "#c9b6dd" },
  unchanged: { dark: "#34465c", light: "#b4c6d8" },
  changed: { dark: "#f0a32c", light: "#e08700" },
  added: { dark: "#2fc29a", light: "#008f6b" },
  gone: { dark: "#d98cc0", light: "#b65a96" },
  damaged: { dark: "#ff5b3a", light: "#d63a00" },
  covered: { dark: "#3d6f9e", light: "#7fb0dd" },
  intact: { dark: "#2fb894", light: "#10946f" },
  uncovered: { dark: "#6b7280", light: "#a8adb7" },
  text: { dark: "#f0e068", light: "#d8b400" },
  code: { dark: "#f09a3e", light: "#d56a00" },
  structured: { dark: "#4fa3dc", light: "#2274b5" },
  packed: { dark: "#35c49c", light: "#009e73" },
  random: { dark: "#d98cc0", light: "#b65a96" },
  waiting: { dark: "#4a5566", light: "#b4bbc6" },
  faulted: { dark: "#ff7a45", light: "#d55e00" },
  along: { dark: "#c99a2e", light: "#e3b23c" },
  prefetched: { dark: "#5cc1f0", light: "#2f9bd6" },
  pushed: { dark: "#2f6f9e", light: "#7f9fc0" },
  cold: { dark: "#2f6f9e", light: "#9cc3e6" },
  hot: { dark: "#ffd166", light: "#c2410c" },
} as const satisfies Record<string, Swatch>;

export type SwatchName = keyof typeof swatches;
export type Rgb = readonly [red: number, green: number, blue: number];

export function rgbOf(name: SwatchName, theme: Theme): Rgb {
  const text = swatches[name][theme];
  return [1, 3, 5].map((at) => Number.parseInt(text.slice(at, at + 2), 16)) as unknown as Rgb;
}

/** How strongly a share of pages shows: a single page in thousands is still seen. */
export function weightOf(share: number): number {
  return share <= 0 ? 0 : 0.22 + 0.78 * share ** 0.7;
}
