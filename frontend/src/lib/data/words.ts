import type { Snapshot } from "../api/data";
import type { Translate } from "../texts/translate";
import { bytes, count } from "../ui/format";
import { visible } from "../ui/visible";

/** Its name, else the time. */
export function titleOf(t: Translate, snapshot: Snapshot): string {
  return snapshot.name ? visible(snapshot.name) : t("Snapshot of {snapshot}", { snapshot: timeOf(snapshot) });
}

/** The origin of one that nobody asked for; null for the others. */
export function originOf(t: Translate, { kind }: Snapshot): string | null {
  if (kind === "manual") return null;
  return kind === "fork" ? t("initial data") : "automatic";
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
export function partsOf(t: Translate, { parts }: Snapshot): string {
  return parts
    .map((one) =>
      one.files === null
        ? `${one.kind} ${bytes(one.size_bytes)}`
        : count(t, one.files, "{count} file", "{count} files"),
    )
    .join(", ");
}
