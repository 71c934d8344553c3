import { FixedramError } from "../../errors.ts";
import { orders } from "../shared/grid.ts";
import { layers, mostPages, type TileQuery } from "../shared/protocol.ts";

/** @throws `usage.bad-number` */
export function integer(query: URLSearchParams, name: string, least: number, most: number): number {
  const text = query.get(name) ?? "";
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  throw new FixedramError("usage.bad-number", `${name} is not a number that is allowed here`, {
    found: text,
    expected: `${least} to ${most}`,
  });
}

/** @throws `usage.bad-number`, `usage.bad-choice` */
export function tileQuery(query: URLSearchParams): TileQuery {
  const order = orders.find((each) => each === query.get("order"));
  const names = (query.get("layers") ?? "").split(",");
  const chosen = layers.filter((layer) => names.includes(layer));
  if (order === undefined || chosen.length === 0 || chosen.length !== names.length) {
    throw new FixedramError("usage.bad-choice", "the tile's order or layers are not known", {
      expected: `order: ${orders.join(", ")}; layers, in this order: ${layers.join(", ")}`,
    });
  }
  return {
    block: integer(query, "block", 0, 2 ** 32),
    order,
    level: integer(query, "level", 0, 32),
    x: integer(query, "x", 0, 2 ** 24),
    y: integer(query, "y", 0, 2 ** 24),
    layers: chosen,
  };
}

export interface PagesQuery {
  readonly block: number;
  readonly first: number;
  readonly count: number;
}

/** @throws `usage.bad-number` */
export function pagesQuery(query: URLSearchParams): PagesQuery {
  return {
    block: integer(query, "block", 0, 2 ** 32),
    first: integer(query, "first", 0, Number.MAX_SAFE_INTEGER),
    count: integer(query, "count", 1, mostPages),
  };
}
