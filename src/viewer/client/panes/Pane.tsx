import { type PaneName, pane, showPane } from "../state.ts";
import { CpusPane } from "./CpusPane.tsx";
import { DevicesPane } from "./DevicesPane.tsx";
import { PagePane } from "./PagePane.tsx";
import { SearchPane } from "./SearchPane.tsx";
import { SnapshotPane } from "./SnapshotPane.tsx";

const parts: Readonly<Record<PaneName, () => preact.JSX.Element>> = {
  page: PagePane,
  search: SearchPane,
  devices: DevicesPane,
  cpus: CpusPane,
  snapshot: SnapshotPane,
};

/** At the right of the map, one at a time. */
export function Pane() {
  const name = pane.value;
  if (name === null) return null;
  const Part = parts[name];
  return (
    <aside class={`pane ${name}`} aria-label={name}>
      <button type="button" class="close" title="Close (Esc)" aria-label="Close" onClick={() => showPane(null)}>
        ×
      </button>
      <Part />
    </aside>
  );
}
