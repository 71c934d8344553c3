import { useLayoutEffect, useRef } from "preact/hooks";
import { keyTable } from "../keys.ts";
import { helpOpen, snapshot } from "../state.ts";

export function Help() {
  const open = helpOpen.value;
  const ref = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    if (open) ref.current?.showModal();
  }, [open]);
  if (!open) return null;
  const close = () => {
    helpOpen.value = false;
  };
  return (
    <dialog ref={ref} class="help" aria-label="Keys" onClose={close}>
      <h2>Keys</h2>
      <dl>
        {keyTable.map(([keys, does]) => (
          <div key={keys}>
            <dt>
              {keys.split(" ").map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <p>
        Drag to move, turn the wheel to zoom, click to see a page. The address of this page carries what you see, for as
        long as the viewer runs.
      </p>
      <p class="dim">fixedram {snapshot.value?.version}</p>
      <button type="button" onClick={close}>
        Close
      </button>
    </dialog>
  );
}
