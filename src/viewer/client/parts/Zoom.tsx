import { showAll, zoomBy } from "../map/camera.ts";

export function Zoom() {
  return (
    <div class="zoom" role="group" aria-label="Zoom">
      <button
        type="button"
        title="Nearer (+)"
        aria-label="Nearer"
        onClick={() => zoomBy(2, undefined, undefined, true)}
      >
        +
      </button>
      <button
        type="button"
        title="Farther (−)"
        aria-label="Farther"
        onClick={() => zoomBy(0.5, undefined, undefined, true)}
      >
        −
      </button>
      <button type="button" title="All of it (0)" aria-label="All of it" onClick={showAll}>
        ⤢
      </button>
    </div>
  );
}
