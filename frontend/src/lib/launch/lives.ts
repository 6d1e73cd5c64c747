import { duration } from "../ui/format";

const LIVES: readonly (readonly [string, number])[] = [
  ["in 10 minutes", 600],
  ["in 1 hour", 3_600],
  ["in 1 day", 24 * 3_600],
];
/** The least that the service takes. */
const LEAST_S = 60;

/** The lifetimes that a share link may have, in seconds; the last is that of the preview, which no link outlives. */
export function livesUntil(end: number, now: number): (readonly [string, number])[] {
  const left = Math.max(LEAST_S, Math.floor((end - now) / 1_000));
  const whole = duration(left - (left % 60)).replace(/ 00 (min|s)$/, "");
  return [...LIVES.filter(([, seconds]) => seconds < left), [`with the preview (in ${whole})`, left]];
}
