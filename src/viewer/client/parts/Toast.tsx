import { useEffect } from "preact/hooks";
import { notice } from "../state.ts";

/** A word on something that happened. It goes by itself. */
export function Toast() {
  const text = notice.value;
  useEffect(() => {
    if (text === null) return;
    const timer = setTimeout(() => {
      notice.value = null;
    }, 5000);
    return () => clearTimeout(timer);
  }, [text]);
  if (text === null) return null;
  return (
    <div class="toast" role="status">
      {text}
    </div>
  );
}
