import { timingSafeEqual } from "node:crypto";

/** What of a request decides whether it is answered at all. */
export interface Asked {
  readonly method: string;
  /** As in the request line. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

export interface Refused {
  readonly status: 400 | 403 | 404 | 405;
  readonly reason: string;
}

export interface Granted {
  /** The path behind the token, and the query. */
  readonly path: string;
  readonly query: URLSearchParams;
}

/**
 * Lets in only who knows the token, asks for this very host and comes from this very page. The host: a name that an attacker's
 * DNS points to 127.0.0.1 must not do. The origin: no other page may ask, even one on this machine.
 *
 * @param port where the server listens
 */
export function admit(asked: Asked, token: string, port: number): Granted | Refused {
  if (asked.method !== "GET" && asked.method !== "HEAD")
    return { status: 405, reason: "only GET and HEAD: nothing can be changed here" };
  const host = ownHost(asked, port);
  if (host === null) return { status: 403, reason: "this host is not served here" };
  const origin = header(asked, "origin");
  if (origin !== undefined && origin !== `http://${host}`) return { status: 403, reason: "another page may not ask" };
  const site = header(asked, "sec-fetch-site");
  const [, first = "", rest = ""] = /^\/([^/?#]*)(.*)$/s.exec(asked.url) ?? [];
  if (!sameText(first, token)) return { status: 403, reason: "wrong or no token: open the address that was printed" };
  const url = parse(rest);
  if (url === null) return { status: 400, reason: "that is no address" };
  // A link from elsewhere may open the page, as typing its address may; what the page itself asks for it asks from here.
  const page = url.pathname === "/";
  if (site !== undefined && site !== "same-origin" && site !== "none" && !page)
    return { status: 403, reason: "another page may not ask" };
  return { path: url.pathname, query: url.searchParams };
}

/** The host that was asked for, when it is this machine; else null. */
export function ownHost(asked: Pick<Asked, "headers">, port: number): string | null {
  const host = header(asked, "host");
  return host !== undefined && [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`].includes(host) ? host : null;
}

function parse(rest: string): URL | null {
  try {
    return new URL(rest.startsWith("/") ? rest : `/${rest}`, "http://host");
  } catch {
    return null;
  }
}

function header(asked: Pick<Asked, "headers">, name: string): string | undefined {
  const value = asked.headers[name];
  return typeof value === "string" ? value : value?.[0];
}

function sameText(found: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(found), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Everything from here, nothing from elsewhere, no script in the page itself. */
const policy = [
  ...["default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'"],
  ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"],
].join("; ");

/** Headers of every answer. */
export const guardHeaders: Readonly<Record<string, string>> = {
  "content-security-policy": policy,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "cache-control": "no-store",
};
