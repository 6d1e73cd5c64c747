import type { ReactNode } from "react";

import { useTranslate } from "../lib/texts/translate";
import { Button, Notice } from "../lib/ui/controls";
import { Ask } from "../lib/ui/Dialog";
import { count } from "../lib/ui/format";
import { visible } from "../lib/ui/visible";
import type { Replacement, Upload } from "./useUpload";

const MOST_SHOWN = 50;

/** Asks before a replacement removes files, and offers to undo it afterwards. */
export function ReplaceQuestion({ drop }: { drop: Upload }): ReactNode {
  const t = useTranslate();
  const { asked, replaced, news } = drop;
  if (asked?.source != null) return <UpdateQuestion drop={drop} asked={asked} />;
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
        <Removed paths={asked.removed} />
        <p>You can undo this.</p>
      </Ask>
    );
  if (news !== null)
    return (
      <Notice
        role="status"
        actions={
          <Button small kind="quiet" onClick={drop.dismiss}>
            Dismiss
          </Button>
        }
      >
        {news}
      </Notice>
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

/** Asks before a project's files become those of its repository. */
function UpdateQuestion({ drop, asked }: { drop: Upload; asked: Replacement }): ReactNode {
  const t = useTranslate();
  return (
    <Ask
      title={`Update ${asked.project.name} from GitHub?`}
      action="Update files"
      kind={asked.removed.length > 0 ? "danger" : "primary"}
      onYes={() => drop.answer(true)}
      onClose={() => drop.answer(false)}
    >
      <p>
        The files will match {asked.source}. {count(t, asked.changed, "{count} file", "{count} files")} will be added or
        changed, and {count(t, asked.removed.length, "{count} file", "{count} files")} removed
        {asked.removed.length > 0 ? ":" : "."}
      </p>
      <Removed paths={asked.removed} />
      <p>Your own changes to these files will be replaced. You can undo this.</p>
    </Ask>
  );
}

function Removed({ paths }: { paths: readonly string[] }): ReactNode {
  return (
    <>
      <ul>
        {paths.slice(0, MOST_SHOWN).map((path) => (
          <li key={path}>{visible(path)}</li>
        ))}
      </ul>
      {paths.length > MOST_SHOWN && <p>And {paths.length - MOST_SHOWN} more.</p>}
    </>
  );
}
