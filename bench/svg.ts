/** Bars, in SVG: what a tournament came to. */
import type { Tournament } from "./tournament.ts";

const WIDTH = 720;
const LABEL = 230;
const ROW = 26;
const TOP = 44;

/** One chart: a bar for each side, shortest time first; ours stands out. */
export function chart({ name, qemu, sides }: Tournament): string {
  const title = escaped(qemu === "none" ? name : `${name}, QEMU ${qemu}`);
  const sorted = [...sides].sort((a, b) => a.median - b.median);
  const most = Math.max(...sorted.map(({ spread }) => spread[1]), 1);
  const room = WIDTH - LABEL - 90;
  const x = (time: number) => LABEL + (time / most) * room;
  const rows = sorted.map(({ name: side, median, spread }, index) => {
    const y = TOP + index * ROW;
    const fill = side.startsWith("fixedram") ? "#2f6fde" : "#9aa4b2";
    const middle = y + ROW / 2;
    return [
      `<text x="${LABEL - 8}" y="${middle + 4}" text-anchor="end">${escaped(side)}</text>`,
      `<rect x="${LABEL}" y="${y + 4}" width="${(x(median) - LABEL).toFixed(1)}" height="${ROW - 8}" fill="${fill}"/>`,
      `<path d="M${x(spread[0]).toFixed(1)} ${middle}H${x(spread[1]).toFixed(1)}" stroke="#20242b"/>`,
      `<text x="${(x(spread[1]) + 6).toFixed(1)}" y="${middle + 4}">${seconds(median)}</text>`,
    ].join("\n");
  });
  const height = TOP + rows.length * ROW + 12;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13" fill="#20242b" role="img">
<title>${title}</title>
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
<text x="12" y="24" font-size="15" font-weight="600">${title}: seconds, shorter is better; the line is from the fastest run to the slowest</text>
${rows.join("\n")}
</svg>
`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);
}
