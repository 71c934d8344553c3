import { swatches } from "../../shared/palette.ts";
import type { ViewCheck, ViewFile, ViewProblem } from "../../shared/protocol.ts";
import { hex, size } from "../../shared/units.ts";
import { theme } from "../state.ts";

const width = 1000;
/** Units that something small is wide at least. */
const least = 4;

interface Range {
  readonly offset: number;
  readonly length: number;
}

/** The file from its first byte to its last, with what a check found where. */
export function FileMap({ file, check }: { file: ViewFile; check: ViewCheck }) {
  const now = theme.value;
  const whole = Math.max(1, check.size);
  const place = ({ offset, length }: Range) => {
    const wide = Math.max(least, (length / whole) * width);
    return { x: Math.min(width - wide, (offset / whole) * width), width: wide };
  };
  const damaged = check.problems.flatMap((problem) => rangeOf(file, problem));
  return (
    <figure class="filemap">
      <svg
        viewBox={`0 0 ${width} 24`}
        preserveAspectRatio="none"
        role="img"
        aria-label="Where the damage is in the file"
      >
        <rect width={width} height={24} fill={swatches.covered[now]} />
        {pageRanges(file).map((range) => (
          <rect key={range.offset} {...place(range)} y={0} height={24} fill={swatches.intact[now]} />
        ))}
        {damaged.map((range, i) => (
          <rect key={i} {...place(range)} y={0} height={24} fill={swatches.damaged[now]} />
        ))}
      </svg>
      <figcaption class="dim">
        <i style={{ background: swatches.intact[now] }} /> pages <i style={{ background: swatches.covered[now] }} />{" "}
        headers, device state, digests, seal <i style={{ background: swatches.damaged[now] }} /> damaged; {size(whole)}
      </figcaption>
    </figure>
  );
}

function pageRanges(file: ViewFile): readonly Range[] {
  return file.blocks.flatMap(({ pagesOffset, length }) =>
    pagesOffset === null ? [] : [{ offset: pagesOffset, length }],
  );
}

/** Where a problem is in the file, if it is somewhere. */
function rangeOf(file: ViewFile, { block, page, pages, offset, length }: ViewProblem): readonly Range[] {
  const at = block === null ? undefined : file.blocks[block];
  if (at !== undefined && at.pagesOffset !== null && page !== null)
    return [{ offset: at.pagesOffset + page * at.pageSize, length: (pages ?? 1) * at.pageSize }];
  return offset === null ? [] : [{ offset, length: length ?? 1 }];
}

/** What of the file a byte belongs to, in words. */
export function partOf(file: ViewFile, offset: number): string {
  for (const { pagesOffset, length, label } of file.blocks) {
    if (pagesOffset !== null && offset >= pagesOffset && offset < pagesOffset + length)
      return `${label} at ${hex(offset - pagesOffset)}`;
  }
  const places = pageRanges(file);
  if (places.length === 0 || places.some(({ offset: first }) => offset < first)) return "headers, bitmaps and digests";
  return "device state and seal";
}
