import { useCallback, useRef, useState } from "react";

import type { PreviewClient } from "../api/client";
import type { RecordedRequest } from "../api/records";
import { MOST_REPLAYED, type Replayed, type ReplayOn, replaySeveral, type Verdict } from "../api/replay";
import { useTranslate } from "../texts/translate";
import { count } from "../ui/format";
import { type Action, useAction } from "../ui/useAction";

export interface ReplaySelected {
  /** Numbers of selected records that are in the list, in the order in which they were sent. */
  chosen: readonly number[];
  has: (number: number) => boolean;
  /** Select one or take it back; with `isRange`, all from the last one that was selected. */
  toggle: (number: number, isRange: boolean) => void;
  /** Select the newest ones, as many as a replay takes; none if some are selected. */
  toggleAll: () => void;
  clear: () => void;
  on: ReplayOn;
  setOn: (on: ReplayOn) => void;
  replay: (on: ReplayOn) => void;
  action: Action;
  /** The answers of the last replay; null if there is none, or it was closed. */
  result: Replayed | null;
  close: () => void;
  /** How a record's last replay went. */
  verdictOf: (number: number) => Verdict | null;
}

interface State {
  key: string;
  selected: ReadonlySet<number>;
  result: Replayed | null;
  verdicts: ReadonlyMap<number, Verdict>;
}

/** Recorded requests that are selected, and their replay. `key` names the preview: another one begins again. */
export function useReplaySelected(
  client: PreviewClient,
  generationId: string,
  key: string,
  list: readonly RecordedRequest[] | null,
): ReplaySelected {
  const t = useTranslate();
  const action = useAction();
  const [kept, setState] = useState<State>(() => empty(key));
  const [on, setOn] = useState<ReplayOn>("auto");
  const anchor = useRef<number | null>(null);
  const state = kept.key === key ? kept : empty(key);
  const change = useCallback(
    (next: (before: State) => Partial<State>) =>
      setState((before) => {
        const mine = before.key === key ? before : empty(key);
        return { ...mine, ...next(mine) };
      }),
    [key],
  );
  const chosen = (list ?? []).flatMap((one) => (state.selected.has(one.number) ? [one.number] : [])).reverse();
  const toggle = (number: number, isRange: boolean): void => {
    const numbers = (list ?? []).map((one) => one.number);
    const from = isRange && anchor.current !== null ? numbers.indexOf(anchor.current) : -1;
    anchor.current = number;
    change(({ selected }) => ({ selected: toggled(selected, numbers, number, from) }));
  };
  const toggleAll = (): void =>
    change(() => ({
      selected: new Set(chosen.length > 0 ? [] : list?.slice(0, MOST_REPLAYED).map((one) => one.number)),
    }));
  const replay = (on: ReplayOn): void =>
    void action.run(
      t("Replaying {chosen}…", { chosen: count(t, chosen.length, "{count} request", "{count} requests") }),
      async () => {
        const result = await replaySeveral(client, generationId, chosen, on);
        change((before) => ({ result, verdicts: new Map([...before.verdicts, ...verdictsOf(result)]) }));
        return undefined;
      },
    );
  return {
    chosen,
    has: (number) => state.selected.has(number),
    toggle,
    toggleAll,
    clear: () => change(() => ({ selected: new Set() })),
    on,
    setOn,
    replay,
    action,
    result: state.result,
    close: () => change(() => ({ result: null })),
    verdictOf: (number) => state.verdicts.get(number) ?? null,
  };
}

function empty(key: string): State {
  return { key, selected: new Set(), result: null, verdicts: new Map() };
}

/** The selection after a click; `from` is the other end of a range, -1 if there is none. */
export function toggled(
  selected: ReadonlySet<number>,
  numbers: readonly number[],
  number: number,
  from: number,
): ReadonlySet<number> {
  const next = new Set(selected);
  const at = numbers.indexOf(number);
  if (from < 0 || at < 0) {
    if (!next.delete(number)) next.add(number);
    return next;
  }
  for (const one of numbers.slice(Math.min(from, at), Math.max(from, at) + 1)) next.add(one);
  return next;
}

function verdictsOf(result: Replayed): [number, Verdict][] {
  return result.items.flatMap((one) =>
    one.number !== null && one.verdict !== null ? [[one.number, one.verdict]] : [],
  );
}
