import type { PreviewStatus } from "../api/types";
import { type Translate, english } from "../texts/translate";
import { count } from "../ui/format";

const NETWORKS = { none: english("no network"), "loopback-only": english("own ports only"), host: english("network") };
const MIB = 1024 * 1024;

export interface Held {
  /** For the panel: "sandbox · no network · 512 MB · 1 core". */
  short: string;
  /** More about it, one fact per line. */
  details: string;
  /** Whether it was held to any limit so far. */
  isReached: boolean;
}

/** What holds a preview in and to, in a few words; null where the service does not say. */
export function heldIn(t: Translate, { isolation, limits, reached = [] }: PreviewStatus): Held | null {
  if (!isolation || !limits) return null;
  const { runtime, network } = isolation;
  const short = [
    runtime === "plain" ? t("not sandboxed") : runtime === "sandbox" ? t("sandbox") : runtime,
    t(NETWORKS[network]),
    t("{memory_mb} MB", { memory_mb: limits.memory_mb }),
  ];
  if (limits.cpu_cores !== null) short.push(cores(t, limits.cpu_cores));
  if (reached.length > 0) short.push(t("limit reached"));
  const details = [
    ...reached.map((one) => capital(one.message)),
    t("Memory: {memory_mb} MB", { memory_mb: limits.memory_mb }),
    t("Processor: {more}", { more: limits.cpu_cores === null ? t("not limited") : cores(t, limits.cpu_cores) }),
    t("Processes: {processes}", { processes: limits.processes ?? t("not limited") }),
    t("Disk: {disk_mb} MB", { disk_mb: limits.disk_mb }),
    t("Open files per process: {open_files}", { open_files: limits.open_files }),
    t("Output: {round} MB/s", { round: Math.round((limits.output_bytes_per_s / MIB) * 10) / 10 }),
    ...isolation.holds.filter((one) => !one.startsWith("limits")).map(capital),
  ];
  return { short: short.join(" · "), details: details.join("\n"), isReached: reached.length > 0 };
}

function cores(t: Translate, number: number): string {
  return count(t, number, "{count} core", "{count} cores");
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
