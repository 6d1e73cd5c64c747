/** The longest wait between two attempts. */
export const LONGEST_WAIT_MS = 30_000;

/**
 * How long to wait before attempt number `attempt` (from 1): exponential from the server's `retry:`, with full jitter
 * on the upper half, so that many clients of a restarted service do not come back in one wave.
 */
export function backoffMs(attempt: number, retryMs: number, random: () => number = Math.random): number {
  const ceiling = Math.min(LONGEST_WAIT_MS, retryMs * 2 ** Math.min(attempt - 1, 10));
  return Math.round(ceiling / 2 + (random() * ceiling) / 2);
}
