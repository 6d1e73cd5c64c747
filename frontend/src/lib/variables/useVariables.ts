import { useMemo } from "react";

import type { PreviewClient } from "../api/client";
import { asProblem } from "../api/problem";
import { deleteVariable, listVariables, putVariable, type Variable } from "../api/variables";
import { useLoad } from "../ui/useLoad";
import type { Known } from "./references";

/** The variables of a generation's requests. */
export interface Variables {
  /** Null until they are known. */
  list: readonly Variable[] | null;
  known: Known;
  /** Whether the service keeps them; it alone keeps secrets. */
  isShared: boolean;
  problem: string | null;
  set: (name: string, value: string, isSecret: boolean) => Promise<void>;
  remove: (name: string) => Promise<void>;
}

const PREFIX = "preview:variables:";
const MOST_IN_BROWSER = 100;

/** The variables of a generation; of none while `generationId` is null. */
export function useVariables(client: PreviewClient, generationId: string | null): Variables {
  const id = generationId ?? "";
  const found = useLoad(generationId, async (signal) => {
    try {
      return { isShared: true, list: await listVariables(client, id, signal) };
    } catch (error) {
      const { code, status } = asProblem(error);
      // The generation belongs to another application, or the service is older than this page.
      if (code !== "generation_read_only" && status !== 404 && status !== 405) throw error;
      return { isShared: false, list: inBrowser(id) };
    }
  });
  const list = found.value?.list ?? null;
  const known = useMemo(
    () => ({
      values: new Map((list ?? []).flatMap((one) => (one.value === null ? [] : [[one.name, one.value] as const]))),
      secrets: new Set((list ?? []).filter((one) => one.secret).map((one) => one.name)),
    }),
    [list],
  );
  const isShared = found.value?.isShared ?? true;
  return {
    list,
    known,
    isShared,
    problem: found.problem?.message ?? null,
    set: async (name, value, secret) => {
      if (isShared) await putVariable(client, id, name, value, secret);
      else store(id, [...inBrowser(id).filter((one) => one.name !== name), { name, value, secret: false }]);
      const next: Variable = { name, value: secret ? null : value, secret };
      found.put((before) => ({ ...before, list: sorted([...before.list.filter((one) => one.name !== name), next]) }));
    },
    remove: async (name) => {
      if (isShared) await deleteVariable(client, id, name);
      else
        store(
          id,
          inBrowser(id).filter((one) => one.name !== name),
        );
      found.put((before) => ({ ...before, list: before.list.filter((one) => one.name !== name) }));
    },
  };
}

function sorted(list: Variable[]): Variable[] {
  return list.sort((a, b) => a.name.localeCompare(b.name));
}

function inBrowser(generationId: string): Variable[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(PREFIX + generationId) ?? "{}");
    if (typeof kept !== "object" || kept === null) return [];
    return Object.entries(kept).flatMap(([name, value]) =>
      typeof value === "string" ? [{ name, value, secret: false }] : [],
    );
  } catch {
    return [];
  }
}

function store(generationId: string, list: readonly Variable[]): void {
  if (list.length > MOST_IN_BROWSER)
    throw new Error(`At most ${MOST_IN_BROWSER} variables can be kept: delete one of them.`);
  const kept = Object.fromEntries(list.map((one) => [one.name, one.value]));
  try {
    localStorage.setItem(PREFIX + generationId, JSON.stringify(kept));
  } catch {
    throw new Error("This browser’s storage is full: delete a variable or a saved request.");
  }
}
