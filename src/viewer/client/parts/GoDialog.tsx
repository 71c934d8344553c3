import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { parseAddress } from "../../shared/address.ts";
import { goTo } from "../go.ts";
import { blockOf, blocks, file, goOpen, selected } from "../state.ts";

export function GoDialog() {
  const open = goOpen.value;
  const dialog = useRef<HTMLDialogElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const [problem, setProblem] = useState<string | null>(null);
  useLayoutEffect(() => {
    if (!open) return;
    setProblem(null);
    dialog.current?.showModal();
    input.current?.focus();
  }, [open]);
  if (!open) return null;
  const present = blockOf(selected.value) ?? [...blocks.value].sort((a, b) => b.pages - a.pages)[0] ?? null;
  const submit = async (event: Event) => {
    event.preventDefault();
    const wanted = parseAddress(input.current?.value ?? "", present, blocks.value, file.value?.memory?.ranges ?? []);
    const said = await goTo(wanted);
    if (said !== null) setProblem(said);
    else goOpen.value = false;
  };
  return (
    <dialog
      ref={dialog}
      class="go"
      aria-label="Go to an address"
      onClose={() => {
        goOpen.value = false;
      }}
    >
      <form onSubmit={(event) => void submit(event)}>
        <input
          ref={input}
          type="text"
          spellcheck={false}
          autocomplete="off"
          placeholder="0x1f000"
          aria-label="Address"
        />
        <button type="submit">Go</button>
      </form>
      {problem === null ? (
        <p class="dim">
          <code>0x1f000</code> in {present?.label ?? "the block"}, <code>BLOCK:0x1f000</code>, <code>page 12</code>
          {file.value?.memory !== null && (
            <>
              , <code>p:0x100000</code> physical, <code>v:0xffff8000…</code> virtual
            </>
          )}
        </p>
      ) : (
        <p class="bad" role="alert">
          {problem}
        </p>
      )}
    </dialog>
  );
}
