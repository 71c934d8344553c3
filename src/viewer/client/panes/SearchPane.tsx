import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { mostHits, type ViewHit } from "../../shared/protocol.ts";
import { count, duration, hex, plural, size } from "../../shared/units.ts";
import {
  asOf,
  current,
  find,
  focusSearch,
  goToHit,
  hits,
  problem,
  progress,
  searching,
  stepHit,
  stopped,
  stopSearch,
  type Wanted,
  wanted,
} from "../search.ts";
import { showPane } from "../state.ts";

const kinds: readonly (readonly [Wanted["as"], string, string])[] = [
  ["text", "Text", "its UTF-8"],
  ["hex", "Bytes", "hexadecimal, ? for any digit: 7f 45 4c 46 ??"],
  ["regex", "Expression", "a regular expression over bytes"],
];

export function SearchPane() {
  return (
    <>
      <div class="finder">
        <h2>Search</h2>
        <Form key={`${asOf(wanted.value)} ${wanted.value.pattern}`} />
        <Verdict />
      </div>
      <ol class="hits scroll" aria-label="Hits">
        {hits.value.map((hit, i) => (
          <Hit key={i} hit={hit} index={i} />
        ))}
      </ol>
    </>
  );
}

function Form() {
  const input = useRef<HTMLInputElement>(null);
  const [how, setHow] = useState(wanted.value);
  const asked = focusSearch.value;
  // At once: what is typed next is meant for it.
  useLayoutEffect(() => {
    void asked;
    input.current?.focus();
    input.current?.select();
  }, [asked]);
  const submit = (event: Event): void => {
    event.preventDefault();
    const next = { ...how, pattern: input.current?.value ?? "" };
    // Once more, and it goes through what was found.
    if (next.pattern === wanted.value.pattern && asOf(next) === asOf(wanted.value) && hits.value.length > 0) stepHit(1);
    else find(next);
  };
  const placeholder = kinds.find(([as]) => as === how.as)?.[2] ?? "";
  return (
    <form onSubmit={submit}>
      <div class="line">
        <input
          ref={input}
          type="search"
          spellcheck={false}
          autocomplete="off"
          aria-label="Look for"
          placeholder={placeholder}
          defaultValue={wanted.value.pattern}
        />
        {searching.value ? (
          <button type="button" onClick={stopSearch}>
            Stop
          </button>
        ) : (
          <button type="submit">Search</button>
        )}
      </div>
      <div class="line how">
        <span class="choices" role="group" aria-label="What it is">
          {kinds.map(([as, label, tells]) => (
            <button
              key={as}
              type="button"
              aria-pressed={how.as === as}
              title={tells}
              onClick={() => setHow({ ...how, as, utf16: as === "text" && how.utf16 })}
            >
              {label}
            </button>
          ))}
        </span>
        <label>
          <input
            type="checkbox"
            checked={how.ignoreCase}
            disabled={how.as === "hex"}
            onInput={(event) => setHow({ ...how, ignoreCase: event.currentTarget.checked })}
          />
          either case
        </label>
        <label>
          <input
            type="checkbox"
            checked={how.utf16}
            disabled={how.as !== "text"}
            onInput={(event) => setHow({ ...how, utf16: event.currentTarget.checked })}
          />
          UTF-16
        </label>
      </div>
    </form>
  );
}

function Verdict() {
  const now = progress.value;
  if (problem.value !== null) {
    const { message, hint } = problem.value;
    return (
      <p class="bad" role="alert">
        {message}
        {hint !== null && `. ${hint}`}
      </p>
    );
  }
  if (now === null) {
    return <p class="dim">{searching.value ? "searching" : "Pages of zeros are not searched."}</p>;
  }
  if (searching.value) {
    return (
      <p class="running">
        <progress value={now.searched} max={Math.max(1, now.total)} />
        {plural(hits.value.length, "hit")}, {size(now.searched)} of {size(now.total)}
      </p>
    );
  }
  const where = stopped.value ? `stopped after ${size(now.searched)} of ${size(now.total)}` : `in ${size(now.total)}`;
  return (
    <p role="status">
      {now.more ? (
        <>More than {count(mostHits)} hits: the first are listed. fixedram search finds them all.</>
      ) : hits.value.length === 0 ? (
        <>Nothing {where}.</>
      ) : (
        <>
          {plural(hits.value.length, "hit")} {where}, {duration(now.time)}.
        </>
      )}
    </p>
  );
}

function Hit({ hit, index }: { hit: ViewHit; index: number }) {
  const { label, offset, length, physical, bytes, before } = hit;
  const on = current.value === index;
  const row = useRef<HTMLLIElement>(null);
  useEffect(() => {
    if (on) row.current?.scrollIntoView({ block: "nearest" });
  }, [on]);
  const split = [before * 2, (before + length) * 2] as const;
  const show = wanted.value.as === "hex" ? spaced : asText;
  return (
    <li ref={row} aria-current={on ? "true" : undefined}>
      <button
        type="button"
        title="Shows it on the map; once more: its bytes"
        onClick={() => (on ? showPane("page") : goToHit(index))}
      >
        <span class="place">
          {label} {hex(offset)}
          {physical !== null && <span class="dim"> physical {hex(physical)}</span>}
        </span>
        <code>
          {show(bytes.slice(0, split[0]))}
          <mark>{show(bytes.slice(split[0], split[1]))}</mark>
          {show(bytes.slice(split[1]))}
        </code>
      </button>
    </li>
  );
}

/** Printable characters as they are, dots for all else. */
function asText(digits: string): string {
  let text = "";
  for (let i = 0; i < digits.length; i += 2) {
    const code = Number.parseInt(digits.slice(i, i + 2), 16);
    text += code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : "·";
  }
  return text;
}

function spaced(digits: string): string {
  return digits.replace(/../g, "$& ");
}
