import { resumeKinds } from "../../shared/live.ts";
import { modes } from "../../shared/modes.ts";
import { swatches } from "../../shared/palette.ts";
import type { ViewComparison } from "../../shared/protocol.ts";
import { count, percent, size } from "../../shared/units.ts";
import { totals } from "../live/record.ts";
import { blocks, checked, comparing, hidden, look, mode, other, side, theme, toggleHidden } from "../state.ts";

/** Names the colours; a click leaves the others' pages out. Entries that cannot come up are not shown. */
export function Legend() {
  const { legend } = modes[mode.value];
  const absent = blocks.value.some((block) => block.absent > 0);
  const damaged = (checked.value?.problems ?? []).some(({ page }) => page !== null);
  const shown = legend.filter(({ key }) => {
    if (key === "absent") return absent;
    if (key === "damaged") return damaged || mode.value === "seal";
    if (key === "uncovered" || key === "covered" || key === "intact") return look.value.trust === key;
    return true;
  });
  return (
    <div class="legend" role="group" aria-label="Legend">
      {shown.map(({ key, swatch, label, tells }) => (
        <button
          key={key}
          type="button"
          aria-pressed={!hidden.value.has(key)}
          title={`${tells} A click ${hidden.value.has(key) ? "shows" : "hides"} it.`}
          onClick={() => toggleHidden(key)}
        >
          <i style={{ background: swatches[swatch][theme.value] }} />
          {label}
          <Figure name={key} />
        </button>
      ))}
      <Progress />
    </div>
  );
}

function Figure({ name }: { name: string }) {
  const total = blocks.value.reduce((sum, { pages }) => sum + pages, 0);
  const present = blocks.value.reduce((sum, block) => sum + block.present, 0);
  const absent = blocks.value.reduce((sum, block) => sum + block.absent, 0);
  const differ = comparing.value?.pages;
  const figures: Readonly<Record<string, number | undefined>> =
    mode.value === "state"
      ? { zero: total - present - absent, data: present, absent }
      : mode.value === "changes"
        ? { changed: differ?.changed, ...halves(differ) }
        : {};
  const recorded = recordedOf(name);
  if (recorded !== null) {
    const tells =
      name === "hot" ? "times that a page came again" : name === "cold" ? "pages, however often they came" : "pages";
    return (
      <span class="figure" title={`${count(recorded)} ${tells}`}>
        {count(recorded)}
      </span>
    );
  }
  const figure = figures[name];
  if (figure === undefined) return null;
  return (
    <span class="figure" title={`${count(figure)} pages`}>
      {mode.value === "state" ? percent(figure, total) : count(figure)}
    </span>
  );
}

/** Pages of a recording that came in this manner by the moment that is shown; null: the mode shows none. */
function recordedOf(name: string): number | null {
  const pages = totals.value?.pages;
  if (pages === undefined || (mode.value !== "live" && mode.value !== "rewrites")) return null;
  const kind: number = (mode.value === "live" ? resumeKinds : ["", "zero", "cold", "hot"]).indexOf(name as never);
  return kind > 0 ? (pages[kind] ?? 0) : null;
}

/** What only one of the two has, as the one that is shown sees it. */
function halves(differ: ViewComparison["pages"] | undefined): { added: number | undefined; gone: number | undefined } {
  const [here, there] = [differ?.added, differ?.gone];
  return side.value === 0 ? { added: here, gone: there } : { added: there, gone: here };
}

/** How far the comparison is. */
function Progress() {
  const now = comparing.value;
  if (mode.value !== "changes" || now === null) return null;
  if (now.failed !== null) return <span class="progress bad">{now.failed}</span>;
  if (now.done) {
    const { changed, added, gone } = now.pages;
    if (changed + added + gone === 0) return <span class="progress">Every page is the same in both.</span>;
    return null;
  }
  const file = other.value?.path ?? "";
  return (
    <span class="progress" title={file}>
      comparing: {size(now.bytes)} of {size(now.total)}
    </span>
  );
}
