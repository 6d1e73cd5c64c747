import type { ReactNode } from "react";

import { useTranslate } from "../lib/texts/translate";
import { Button, Notice } from "../lib/ui/controls";
import { Ask } from "../lib/ui/Dialog";
import { count } from "../lib/ui/format";
import { visible } from "../lib/ui/visible";
import type { Upload } from "./useUpload";

const MOST_SHOWN = 50;

/** Asks before a replacement removes files, and offers to undo it afterwards. */
export function ReplaceQuestion({ drop }: { drop: Upload }): ReactNode {
  const t = useTranslate();
  const { asked, replaced } = drop;
  if (asked)
    return (
      <Ask
        title={`Remove ${count(t, asked.removed.length, "{count} file", "{count} files")} from ${asked.project.name}?`}
        action="Replace files"
        onYes={() => drop.answer(true)}
        onClose={() => drop.answer(false)}
      >
        <p>
          {count(t, asked.changed, "{count} file", "{count} files")} will be added or changed. These files of the
          project are not in your selection and will be removed:
        </p>
        <ul>
          {asked.removed.slice(0, MOST_SHOWN).map((path) => (
            <li key={path}>{visible(path)}</li>
          ))}
        </ul>
        {asked.removed.length > MOST_SHOWN && <p>And {asked.removed.length - MOST_SHOWN} more.</p>}
        <p>You can undo this.</p>
      </Ask>
    );
  if (!replaced) return null;
  return (
    <Notice
      role="status"
      actions={
        <>
          <Button small onClick={drop.undo}>
            Undo
          </Button>
          <Button small kind="quiet" onClick={drop.dismiss}>
            Dismiss
          </Button>
        </>
      }
    >
      {replaced.project.name}: files replaced ({replaced.changed} changed, {replaced.removed} removed).
    </Notice>
  );
}
