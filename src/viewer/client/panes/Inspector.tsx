import { inspect } from "../../shared/inspect.ts";
import type { ViewBlock } from "../../shared/protocol.ts";
import { arrivals, bytesAt } from "../bytes-cache.ts";
import { goTo } from "../go.ts";
import { notice } from "../state.ts";

async function followTo(virtual: string): Promise<void> {
  const said = await goTo({ virtual });
  if (said !== null) notice.value = said;
}

/** The bytes from the selected one on, read as numbers. */
export function Inspector({ block, offset }: { block: ViewBlock; offset: number }) {
  void arrivals.value;
  const bytes = bytesAt(0, block, offset, 8);
  return (
    <table class="inspector">
      <thead>
        <tr>
          <th>from here</th>
          <th>little-endian</th>
          <th>big-endian</th>
        </tr>
      </thead>
      <tbody>
        {inspect(bytes).map(({ name, little, big }) => (
          <tr key={name}>
            <th>{name}</th>
            <td>
              {name === "x64" && bytes.length === 8 && !/^0x[0_]*$/.test(little) ? (
                <button
                  type="button"
                  class="link"
                  title="Follow it as a virtual address"
                  onClick={() => void followTo(little)}
                >
                  {little} →
                </button>
              ) : (
                little
              )}
            </td>
            <td>{big}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
