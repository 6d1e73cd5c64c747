import { type DragEvent, useRef, useState } from "react";

import { asProblem } from "../lib/api/problem";
import type { FilesChanged } from "../lib/api/types";
import { PickError, pickDropped, type Picked } from "./folder";
import { isOn, type Project, type Projects } from "./useProjects";

export interface Upload {
  /** Whether something that could be dropped is over the page. */
  isOver: boolean;
  isUploading: boolean;
  problem: string | null;
  /** Upload it as a new project. */
  take: (picked: Promise<Picked>) => void;
  /** Make the shown project's files these. */
  replace: (picked: Promise<Picked>) => void;
  dismiss: () => void;
  handlers: Record<"onDragEnter" | "onDragOver" | "onDragLeave" | "onDrop", (event: DragEvent) => void>;
}

/** Uploads by drop or by picking, one at a time: a new project, or new files of the one that runs. */
export function useUpload(projects: Projects, shown: Project | null, onDone: (id: string) => void): Upload {
  const [isOver, setOver] = useState(false);
  const [isUploading, setUploading] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const depth = useRef(0);
  const { takesUploads } = projects;
  const send = (sending: Promise<string | null>): void => {
    setUploading(true);
    setProblem(null);
    sending
      .then(setProblem)
      .catch((error: unknown) => setProblem(error instanceof PickError ? error.message : asProblem(error).message))
      .finally(() => setUploading(false));
  };
  const take = (picked: Promise<Picked>): void =>
    send(
      picked.then(projects.upload).then((id) => {
        onDone(id);
        return null;
      }),
    );
  const replace = (picked: Promise<Picked>): void => {
    if (shown) send(picked.then((one) => projects.replace(shown.id, one)).then(failureOf));
  };
  const moved = (event: DragEvent, step: number): void => {
    if (!takesUploads || !event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    depth.current = Math.max(0, depth.current + step);
    setOver(depth.current > 0);
  };
  const handlers = {
    onDragEnter: (event: DragEvent) => moved(event, 1),
    onDragOver: (event: DragEvent) => moved(event, 0),
    onDragLeave: (event: DragEvent) => moved(event, -1),
    onDrop: (event: DragEvent) => {
      moved(event, -depth.current);
      if (!takesUploads || isUploading || !event.dataTransfer.types.includes("Files")) return;
      const place = event.target instanceof Element ? event.target.closest("[data-drop]") : null;
      const isReplacing = place?.getAttribute("data-drop") === "replace" && isOn(shown?.preview ?? null);
      (isReplacing ? replace : take)(pickDropped(event.dataTransfer));
    },
  };
  return { isOver, isUploading, problem, take, replace, dismiss: () => setProblem(null), handlers };
}

/** What to say of a change that is kept and does not run; null where all is well, which the log tells. */
function failureOf({ reload }: FilesChanged): string | null {
  if (reload.status !== "failed") return null;
  const why = reload.error?.detail ?? "Its log says why.";
  return `Files updated, but the new version does not start: ${why} The previous version is still running.`;
}
