import { modes } from "../../shared/modes.ts";
import type { ViewSnapshot } from "../../shared/protocol.ts";
import { percent, size } from "../../shared/units.ts";
import {
  other as against,
  availableModes,
  checked,
  exchange,
  goOpen,
  helpOpen,
  mode,
  order,
  type PaneName,
  pane,
  showMode,
  file as shown,
  side,
  theme,
  togglePane,
} from "../state.ts";
import { keepTheme } from "../theme.ts";

const paneTitles: Readonly<Record<PaneName, readonly [string, string]>> = {
  page: ["Page", "p"],
  search: ["Search", "/"],
  devices: ["Devices", "d"],
  cpus: ["CPUs", "c"],
  snapshot: ["Snapshot", "i"],
};

export function TopBar({ pending }: { pending: boolean }) {
  const file = shown.value;
  const other = against.value;
  if (file === null) return <header />;
  const pages = file.blocks.reduce((sum, block) => sum + block.pages, 0);
  const present = file.blocks.reduce((sum, block) => sum + block.present, 0);
  return (
    <header>
      <div class={other === null ? "file" : "file two"}>
        <strong title={file.path}>{file.path.split("/").at(-1)}</strong>
        {other !== null && (
          <span class="against" title={other.path}>
            against {other.path.split("/").at(-1)}
          </span>
        )}
        <span class="fact">
          {size(file.ram)} RAM, {pending ? "being saved" : `${percent(present, pages)} in the file`}
        </span>
        {!pending && <Seal state={checked.value?.state ?? file.seal.state} />}
      </div>
      <div class="modes" role="tablist" aria-label="Colour by">
        {availableModes.value.map((name, i) => (
          <button
            key={name}
            type="button"
            role="tab"
            aria-selected={mode.value === name}
            title={`${modes[name].tells} (${i + 1})`}
            onClick={() => showMode(name)}
          >
            {modes[name].title}
          </button>
        ))}
      </div>
      <nav>
        {other !== null && (
          <button
            type="button"
            aria-pressed={side.value === 1}
            title="Shows the other one of the two (x)"
            onClick={exchange}
          >
            ⇄
          </button>
        )}
        <button
          type="button"
          class="quiet"
          title="Rows, or Hilbert's curve, which keeps neighbours together (o)"
          onClick={() => {
            order.value = order.value === "rows" ? "hilbert" : "rows";
          }}
        >
          {order.value === "rows" ? "Rows" : "Hilbert"}
        </button>
        <span class="rule" />
        {(Object.keys(paneTitles) as PaneName[]).map((name) => (
          <button
            key={name}
            type="button"
            aria-pressed={pane.value === name}
            title={`${paneTitles[name][0]} (${paneTitles[name][1]})`}
            onClick={() => togglePane(name)}
          >
            {paneTitles[name][0]}
          </button>
        ))}
        <span class="rule" />
        <button
          type="button"
          class="quiet"
          title="Go to an address (g)"
          onClick={() => {
            goOpen.value = true;
          }}
        >
          Go to
        </button>
        <button
          type="button"
          class="icon"
          title="Light or dark (t)"
          aria-label="Light or dark"
          onClick={() => keepTheme(theme.value === "dark" ? "light" : "dark")}
        >
          {theme.value === "dark" ? "☾" : "☀"}
        </button>
        <button
          type="button"
          class="icon"
          title="Keys (?)"
          aria-label="Help"
          onClick={() => {
            helpOpen.value = true;
          }}
        >
          ?
        </button>
      </nav>
    </header>
  );
}

const sealWords: Readonly<Record<ViewSnapshot["file"]["seal"]["state"], readonly [string, string]>> = {
  sealed: ["sealed", "good"],
  none: ["no seal", "plain"],
  half: ["half a seal", "bad"],
  damaged: ["damaged", "bad"],
  stale: ["stale seal", "bad"],
};

function Seal({ state }: { state: ViewSnapshot["file"]["seal"]["state"] }) {
  const [word, tone] = sealWords[state];
  return (
    <button type="button" class={`seal ${tone}`} title="What the seal says (i)" onClick={() => togglePane("snapshot")}>
      {word}
    </button>
  );
}
