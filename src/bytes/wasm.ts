/** What is used of WebAssembly, which TypeScript knows only together with the whole of a browser. */
interface WebAssemblyApi {
  readonly Memory: new (limits: {
    initial: number;
    maximum: number;
    shared: boolean;
  }) => { readonly buffer: ArrayBufferLike };
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
}

const wasmPage = 65536;
const compiled = new Map<string, object>();

/**
 * An instance of a module of ours, with a memory of its own that is never grown, so that views of it stay valid.
 *
 * @param code base64, compiled once a thread
 * @param bytes of memory at least
 * @param shared other threads may have the memory too, a SharedArrayBuffer then; `code` must be made for that
 */
export function instantiate(
  code: string,
  bytes: number,
  shared = false,
): { readonly memory: ArrayBufferLike; readonly exports: unknown } {
  const api = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;
  const pages = Math.ceil(bytes / wasmPage);
  const memory = new api.Memory({ initial: pages, maximum: pages, shared });
  let module = compiled.get(code);
  if (module === undefined) {
    module = new api.Module(Uint8Array.from(atob(code), (letter) => letter.charCodeAt(0)));
    compiled.set(code, module);
  }
  return { memory: memory.buffer, exports: new api.Instance(module, { env: { memory } }).exports };
}
