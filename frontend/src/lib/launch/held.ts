import type { PreviewStatus } from "../api/types";

const NETWORKS = { none: "no network", "loopback-only": "own ports only", host: "network" };
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
export function heldIn({ isolation, limits, reached = [] }: PreviewStatus): Held | null {
  if (!isolation || !limits) return null;
  const { runtime, network } = isolation;
  const short = [runtime === "plain" ? "not sandboxed" : runtime, NETWORKS[network], `${limits.memory_mb} MB`];
  if (limits.cpu_cores !== null) short.push(cores(limits.cpu_cores));
  if (reached.length > 0) short.push("limit reached");
  const details = [
    ...reached.map((one) => capital(one.message)),
    `Memory: ${limits.memory_mb} MB`,
    `Processor: ${limits.cpu_cores === null ? "not limited" : cores(limits.cpu_cores)}`,
    `Processes: ${limits.processes ?? "not limited"}`,
    `Disk: ${limits.disk_mb} MB`,
    `Open files per process: ${limits.open_files}`,
    `Output: ${Math.round((limits.output_bytes_per_s / MIB) * 10) / 10} MB/s`,
    ...isolation.holds.filter((one) => !one.startsWith("limits")).map(capital),
  ];
  return { short: short.join(" · "), details: details.join("\n"), isReached: reached.length > 0 };
}

function cores(count: number): string {
  return `${count} ${count === 1 ? "core" : "cores"}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
