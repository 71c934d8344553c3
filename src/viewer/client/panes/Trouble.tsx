import type { ApiError } from "../api.ts";

export function Trouble({ error }: { error: ApiError }) {
  return (
    <div role="alert">
      <p class="bad">{error.message}</p>
      {error.hint !== null && <p>{error.hint}</p>}
      <p class="code dim">{error.code}</p>
    </div>
  );
}
