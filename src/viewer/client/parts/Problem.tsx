import type { ApiError } from "../api.ts";

export function Problem({ error }: { error: ApiError }) {
  return (
    <div class="problem" role="alert">
      <h1>{error.message}</h1>
      {error.hint !== null && <p>{error.hint}</p>}
      <p class="code">{error.code}</p>
      <button type="button" onClick={() => location.reload()}>
        Try again
      </button>
    </div>
  );
}
