import { hexAddress, printable } from "../../bytes/text.ts";
import type { TranslateResult } from "../../operations/inside/translate.ts";
import type { Colors } from "./colors.ts";
import { aligned, size } from "./format.ts";
import { safe } from "./safe.ts";

const hex = (text: string): string => hexAddress(BigInt(text));

export function translateText(result: TranslateResult, colors: Colors): string {
  const { physical, place, rights, reason, steps } = result;
  const walk = steps.map(({ name, index, at, entry }): [string, string] => [
    `${name}[${index}]`,
    `${hex(entry)} ${colors.dim(`at ${hex(at)}`)}`,
  ]);
  const outcome: [string, string | null][] =
    physical === null
      ? [["not mapped", reason]]
      : [
          ["physical", colors.bold(hex(physical))],
          ["page", pageText(result)],
          ["rights", rights === null ? null : rightsText(rights)],
          [
            "in",
            place === null
              ? "no memory: a device, or nothing"
              : `${printable(place.block)} at ${hexAddress(place.offset)}`,
          ],
        ];
  const lines = aligned([...walk, ...outcome, ["map", safe(result.map.note)]]);
  return `${colors.bold(hex(result.virtual))}, CPU ${result.cpu}, paging: ${result.paging}\n${lines.join("\n")}\n`;
}

function pageText({ pageSize, marks }: TranslateResult): string {
  const what = pageSize === null || pageSize === 0 ? "none, the CPU does not page" : size(pageSize);
  return [what, ...marks].join(", ");
}

/** As page tables have them: what the lowest privilege may do. */
function rightsText({ write, user, execute }: NonNullable<TranslateResult["rights"]>): string {
  return [user ? "user" : "supervisor", "read", ...(write ? ["write"] : []), ...(execute ? ["execute"] : [])].join(" ");
}
