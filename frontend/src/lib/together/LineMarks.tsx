import { useEffect } from "react";

import { useTranslate } from "../texts/translate";
import { count } from "../ui/format";
import { visible } from "../ui/visible";
import { usePresence } from "./useTogether";

interface LineMarksProps {
  generationId: string;
  onMarks: (marks: ReadonlyMap<number, string>) => void;
}

/** Tells which lines of the log have comments, and who looks at them. Shows nothing itself. */
export default function LineMarks({ generationId, onMarks }: LineMarksProps): null {
  const t = useTranslate();
  const { viewers, comments } = usePresence(generationId, "line");
  useEffect(() => {
    const marks = new Map<number, string>();
    for (const id of new Set([...comments.keys(), ...viewers.keys()])) {
      const names = (viewers.get(id) ?? []).map((one) => visible(one.name)).join(", ");
      const parts = [
        names && t("{names} is looking at this line", { names }),
        comments.has(id) && count(t, comments.get(id) ?? 0, "{count} comment", "{count} comments"),
      ];
      marks.set(Number(id), parts.filter(Boolean).join("; "));
    }
    onMarks(marks);
  }, [viewers, comments, onMarks, t]);
  return null;
}
