import type { PageMap } from "../../pages/map.ts";
import { physicalIn } from "../shared/address.ts";
import { usedHeight } from "../shared/grid.ts";
import { type Rgb, swatches } from "../shared/palette.ts";
import type { ViewFile } from "../shared/protocol.ts";
import { hex, percent, size } from "../shared/units.ts";
import { type Plot, worldOf } from "../shared/world.ts";
import { encodePng, type Raster } from "./png.ts";
import { levelOf, rasterOf } from "./raster.ts";

const ground: Rgb = [0xff, 0xff, 0xff];
/** Pixels of the world's longer side. */
const worldSide = 1024;
/** Blocks with a picture of their own; smaller ones are drawn as boxes. */
const mostPictures = 64;

interface Drawn {
  readonly plot: Plot;
  /** Pixels of the picture. */
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly raster: Raster | null;
}

interface Composition {
  readonly width: number;
  readonly height: number;
  readonly drawn: readonly Drawn[];
  /** Pixels a page. */
  readonly scale: number;
}

async function compose(file: ViewFile, map: PageMap): Promise<Composition> {
  const world = worldOf(file.blocks, "rows");
  const scale = Math.max(1 / 64, worldSide / Math.max(world.width, world.height));
  const drawn: Drawn[] = [];
  for (const [i, plot] of world.plots.entries()) {
    const box = {
      left: plot.x * scale,
      top: plot.y * scale,
      width: Math.max(1, plot.width * scale),
      height: Math.max(1, usedHeight(plot.grid) * scale),
    };
    const raster =
      i < mostPictures ? await rasterOf(map, plot.block.index, plot.grid, levelOf(plot.grid), ground) : null;
    drawn.push({ plot, ...box, raster });
  }
  return { drawn, scale, width: Math.ceil(world.width * scale), height: Math.ceil(world.height * scale) };
}

/** The map as one PNG: the blocks as they lie in the viewer, without words. */
export async function pngPicture(file: ViewFile, map: PageMap): Promise<Uint8Array> {
  const { drawn, width, height } = await compose(file, map);
  const margin = 16;
  const whole = { width: width + 2 * margin, height: height + 2 * margin };
  const pixels = new Uint8Array(whole.width * whole.height * 3).fill(0xff);
  for (const { left, top, width: wide, height: high, raster } of drawn) {
    if (raster === null) continue;
    for (let y = 0; y < Math.round(high); y++) {
      const from = Math.min(raster.height - 1, Math.floor((y * raster.height) / high)) * raster.width;
      const to = (Math.floor(top) + margin + y) * whole.width + Math.floor(left) + margin;
      for (let x = 0; x < Math.round(wide); x++) {
        const at = (from + Math.min(raster.width - 1, Math.floor((x * raster.width) / wide))) * 3;
        pixels.set(raster.pixels.subarray(at, at + 3), (to + x) * 3);
      }
    }
  }
  return encodePng({ ...whole, pixels });
}

/** Text for XML and HTML. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const font = "system-ui, 'DejaVu Sans', sans-serif";
const mono = "ui-monospace, 'DejaVu Sans Mono', monospace";

/** The map with its names, rulers and legend. Stands alone. */
export async function svgPicture(file: ViewFile, map: PageMap): Promise<string> {
  const { drawn, width, height, scale } = await compose(file, map);
  const margin = { left: 116, top: 76, right: 230, bottom: 52 };
  const whole = { width: width + margin.left + margin.right, height: height + margin.top + margin.bottom };
  const pages = file.blocks.reduce((sum, block) => sum + block.pages, 0);
  const present = file.blocks.reduce((sum, block) => sum + block.present, 0);
  const title = file.path.split("/").at(-1) ?? "";
  const about = `${file.machine}, ${size(file.ram)} RAM, ${percent(present, pages)} in the file`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${whole.width} ${whole.height}" role="img" font-family="${font}">`,
    `<title>${escapeXml(`${title}: ${about}`)}</title>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="${margin.left}" y="30" font-size="18" font-weight="600" fill="#1b222b">${escapeXml(title)}</text>`,
    `<text x="${margin.left}" y="50" font-size="12.5" fill="#5a6573">${escapeXml(about)}</text>`,
    `<g transform="translate(${margin.left} ${margin.top})">`,
    ...drawn.map((each) => blockSvg(each, file, scale)),
    "</g>",
    legendSvg(margin.left, whole.height - 18, file),
    "</svg>",
    "",
  ].join("\n");
}

function blockSvg({ plot, left, top, width, height, raster }: Drawn, file: ViewFile, scale: number): string {
  const { block } = plot;
  const place = `x="${left.toFixed(1)}" y="${top.toFixed(1)}" width="${width.toFixed(1)}" height="${height.toFixed(1)}"`;
  const share = `${block.label}: ${size(block.length)}, ${percent(block.present, block.pages)} in the file`;
  const fill = block.present > 0 ? swatches.data.light : swatches.zero.light;
  const image =
    raster === null
      ? `<rect ${place} fill="${fill}"/>`
      : `<image ${place} preserveAspectRatio="none" style="image-rendering:pixelated" href="data:image/png;base64,${Buffer.from(
          encodePng(raster),
        ).toString("base64")}"/>`;
  const name = `<text font-size="11" fill="#1b222b"`;
  const label =
    width >= 150
      ? `${name} x="${left}" y="${(top - 6).toFixed(1)}">${escapeXml(block.label)}, ${size(block.length)}</text>`
      : height + 12 < 14 * scale && height < 6
        ? ""
        : `${name} x="${(left + width + 8).toFixed(1)}" y="${(top + height / 2 + 4).toFixed(1)}">${escapeXml(block.label)}</text>`;
  return `<g><title>${escapeXml(share)}</title>${image}${label}${height >= 120 ? rulerSvg(plot, file, scale, left, top, width) : ""}</g>`;
}

/** Offsets at the left, guest-physical addresses at the right. */
function rulerSvg(plot: Plot, file: ViewFile, scale: number, left: number, top: number, width: number): string {
  const { block, grid } = plot;
  let step = 1;
  while (step * scale < 44) step *= 2;
  const lines: string[] = [];
  for (let row = 0; row < usedHeight(grid); row += step) {
    const y = (top + row * scale).toFixed(1);
    const offset = row * grid.width * block.pageSize;
    const physical = physicalIn(file.memory?.ranges ?? [], { block: block.index, offset });
    const style = `font-size="10" font-family="${mono}" fill="#5a6573"`;
    lines.push(`<text ${style} text-anchor="end" x="${left - 8}" y="${Number(y) + 4}">${hex(offset)}</text>`);
    if (physical !== null && left === 0)
      lines.push(`<text ${style} x="${left + width + 8}" y="${Number(y) + 4}">${hex(physical)}</text>`);
  }
  return lines.join("");
}

function legendSvg(x: number, y: number, file: ViewFile): string {
  const entries: readonly (readonly [string, string])[] = [
    [swatches.zero.light, "zero"],
    [swatches.data.light, "data"],
    ...(file.blocks.some(({ absent }) => absent > 0) ? [[swatches.absent.light, "not in the file"] as const] : []),
  ];
  return entries
    .map(([color, text], i) => {
      const at = x + i * 90;
      return `<rect x="${at}" y="${y - 10}" width="11" height="11" rx="2" fill="${color}"/><text x="${at + 17}" y="${y}" font-size="12" fill="#1b222b">${text}</text>`;
    })
    .join("");
}
