import type { Launch, Version } from "../api/history";
import { type Translate, english } from "../texts/translate";

/** Result of a launch in words: `Failed with exit code 1`, `Stopped when idle`. */
export function resultOf(t: Translate, one: Launch): string {
  if (one.status === "failed")
    return one.exit_code === null ? t("Failed") : t("Failed with exit code {exit_code}", { exit_code: one.exit_code });
  if (one.status !== "stopped") return one.status === "running" ? t("Running") : t("Starting or stopping");
  return (
    { expired: t("Expired"), inactive: t("Stopped when idle"), shutdown: t("Ended with the service") }[
      one.cause ?? ""
    ] ?? t("Stopped")
  );
}

export function toneOf(one: Launch): "good" | "busy" | "bad" | "idle" {
  if (one.status === "failed") return "bad";
  if (one.status === "running") return "good";
  return one.status === "stopped" ? "idle" : "busy";
}

/** `today 14:03:07`, `yesterday 22:41:12`, then the date with the time. In local time. */
export function dayAndTime(t: Translate, time: string, now = Date.now()): string {
  const at = new Date(time);
  const clock = at.toLocaleTimeString(undefined, {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
  });
  const day = new Date(now);
  if (at.toDateString() === day.toDateString()) return t("today {clock}", { clock });
  day.setDate(day.getDate() - 1);
  if (at.toDateString() === day.toDateString()) return t("yesterday {clock}", { clock });
  return `${at.toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" })} ${clock}`;
}

/** The files of a version against the one before it: `2 added, 1 changed`. */
export function countsOf(
  t: Translate,
  { added, changed, removed }: Pick<Version, "added" | "changed" | "removed">,
): string {
  const parts = [
    [added, english("{count} added")],
    [changed, english("{count} changed")],
    [removed, english("{count} removed")],
  ] as const;
  const said = parts
    .filter(([count]) => count > 0)
    .map(([number, words]) => t(words, { count: number.toLocaleString("en") }));
  return said.join(", ") || t("no file changed");
}
