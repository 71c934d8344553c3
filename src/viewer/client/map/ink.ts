import type { Theme } from "../../shared/palette.ts";

/** Colours of the canvas that are no pages. */
export interface Ink {
  readonly ground: string;
  readonly block: string;
  readonly text: string;
  readonly faint: string;
  readonly line: string;
  readonly hover: string;
  readonly select: string;
  readonly found: string;
  readonly halo: string;
  readonly veil: string;
}

export const inks: Readonly<Record<Theme, Ink>> = {
  dark: {
    ground: "#0e1217",
    block: "#151a21",
    text: "#e6e9ee",
    faint: "#97a1ae",
    line: "#38414d",
    hover: "#ffffff",
    select: "#ffd34d",
    found: "#ff7ad9",
    halo: "rgba(8, 11, 15, 0.75)",
    veil: "rgba(14, 18, 23, 0.82)",
  },
  light: {
    ground: "#f7f8fa",
    block: "#eceef1",
    text: "#1b222b",
    faint: "#5a6573",
    line: "#c3c9d1",
    hover: "#111820",
    select: "#a8005c",
    found: "#c2189a",
    halo: "rgba(255, 255, 255, 0.85)",
    veil: "rgba(247, 248, 250, 0.86)",
  },
};

export interface LabelStyle {
  readonly color: string;
  readonly font: string;
  /** Behind the text; null: nothing. */
  readonly ground: string | null;
  /** CSS pixels. */
  readonly limit: number;
  readonly align?: "left" | "right";
}

const widths = new Map<string, number>();

function widthOf(context: CanvasRenderingContext2D, text: string): number {
  const key = `${context.font} ${text}`;
  const known = widths.get(key);
  if (known !== undefined) return known;
  if (widths.size > 4000) widths.clear();
  const width = context.measureText(text).width;
  widths.set(key, width);
  return width;
}

/** Writes a line of text with its base line at y; what is too long ends in an ellipsis. */
export function label(context: CanvasRenderingContext2D, text: string, x: number, y: number, style: LabelStyle): void {
  context.font = style.font;
  context.textAlign = "left";
  context.textBaseline = "alphabetic";
  let shown = text;
  if (widthOf(context, shown) > style.limit) {
    let length = Math.max(1, Math.floor((text.length * style.limit) / widthOf(context, text)) - 1);
    while (length > 1 && widthOf(context, `${text.slice(0, length)}…`) > style.limit) length--;
    shown = `${text.slice(0, length)}…`;
  }
  const width = widthOf(context, shown);
  const left = style.align === "right" ? x - width : x;
  if (style.ground !== null) {
    context.fillStyle = style.ground;
    context.beginPath();
    context.roundRect(left - 4, y - 12, width + 8, 16, 3);
    context.fill();
  }
  context.fillStyle = style.color;
  context.fillText(shown, left, y);
}
