/** A QEMU command line as it may be written down: secrets taken out, inherited descriptors pointed out. */

export interface RedactedArgv {
  readonly argv: readonly string[];
  /** Indices of arguments from which something was taken out: run again, they need it back. */
  readonly redacted: readonly number[];
  /** Indices of arguments that name descriptors the process inherited: run again, they mean nothing. */
  readonly descriptors: readonly number[];
}

const gone = "<redacted>";

/** Keys whose value is a secret, as the last part of a dotted key. Names of secrets (`password-secret`) are not. */
const secretKey = /^(?:pass(?:word|wd|phrase)?|secret|token|cookie|api[-_]?key|psk)$/i;
/** `-vnc password` and its like are switches. */
const switchValue = /^(?:on|off|yes|no|true|false)$/i;
const descriptorKey = /^(?:fd|fds|vhostfd|vhostfds|sockfd|evtfd|dmabuf-fd)$/;

/**
 * Takes secrets out of a command line: `password=` and its like, the data of `-object secret`, user and password in URLs, ceph
 * keys, systemd credentials in SMBIOS strings. What it does not know as a secret stays: a file name, a kernel command line.
 */
export function redactArgv(argv: readonly string[]): RedactedArgv {
  const redacted: number[] = [];
  const descriptors: number[] = [];
  const clean = argv.map((argument, index) => {
    const option = (argv[index - 1] ?? "").replace(/^--?/, "");
    if (namesDescriptor(argument, option)) descriptors.push(index);
    const cleaned = redactArgument(argument, option);
    if (cleaned !== argument) redacted.push(index);
    return cleaned;
  });
  return { argv: clean, redacted, descriptors };
}

function redactArgument(argument: string, option: string): string {
  if (/^\s*\{/.test(argument)) {
    const json = redactJson(argument);
    if (json !== null) return json;
  }
  if (option === "append") return redactWords(argument);
  const parts = splitOption(argument);
  const isSecret = option === "object" && /^(?:qom-type=)?secret(?:_keyring)?$/.test(parts[0] ?? "");
  const cleaned = parts.map((part) => redactPart(part, isSecret));
  return cleaned.join(",");
}

/** Cuts at commas; a doubled comma is one in a value, and is kept doubled. */
export function splitOption(text: string): string[] {
  const parts: string[] = [];
  let part = "";
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== ",") part += text[i];
    else if (text[i + 1] === ",") {
      part += ",,";
      i++;
    } else {
      parts.push(part);
      part = "";
    }
  }
  return [...parts, part];
}

function redactPart(part: string, isSecret: boolean): string {
  const equals = part.indexOf("=");
  if (equals < 0) return redactUrl(part);
  const key = part.slice(0, equals);
  const value = part.slice(equals + 1);
  if (isSecretPair(key, value, isSecret)) return `${key}=${gone}`;
  const credential = /^(io\.systemd\.credential[^:]*:[^=]*=)/.exec(value)?.[1];
  if (credential !== undefined) return `${key}=${credential}${gone}`;
  return `${key}=${redactUrl(value)}`;
}

function isSecretPair(key: string, value: string, isSecret: boolean): boolean {
  const last = key.slice(key.lastIndexOf(".") + 1).trim();
  if (isSecret && last === "data") return true;
  return secretKey.test(last) && !switchValue.test(value) && value !== "";
}

/** User and password of a URL, the query's and the path's secrets; ceph's `:key=`. */
function redactUrl(text: string): string {
  const withoutUser = text.replace(/([a-z][a-z0-9+.-]*:\/\/)[^/@\s]*[:%][^/\s]*@/gi, `$1${gone}@`);
  const withoutKey = /(?:^|:)rbd:/.test(withoutUser)
    ? withoutUser.replace(/(:key=)(?:\\.|[^:\\])*/g, `$1${gone}`)
    : withoutUser;
  return withoutKey.replace(/([?&](?:password|passwd|token|sig|signature|secret|key)=)[^&\s]*/gi, `$1${gone}`);
}

function redactWords(text: string): string {
  return redactUrl(text).replace(
    /(^|[\s.,])((?:[\w.-]*[._-])?(?:pass(?:word|wd|phrase)?|secret|token)=)("[^"]*"|\S+)/gi,
    `$1$2${gone}`,
  );
}

/** Null when it is not JSON. Unchanged text when it holds no secret. */
function redactJson(text: string): string | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  let changed = false;
  const clean = JSON.stringify(value, function (this: Record<string, unknown>, key, item: unknown) {
    if (typeof item !== "string" || Array.isArray(this)) return item;
    const kind = this["qom-type"];
    const cleaned = isSecretPair(key, item, typeof kind === "string" && kind.startsWith("secret"))
      ? gone
      : redactUrl(item);
    if (cleaned !== item) changed = true;
    return cleaned;
  });
  return changed ? clean : text;
}

function namesDescriptor(argument: string, option: string): boolean {
  if (option === "add-fd") return true;
  if (/(?:^|[=":])(?:\/dev\/fdset\/|\/dev\/fd\/|\/proc\/self\/fd\/)[0-9]/.test(argument)) return true;
  if (option === "incoming" && argument.startsWith("fd:")) return true;
  if (/^\s*\{/.test(argument))
    return /"(?:fd|fds|vhostfd|vhostfds)"\s*:/.test(argument) || /"type"\s*:\s*"fd"/.test(argument);
  return splitOption(argument).some((part) => {
    const [key = "", value] = part.split("=", 2);
    return value !== undefined && descriptorKey.test(key.slice(key.lastIndexOf(".") + 1));
  });
}
