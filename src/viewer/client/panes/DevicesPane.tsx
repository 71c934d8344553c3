import { useState } from "preact/hooks";
import type { ViewDevice, ViewDeviceTree, ViewField } from "../../shared/protocol.ts";
import { count, size } from "../../shared/units.ts";
import { side, snapshot } from "../state.ts";
import { useAnswer } from "./asked.ts";
import { Trouble } from "./Trouble.tsx";

const differences: Readonly<Record<string, string>> = { changed: "changed", added: "only here", gone: "only there" };

export function DevicesPane() {
  const answer = useAnswer<readonly ViewDevice[]>(`api/devices?side=${side.value}`);
  const [filter, setFilter] = useState("");
  const [onlyDifferent, setOnlyDifferent] = useState(false);
  const [open, setOpen] = useState<number | null>(null);
  if (answer === null) return <div class="scroll" />;
  if ("problem" in answer) {
    return (
      <div class="scroll">
        <h2>Devices</h2>
        <Trouble error={answer.problem} />
      </div>
    );
  }
  const wanted = filter.trim().toLowerCase();
  const listed = answer.value
    .map((device, index) => ({ device, index }))
    .filter(({ device, index }) => {
      if (onlyDifferent && device.differs === "same") return false;
      return index === open || wanted === "" || device.label.toLowerCase().includes(wanted);
    });
  const compared = snapshot.value?.other !== null;
  return (
    <div class="scroll">
      <h2>
        Devices <span class="dim">{answer.value.length}</span>
      </h2>
      <div class="filter">
        <input
          type="search"
          placeholder="Filter devices and fields"
          aria-label="Filter devices and fields"
          value={filter}
          onInput={(event) => setFilter(event.currentTarget.value)}
        />
        {compared && (
          <label>
            <input
              type="checkbox"
              checked={onlyDifferent}
              onChange={(event) => setOnlyDifferent(event.currentTarget.checked)}
            />
            only what differs
          </label>
        )}
      </div>
      {listed.length === 0 && (
        <p class="dim">{compared && onlyDifferent ? "Nothing differs." : "No device by that name."}</p>
      )}
      <ul class="tree">
        {listed.map(({ device, index }) => (
          <li key={index}>
            <button
              type="button"
              aria-expanded={open === index}
              disabled={device.differs === "gone"}
              onClick={() => setOpen(open === index ? null : index)}
            >
              <span class="arrow">{open === index ? "▾" : "▸"}</span>
              <b>{device.label}</b>
              {device.instance > 0 && <span class="dim">#{device.instance}</span>}
              <span class="dim">
                v{device.version}, {size(device.size)}
              </span>
              {device.differs !== null && device.differs !== "same" && (
                <span class="mark">{differences[device.differs]}</span>
              )}
            </button>
            {open === index && <Tree index={index} filter={wanted} onlyDifferent={onlyDifferent} name={device.label} />}
          </li>
        ))}
      </ul>
    </div>
  );
}

interface TreeProps {
  readonly index: number;
  readonly filter: string;
  readonly onlyDifferent: boolean;
  readonly name: string;
}

const mostShown = 1500;

function Tree({ index, filter, onlyDifferent, name }: TreeProps) {
  const answer = useAnswer<ViewDeviceTree>(`api/device?side=${side.value}&index=${index}`);
  if (answer === null) return <p class="dim">…</p>;
  if ("problem" in answer) return <Trouble error={answer.problem} />;
  const { fields, left } = answer.value;
  const named = name.toLowerCase().includes(filter);
  const kept = keep(fields, (field) => {
    if (onlyDifferent && field.other === null) return false;
    return named || field.name.toLowerCase().includes(filter) || (field.value ?? "").toLowerCase().includes(filter);
  });
  const over = Math.max(0, kept.length - mostShown) + left;
  return (
    <>
      {kept.length === 0 && <p class="dim">No such field.</p>}
      <table class="fields">
        <tbody>
          {kept.slice(0, mostShown).map((field, i) => (
            <tr key={i}>
              <td style={{ paddingLeft: `${12 + field.depth * 14}px` }}>
                {field.name} <span class="dim">{field.type}</span>
              </td>
              <td class={field.other === null ? "" : "differs"}>
                {field.value}
                {field.other !== null && <span class="was">there {field.other}</span>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {over > 0 && <p class="dim">and {count(over)} more lines: filter, or use fixedram devices</p>}
    </>
  );
}

/** Lines that are wanted, with the headings they stand under. */
function keep(fields: readonly ViewField[], wanted: (field: ViewField) => boolean): readonly ViewField[] {
  const kept: ViewField[] = [];
  let below = 0;
  for (const field of [...fields].reverse()) {
    if (field.value === null ? below <= field.depth : !wanted(field)) continue;
    kept.push(field);
    below = field.depth;
  }
  return kept.reverse();
}
