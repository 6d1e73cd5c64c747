import type { English } from "../texts/english";
import type { Translate } from "../texts/translate";

/** Texts with a number of things. */
type Counted = English & `{count} ${string}`;

/** `1 h 02 min`, `4 min 05 s`, `12 s`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value: number): string => String(value).padStart(2, "0");
  if (whole >= 3600) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  if (whole >= 60) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${whole} s`;
}

/** `3 ms`, `1.25 s`. */
export function milliseconds(value: number): string {
  if (value >= 1_000) return `${(value / 1_000).toFixed(2)} s`;
  return value >= 10 ? `${Math.round(value)} ms` : `${Number(value.toFixed(1))} ms`;
}

/** `512 B`, `1.4 KB`, `12 MB`. */
export function bytes(value: number): string {
  if (value < 1_000) return `${value} B`;
  const units = ["KB", "MB", "GB"];
  let scaled = value / 1_000;
  let unit = 0;
  while (scaled >= 1_000 && unit < units.length - 1) {
    scaled /= 1_000;
    unit += 1;
  }
  return `${scaled >= 10 ? Math.round(scaled) : scaled.toFixed(1)} ${units[unit] ?? ""}`;
}

/** `1 line`, `2,000 lines`, in the words of the host; both texts have the place `{count}`. */
export function count(t: Translate, value: number, one: Counted, many: Counted): string {
  return t(value === 1 ? one : many, { count: value.toLocaleString("en") });
}

/** `just now`, `3 min ago`, `2 h ago`, then the date. */
export function ago(t: Translate, time: string, now = Date.now()): string {
  const minutes = Math.floor((now - Date.parse(time)) / 60_000);
  if (minutes < 1) return t("just now");
  if (minutes < 60) return t("{minutes} min ago", { minutes });
  if (minutes < 24 * 60) return t("{hours} h ago", { hours: Math.floor(minutes / 60) });
  return new Date(time).toLocaleDateString();
}

/** `14:03:07` in local time. */
export function clockOf(at: number): string {
  return new Date(at).toLocaleTimeString(undefined, { hour12: false });
}
