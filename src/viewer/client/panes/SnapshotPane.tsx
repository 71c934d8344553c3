import type { ViewCheck, ViewFile } from "../../shared/protocol.ts";
import { count, duration, hex, percent, plural, size } from "../../shared/units.ts";
import { check } from "../api.ts";
import { showSpot } from "../map/camera.ts";
import { tiles } from "../map/MapView.tsx";
import { blocks, checked, checking, checks, notice, selected, file as shownFile, side } from "../state.ts";
import { FileMap, partOf } from "./FileMap.tsx";

export function SnapshotPane() {
  const file = shownFile.value;
  if (file === null) return <div />;
  return (
    <div class="scroll">
      <h2>Snapshot</h2>
      <dl class="facts">
        <Fact name="File" value={file.path} />
        <Fact name="Kind" value={kindOf(file)} />
        <Fact
          name="Size"
          value={`${size(file.size)}${file.allocated === null ? "" : `, ${size(file.allocated)} on disk`}`}
        />
        <Fact name="Machine" value={file.machine} />
        <Fact name="Run state" value={file.runState} />
        {file.facts.map(([name, value]) => (
          <Fact key={name} name={name} value={value} />
        ))}
      </dl>
      <CheckPart file={file} />
      <Blocks file={file} />
      <Memory file={file} />
      <Disks file={file} />
    </div>
  );
}

function Fact({ name, value }: { name: string; value: string | null }) {
  if (value === null || value === "") return null;
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

const containers: Readonly<Record<string, string>> = {
  "fixed-ram": "fixed-ram file, every page at its place",
  "mapped-ram": "mapped-ram file made by QEMU",
  stream: "migration stream",
  libvirt: "libvirt save image",
};

function kindOf(file: ViewFile): string {
  return containers[file.container] ?? file.container;
}

const sealWords: Readonly<Record<ViewFile["seal"]["state"], string>> = {
  sealed: "Sealed. The digests say what every page was.",
  none: "No seal: there is nothing to compare the pages with. fixedram seal FILE makes one.",
  half: "Half a seal: sealing was cut short, or the file's end is lost.",
  damaged: "Sealed, and damaged since.",
  stale: "A seal of another state of the file: it was written to after it was sealed.",
};

function startCheck(deep: boolean): void {
  checking.value = { bytes: 0, total: 0, deep };
  const of = side.peek();
  check(of, deep, {
    progress: ({ bytes, total }) => {
      checking.value = { bytes, total, deep };
    },
    result: (result) => {
      checking.value = null;
      checks.value = of === 0 ? [result, checks.peek()[1]] : [checks.peek()[0], result];
      tiles.renew("state");
      tiles.renew("seal");
    },
    failed: ({ message }) => {
      checking.value = null;
      notice.value = message;
    },
  });
}

function CheckPart({ file }: { file: ViewFile }) {
  const running = checking.value;
  const result = checked.value;
  return (
    <section>
      <h3>Seal</h3>
      <p>{sealWords[result?.state ?? file.seal.state]}</p>
      {file.seal.reason !== null && <p class="bad reason">{file.seal.reason}</p>}
      {file.seal.id !== null && <p class="id">{file.seal.id}</p>}
      <p class="buttons">
        <button type="button" disabled={running !== null} onClick={() => startCheck(false)}>
          Check quickly
        </button>
        <button type="button" disabled={running !== null} onClick={() => startCheck(true)}>
          Check every page
        </button>
      </p>
      {running !== null && (
        <p class="running">
          <progress value={running.total === 0 ? undefined : running.bytes} max={running.total || undefined} />
          {running.total === 0 ? "checking" : `${size(running.bytes)} of ${size(running.total)}`}
        </p>
      )}
      {result !== null && running === null && <Result result={result} file={file} />}
    </section>
  );
}

function Result({ result, file }: { result: ViewCheck; file: ViewFile }) {
  const { coverage, problems } = result;
  return (
    <div class="result">
      <p class={result.ok ? "good" : "bad"} role="status">
        {verdictOf(result)}, {duration(result.time)}
      </p>
      {coverage !== null && (
        <p class="dim">
          Covered: pages {size(coverage.pages)}, device state and headers {size(coverage.regions)}, digests and seal{" "}
          {size(coverage.tables + coverage.seal)}. Not covered: {size(coverage.uncovered)} that no reader uses.
        </p>
      )}
      {result.unchecked.map((sentence) => (
        <p key={sentence} class="dim">
          {sentence}
        </p>
      ))}
      {problems.length > 0 && <FileMap file={file} check={result} />}
      <ul class="problems">
        {problems.slice(0, 200).map((problem, i) => (
          <li key={i}>
            {problem.message}
            {problem.label !== null && `: ${problem.label}`}
            {problem.page !== null && " "}
            {problem.page !== null && <PageLink block={problem.block} page={problem.page} pages={problem.pages ?? 1} />}
            {problem.page === null &&
              problem.offset !== null &&
              ` at byte ${hex(problem.offset)}, ${partOf(file, problem.offset)}`}
          </li>
        ))}
        {(problems.length > 200 || result.left > 0) && (
          <li class="dim">and {count(Math.max(0, problems.length - 200) + result.left)} more</li>
        )}
      </ul>
    </div>
  );
}

function PageLink({ block, page, pages }: { block: number | null; page: number; pages: number }) {
  const text = pages === 1 ? `page ${count(page)}` : `pages ${count(page)} to ${count(page + pages - 1)}`;
  if (block === null) return <> {text}</>;
  const go = () => {
    const pageSize = blocks.value[block]?.pageSize ?? 1;
    selected.value = { block, offset: page * pageSize };
    showSpot(selected.value);
  };
  return (
    <button type="button" class="link" onClick={go}>
      {text}
    </button>
  );
}

function verdictOf({ ok, state, deep }: ViewCheck): string {
  if (!ok) return "Damaged";
  if (state !== "sealed") return "Nothing is wrong with its structure";
  return deep ? "Every page is as it was sealed" : "As it was sealed, as far as the quick check goes";
}

function Blocks({ file }: { file: ViewFile }) {
  const sorted = [...file.blocks].sort((a, b) => b.pages - a.pages || a.index - b.index);
  return (
    <section>
      <h3>{plural(file.blocks.length, "RAM block")}</h3>
      <table class="blocks">
        <tbody>
          {sorted.slice(0, 200).map((block) => (
            <tr key={block.index}>
              <td>
                <button
                  type="button"
                  class="link"
                  onClick={() => {
                    selected.value = { block: block.index, offset: 0 };
                    showSpot(selected.value);
                  }}
                >
                  {block.label === "" ? "(no name)" : block.label}
                </button>
              </td>
              <td>{size(block.length)}</td>
              <td class="dim">{percent(block.present, block.pages)} in the file</td>
            </tr>
          ))}
        </tbody>
      </table>
      {sorted.length > 200 && <p class="dim">and {count(sorted.length - 200)} smaller ones, all on the map</p>}
    </section>
  );
}

function Memory({ file }: { file: ViewFile }) {
  if (file.memory === null) {
    return (
      <section>
        <h3>Physical memory</h3>
        <p class="dim">No map of it was recorded, so physical addresses are not known.</p>
      </section>
    );
  }
  return (
    <section>
      <h3>Physical memory</h3>
      <table class="blocks">
        <tbody>
          {file.memory.ranges.slice(0, 200).map((range) => (
            <tr key={range.start}>
              <td>
                <code>
                  {hex(range.start)}–{hex(range.start + range.length - 1)}
                </code>
              </td>
              <td>{size(range.length)}</td>
              <td class="dim">
                {file.blocks[range.block]?.label}
                {range.offset > 0 && ` + ${hex(range.offset)}`}
                {range.readOnly && ", read-only"}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="dim">{file.memory.note}</p>
    </section>
  );
}

function Disks({ file }: { file: ViewFile }) {
  if (file.disks.length === 0) return null;
  return (
    <section>
      <h3>Disks at the save</h3>
      <ul class="disks">
        {file.disks.map((disk) => (
          <li key={disk.device}>
            <b>{disk.device}</b> {disk.path}{" "}
            <span class="dim">
              {disk.format}
              {disk.size !== null && `, ${size(disk.size)}`}
              {disk.mtime !== null && `, changed ${disk.mtime}`}
              {disk.readOnly && ", read-only"}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
