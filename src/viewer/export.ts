import { FixedramError } from "../errors.ts";
import { toolVersion } from "../installation.ts";
import { type OpenSnapshotOptions, openSnapshot } from "../operations/open.ts";
import { refuseSame } from "../storage/same-file.ts";
import { writeWhole } from "../storage/target-file.ts";
import { pngPicture, svgPicture } from "./picture/compose.ts";
import { htmlReport } from "./picture/report.ts";
import { describeSide } from "./server/describe.ts";
import { Side } from "./server/side.ts";

export interface ExportMapOptions extends Pick<OpenSnapshotOptions, "offset" | "bigEndian" | "signal"> {
  readonly file: string;
  /** What to write: `.svg`, `.png` or `.html`; what is there already is replaced when the new one is whole. */
  readonly out: string;
}

const formats = ["svg", "png", "html"] as const;
type Format = (typeof formats)[number];

/**
 * Draws the map of a snapshot into a file that stands alone: a picture with names and rulers (SVG), the picture without words (PNG), or
 * a page with the main figures as text (HTML, no script). No page of the guest is read.
 *
 * @throws FixedramError `usage.bad-choice` for another ending, `usage.same-file`, and those of openSnapshot and of writing
 */
export async function exportMap({ file, out, ...options }: ExportMapOptions): Promise<void> {
  const format = formatOf(out);
  refuseSame(file, out);
  const snapshot = await openSnapshot(file, options);
  try {
    const side = new Side(snapshot, async () => new Uint8Array());
    await writeWhole(out, await draw(side, format));
  } finally {
    await snapshot.close();
  }
}

async function draw(side: Side, format: Format): Promise<Uint8Array> {
  const file = describeSide(side);
  const { map } = side.snapshot;
  if (format === "png") return await pngPicture(file, map);
  const text = format === "svg" ? await svgPicture(file, map) : await htmlReport(file, map, toolVersion);
  return new TextEncoder().encode(text);
}

/** @throws `usage.bad-choice` */
export function formatOf(out: string): Format {
  const format = formats.find((each) => out.toLowerCase().endsWith(`.${each}`));
  if (format !== undefined) return format;
  throw new FixedramError("usage.bad-choice", "--export cannot tell the format from the file's name", {
    found: out,
    expected: "a name that ends in .svg, .png or .html",
  });
}
