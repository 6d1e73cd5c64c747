import { useLayoutEffect } from "react";

import { usePreviewClient } from "../lib";
import { deskOf, type DeskView } from "../lib/request/desk";
import { writeView } from "./address";

const VIEWS: readonly DeskView[] = ["endpoints", "request", "records", "compare", "socket"];

/** The open part of the requests, which the address has as `?tab=records&request=31`. */
export function useRequestPlace(id: string, query: URLSearchParams): void {
  const desk = deskOf(usePreviewClient(), id);
  useLayoutEffect(() => {
    const view = VIEWS.find((one) => one === query.get("tab"));
    const record = Number(query.get("request"));
    if (view === "records" && Number.isSafeInteger(record) && record > 0) desk.showRecord(record);
    else if (view) desk.look(view);
    // From now on the desk leads, and the address follows.
    const write = (): void => {
      const { view: shown, record: open } = desk.snapshot;
      writeView(id, {
        tab: shown === "endpoints" ? null : shown,
        request: shown === "records" && open !== null ? String(open) : null,
      });
    };
    write();
    return desk.subscribe(write);
  }, [desk, id, query]);
}
