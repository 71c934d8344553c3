import { ExitCode } from "../../errors.ts";
import type { SearchHit, SearchOptions, SearchResult } from "../../operations/inside/search.ts";
import type { Invocation } from "../command.ts";
import { blockBytes } from "../inside.ts";
import { colorsFor } from "../render/colors.ts";
import { hitText } from "../render/search.ts";
import { signalExitCode } from "../terminal.ts";
import { lookOptions } from "./info.ts";
import { together } from "./read.ts";

/** Hits in a JSON object, unless --limit says otherwise. */
const mostInJson = 10_000;

export async function run(invocation: Invocation): Promise<number> {
  const { around } = invocation;
  const forms = ["as-hex", "regex", "utf16"].filter((form) => invocation.flag(form));
  if (forms.length > 1) throw together(forms);
  const [form] = forms;
  const colors = colorsFor(around.stdout, around.env);
  return await finding(
    invocation,
    (hit) => hitText(hit, colors),
    async (shared) =>
      around.operations.search({
        ...shared,
        pattern: invocation.word(1),
        as: form === "as-hex" ? "hex" : form === "regex" ? "regex" : "text",
        utf16: form === "utf16",
        ignoreCase: invocation.flag("ignore-case"),
      }),
  );
}

/** Lines on their way out: soon, but not one by one, which takes longer than to find them. */
class Lines {
  readonly #write: (text: string) => void;
  #text = "";
  #timer: NodeJS.Timeout | null = null;

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  add(line: string): void {
    this.#text += line;
    if (this.#text.length > 32_768) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), 20);
  }

  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const text = this.#text;
    this.#text = "";
    if (text !== "") this.#write(text);
  }
}

type Shared = Pick<SearchOptions, "file" | "block" | "limit" | "map" | "onHit" | "signal" | "onProgress" | "onNotice">;

/** What search and strings do alike: hits on the way, or all in one JSON object; the exit code. */
export async function finding(
  invocation: Invocation,
  text: (hit: SearchHit) => string,
  work: (shared: Shared) => Promise<SearchResult>,
): Promise<number> {
  const { around, json, quiet } = invocation;
  const { stdout, signals } = around;
  const block = invocation.text("block");
  const map = invocation.text("map");
  const limit = invocation.count("limit") ?? (json ? mostInJson : undefined);
  const kept: object[] = [];
  const lines = new Lines((text) => {
    invocation.settle();
    stdout.write(text);
  });
  const context = await invocation.context();
  const result = await work({
    file: invocation.word(0),
    ...(block === undefined ? {} : { block: blockBytes(block) }),
    ...(map === undefined ? {} : { map }),
    ...(limit === undefined ? {} : { limit }),
    ...lookOptions(invocation),
    ...context,
    onHit: (hit) => {
      if (json) kept.push({ ...hit, context: Buffer.from(hit.context).toString("hex") });
      else if (!quiet) lines.add(text(hit));
    },
  }).finally(() => lines.flush());
  const { hits, stopped } = result;
  if (stopped === "limit") {
    invocation.notice({
      level: "note",
      code: "limit",
      message: `there are more hits than ${hits}; --limit N shows N`,
    });
  }
  if (stopped === "signal" && !json) {
    invocation.notice({ level: "note", code: "ended", message: "the search was ended; there may be more" });
  }
  invocation.answer({ ...result, hits: kept, count: hits }, () => "");
  if (stopped === "signal") return signalExitCode(signals.received() ?? "SIGINT");
  return hits > 0 ? ExitCode.ok : ExitCode.differs;
}
