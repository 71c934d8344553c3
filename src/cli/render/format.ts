import prettyBytes from "pretty-bytes";

/** Binary units, three digits: `1.02 GiB`. */
export function size(bytes: number): string {
  return prettyBytes(bytes, { binary: true });
}

/** With separators: `12,345`. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** `1 page`, `2 pages`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A share of a whole; only nothing is 0 % and only all of it is 100 %. */
export function percent(part: number, whole: number): string {
  if (whole === 0 || part === 0) return "0 %";
  if (part === whole) return "100 %";
  const value = (part / whole) * 100;
  if (value < 0.1) return "<0.1 %";
  if (value > 99.9) return ">99.9 %";
  return `${value.toFixed(1)} %`;
}

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

/** Milliseconds as people say it: `312 ms`, `1.9 s`, `2 min 5 s`, `3 h 20 min`, `4 days 2 h`. */
export function duration(milliseconds: number): string {
  if (milliseconds < second) return `${Math.round(milliseconds)} ms`;
  // 59.96 s would round to "60.0 s".
  if (milliseconds < minute - 50) return `${(milliseconds / second).toFixed(1)} s`;
  const whole = Math.round(milliseconds / second) * second;
  if (whole < hour) return pair(whole, minute, "min", second, "s");
  if (whole < day) return pair(whole, hour, "h", minute, "min");
  const days = Math.floor(whole / day);
  const hours = Math.floor((whole % day) / hour);
  return hours === 0 ? plural(days, "day") : `${plural(days, "day")} ${hours} h`;
}

function pair(value: number, large: number, largeName: string, small: number, smallName: string): string {
  const rest = Math.floor((value % large) / small);
  const first = `${Math.floor(value / large)} ${largeName}`;
  return rest === 0 ? first : `${first} ${rest} ${smallName}`;
}

/** Bytes moved in milliseconds: `131 MiB/s`; empty when there is nothing to divide. */
export function rate(bytes: number, milliseconds: number): string {
  return bytes > 0 && milliseconds > 0 ? `${size(Math.round((bytes / milliseconds) * second))}/s` : "";
}

/** Lines of `label  value`, the values in one column, indented by two; pairs without a value are left out. */
export function aligned(rows: readonly (readonly [label: string, value: string | null])[]): string[] {
  const shown = rows.filter((row): row is readonly [string, string] => row[1] !== null && row[1] !== "");
  const width = Math.max(0, ...shown.map(([label]) => label.length));
  return shown.map(([label, value]) => `  ${label.padEnd(width)}  ${value}`);
}

/** Breaks text at spaces so that lines fit; a word longer than a line stands alone. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
