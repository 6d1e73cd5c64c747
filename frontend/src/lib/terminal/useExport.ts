import { useCallback, useEffect, useRef, useState } from "react";

import type { PreviewClient } from "../api/client";
import { asProblem } from "../api/problem";
import type { ExportFormat } from "../api/types";
import { usePreviewClient } from "../context";
import { FILES, queryOf } from "../logs/exportQuery";
import type { LogSession } from "../logs/session";
import type { LogFilter } from "../logs/view";
import { saveFile } from "../ui/controls";

export interface Export {
  isOn: boolean;
  /** Why there is no file, as a sentence. */
  error: string | null;
  /** `terms` are in the filter language; empty for none. */
  start: (format: ExportFormat, filter: LogFilter, terms?: string) => void;
  /** Give up, or take note of the error. */
  dismiss: () => void;
}

/** Fetches the log as a file and saves it; a second one takes the first one's place. */
export function useExport(session: LogSession, given?: PreviewClient): Export {
  const client = usePreviewClient(given);
  const [state, setState] = useState<{ isOn: boolean; error: string | null }>({ isOn: false, error: null });
  const running = useRef<AbortController>(undefined);
  const dismiss = useCallback(() => {
    running.current?.abort();
    setState({ isOn: false, error: null });
  }, []);
  useEffect(() => dismiss, [dismiss, session]);
  const start = useCallback(
    (format: ExportFormat, filter: LogFilter, terms = "") => {
      running.current?.abort();
      const mine = (running.current = new AbortController());
      setState({ isOn: true, error: null });
      const { generationId, snapshot } = session;
      const save = async (): Promise<void> => {
        const response = await client.exportLog(
          generationId,
          { ...queryOf(filter, terms), format, previewId: snapshot.previewId },
          mine.signal,
        );
        // The browser gathers it, on disk where it is long; the page does not read it.
        const file = await response.blob();
        if (mine.signal.aborted) return;
        const { suffix, type } = FILES[format];
        saveFile(`${generationId}-${snapshot.previewId ?? "log"}.${suffix}`, [file], type);
        setState({ isOn: false, error: null });
      };
      save().catch((error: unknown) => {
        if (!mine.signal.aborted) setState({ isOn: false, error: asProblem(error).message });
      });
    },
    [client, session],
  );
  return { ...state, start, dismiss };
}
