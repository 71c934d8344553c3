import { Timeline } from "./live/Timeline.tsx";
import { MapView } from "./map/MapView.tsx";
import { Pane } from "./panes/Pane.tsx";
import { GoDialog } from "./parts/GoDialog.tsx";
import { Help } from "./parts/Help.tsx";
import { Legend } from "./parts/Legend.tsx";
import { Problem } from "./parts/Problem.tsx";
import { Strip } from "./parts/Strip.tsx";
import { Tip } from "./parts/Tip.tsx";
import { Toast } from "./parts/Toast.tsx";
import { TopBar } from "./parts/TopBar.tsx";
import { Zoom } from "./parts/Zoom.tsx";
import { blocks, failure, snapshot } from "./state.ts";

export function App() {
  if (failure.value !== null) return <Problem error={failure.value} />;
  if (snapshot.value === null) return <div class="waiting" role="status" />;
  return (
    <>
      <TopBar pending={snapshot.value.pending} />
      <main>
        <section class="stage">
          {blocks.value.length === 0 ? <Empty /> : <MapView />}
          <Legend />
          <Zoom />
          <Tip />
          <Toast />
        </section>
        <Pane />
      </main>
      <Timeline />
      <Strip />
      <GoDialog />
      <Help />
    </>
  );
}

function Empty() {
  if (snapshot.value?.pending === true) {
    return (
      <div class="problem" role="status">
        <h1>Waiting for the first pages</h1>
        <p>The guest's memory is drawn here as soon as QEMU sends it.</p>
      </div>
    );
  }
  return (
    <div class="problem">
      <h1>No memory in here</h1>
      <p>The snapshot has no RAM blocks, so there is nothing to draw. Press i to see what it says about itself.</p>
    </div>
  );
}
