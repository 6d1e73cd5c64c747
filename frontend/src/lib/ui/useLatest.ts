import { useCallback, useEffect, useRef } from "react";

/** A function that returns the value as of the last rendering, for what happens later. */
export function useLatest<T>(value: T): () => T {
  const latest = useRef(value);
  useEffect(() => {
    latest.current = value;
  }, [value]);
  return useCallback(() => latest.current, []);
}
