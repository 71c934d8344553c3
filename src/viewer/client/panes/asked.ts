import { useEffect, useState } from "preact/hooks";
import { ApiError, getJson } from "../api.ts";
import { snapshot } from "../state.ts";

export type Asked<T> = { readonly value: T } | { readonly problem: ApiError } | null;

/** What the server answers; null while it is asked. */
export function useAnswer<T>(path: string): Asked<T> {
  const [answer, setAnswer] = useState<{ path: string; got: Asked<T> }>({ path, got: null });
  // A file that was being saved may be there now.
  const known = snapshot.value;
  useEffect(() => {
    void known;
    const stopped = new AbortController();
    getJson<T>(path, stopped.signal)
      .then((value) => setAnswer({ path, got: { value } }))
      .catch((error: unknown) => {
        if (stopped.signal.aborted) return;
        const message = error instanceof Error ? error.message : String(error);
        const problem =
          error instanceof ApiError ? error : new ApiError({ code: "viewer.failed", message, hint: null });
        setAnswer({ path, got: { problem } });
      });
    return () => stopped.abort();
  }, [path, known]);
  return answer.path === path ? answer.got : null;
}
