import { useEffect } from "react";

import { previewFirings } from "../api/alerts";
import { isAlert, markedLines } from "../alerts/marks";
import { usePreviewClient } from "../context";
import { useNewLines } from "../logs/useNewLines";
import { useTranslate } from "../texts/translate";
import { count } from "../ui/format";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import { usePreview } from "../usePreview";
import { useLogSession } from "../usePreviewLogs";
import { useRole } from "./role";
import { usePresence } from "./useTogether";

interface LineMarksProps {
  generationId: string;
  onMarks: (marks: ReadonlyMap<number, string>) => void;
}

/** Tells which lines of the log have comments or made an alert fire, and who looks at them. Shows nothing itself. */
export default function LineMarks({ generationId, onMarks }: LineMarksProps): null {
  const t = useTranslate();
  const client = usePreviewClient();
  const { viewers, comments } = usePresence(generationId, "line");
  const { instance } = usePreview(generationId, { client, poll: false });
  const session = useLogSession(generationId, { client });
  const [revision] = useNewLines(session, isAlert);
  const previewId = instance?.id ?? null;
  // The alerts are the owner's own: guests have no right to read them.
  const isOwner = useRole() === "owner";
  const { value: firings } = useLoad(
    isOwner && previewId !== null ? `${generationId} ${previewId}` : null,
    (signal) => previewFirings(client, generationId, signal),
    String(revision),
  );
  useEffect(() => {
    const alerts = markedLines(t, firings?.items ?? [], previewId);
    const marks = new Map<number, string>();
    const ids = [...comments.keys(), ...viewers.keys()].map(Number);
    for (const seq of new Set([...ids, ...alerts.keys()])) {
      const id = String(seq);
      const people = viewers.get(id) ?? [];
      const names = people.map((one) => visible(one.name)).join(", ");
      const parts = [
        names &&
          t(people.length === 1 ? "{names} is looking at this line" : "{names} are looking at this line", { names }),
        comments.has(id) && count(t, comments.get(id) ?? 0, "{count} comment", "{count} comments"),
        alerts.get(seq),
      ];
      marks.set(seq, parts.filter(Boolean).join("; "));
    }
    onMarks(marks);
  }, [viewers, comments, firings, previewId, onMarks, t]);
  return null;
}
