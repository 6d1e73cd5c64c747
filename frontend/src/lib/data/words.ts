import type { Snapshot, SnapshotKind } from "../api/data";
import { bytes, count } from "../ui/format";
import { visible } from "../ui/visible";

const MANUAL = "Snapshot";
const KINDS: Partial<Record<SnapshotKind, string>> = {
  before_restore: "Before a restore",
  before_reset: "Before a reset",
  fork: "From a fork",
};

/** Why the service took it; null for one that was asked for. */
export function reasonOf({ kind }: Snapshot): string | null {
  return KINDS[kind] ?? null;
}

/** Its name, else the reason and the time. */
export function titleOf(snapshot: Snapshot): string {
  if (snapshot.name) return visible(snapshot.name);
  return `${KINDS[snapshot.kind] ?? MANUAL}, ${timeOf(snapshot)}`;
}

export function timeOf({ created_at }: Snapshot): string {
  return new Date(created_at).toLocaleString("en", {
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hour12: false,
  });
}

/** `34 files, PostgreSQL 1.2 MB`. */
export function partsOf({ parts }: Snapshot): string {
  return parts
    .map((one) => (one.files === null ? `${one.kind} ${bytes(one.size_bytes)}` : count(one.files, "file")))
    .join(", ");
}
