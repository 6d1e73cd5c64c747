import { useCallback, useState } from "react";

import type { FilePlace } from "../lib";
import { writeView } from "./address";

interface FilePlaces {
  place: FilePlace | null;
  /** Called with the file that the person has opened. */
  onPlace: (place: FilePlace | null) => void;
  /** Show a line of a file. */
  openFile: (path: string, line: number) => void;
}

/** The open file of a project, which the address has as `?show=files&file=app/main.py&at=12`; `line` is the log's. */
export function useFilePlace(id: string, query: URLSearchParams, show: () => void): FilePlaces {
  const [place, setPlace] = useState<FilePlace | null>(() => placeOf(query));
  const onPlace = useCallback(
    (next: FilePlace | null): void => {
      setPlace(next);
      writeView(id, { file: next?.path ?? null, at: next?.line ? String(next.line) : null });
    },
    [id],
  );
  const openFile = useCallback(
    (path: string, line: number): void => {
      onPlace({ path, line });
      show();
    },
    [onPlace, show],
  );
  return { place, onPlace, openFile };
}

function placeOf(query: URLSearchParams): FilePlace | null {
  const path = query.get("file");
  const line = Number(query.get("at"));
  return path ? { path, line: Number.isSafeInteger(line) && line > 0 ? line : null } : null;
}
