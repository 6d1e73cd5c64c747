import { type ReactNode, useId, useState } from "react";

import type { PreviewClient } from "../api/client";
import { addComment, type Comment, deleteComment, resolveComment, type Target } from "../api/together";
import { useTranslate, type Translate } from "../texts/translate";
import { Button, classes, IconButton } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { ago } from "../ui/format";
import { News } from "../ui/News";
import { useAction } from "../ui/useAction";
import { visible } from "../ui/visible";
import { useRole } from "./role";
import type { TogetherStore } from "./store";
import styles from "./together.module.css";

export const MOST_CHARACTERS = 2_000;

export function wordsOf(t: Translate, target: Target): string {
  return target.kind === "failure" ? t("Failure") : `${target.kind === "line" ? t("Line") : t("Request")} ${target.id}`;
}

interface CommentListProps {
  client: PreviewClient;
  generationId: string;
  store: TogetherStore | null;
  comments: readonly Comment[];
  myId: string | null;
  /** Called to show what a comment is about; without it, the list is of one thing. */
  onTarget?: (target: Target) => void;
}

/** Comments, oldest first, each with what the person may do with it. */
export function CommentList({ client, generationId, store, comments, myId, onTarget }: CommentListProps): ReactNode {
  const t = useTranslate();
  const action = useAction();
  const role = useRole();
  return (
    <>
      <News action={action} />
      <ul className={styles.list}>
        {comments.map((one) => (
          <li key={one.id} className={styles.comment} data-resolved={one.resolved}>
            <span className={styles.name}>{visible(one.author)}</span>
            {onTarget && (
              <button type="button" className={styles.target} onClick={() => onTarget(one.target)}>
                {wordsOf(t, one.target)}
              </button>
            )}
            <small>
              {ago(t, one.created_at)}
              {one.resolved && t(", resolved")}
            </small>
            {role !== "watch" && (
              <IconButton
                icon={one.resolved ? "restart" : "check"}
                label={one.resolved ? t("Reopen") : t("Mark as resolved")}
                onClick={() =>
                  void action.run(t("Saving…"), async () => {
                    store?.put(await resolveComment(client, generationId, one, !one.resolved));
                    return undefined;
                  })
                }
              />
            )}
            {(role === "owner" || one.author_id === myId) && (
              <IconButton
                icon="clear"
                label={t("Delete the comment")}
                onClick={() =>
                  void action.run(t("Deleting…"), async () => {
                    await deleteComment(client, generationId, one);
                    store?.drop(one.id);
                    return undefined;
                  })
                }
              />
            )}
            <p className={styles.text}>{visible(one.text)}</p>
          </li>
        ))}
      </ul>
    </>
  );
}

interface CommentFormProps {
  client: PreviewClient;
  generationId: string;
  previewId: string;
  store: TogetherStore | null;
  target: Target;
}

/** A new comment on one thing. Ctrl+Enter sends it. */
export function CommentForm({ client, generationId, previewId, store, target }: CommentFormProps): ReactNode {
  const t = useTranslate();
  const [text, setText] = useState("");
  const action = useAction();
  const id = useId();
  const send = (): void =>
    void action.run(t("Sending…"), async () => {
      const made = await addComment(client, generationId, previewId, target, text.trim());
      store?.put(made);
      setText("");
      return undefined;
    });
  return (
    <form
      className={styles.form}
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <News action={action} />
      <label htmlFor={id} className={controls.hidden}>
        {t("Comment on {target}", { target: wordsOf(t, target).toLowerCase() })}
      </label>
      <textarea
        id={id}
        className={classes(controls.field)}
        placeholder={t("Comment on {target}", { target: wordsOf(t, target).toLowerCase() })}
        maxLength={MOST_CHARACTERS}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && text.trim() !== "") send();
        }}
      />
      <div className={styles.row}>
        <Button small type="submit" disabled={text.trim() === "" || action.busy !== null}>
          {t("Comment")}
        </Button>
      </div>
    </form>
  );
}
