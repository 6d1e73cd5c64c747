import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { removeViewer, type Target, type Viewer } from "../api/together";
import { usePreviewClient } from "../context";
import { useTranslate, english } from "../texts/translate";
import { Button, IconButton, Notice } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { Ask } from "../ui/Dialog";
import { News } from "../ui/News";
import { Panel, type PanelProps } from "../ui/Panel";
import panel from "../ui/panel.module.css";
import { useAction } from "../ui/useAction";
import { visible } from "../ui/visible";
import { useLogSession } from "../usePreviewLogs";
import { CommentForm, CommentList, wordsOf } from "./CommentList";
import { Face } from "./Faces";
import { useRole } from "./role";
import styles from "./together.module.css";
import { useTogether } from "./useTogether";

export interface PeoplePanelProps extends PanelProps {
  client?: PreviewClient | undefined;
  /** Called before a line is brought into sight in the log, where that may be hidden. */
  onShowLog?: (() => void) | undefined;
  onShowRequest?: ((number: number) => void) | undefined;
  onShowFailure?: ((failureId: string) => void) | undefined;
}

const ROLES = { owner: english("owner"), watch: english("watches"), use: english("may send requests") } as const;

/** Who has the page of a preview open, and the comments on it. It fills its parent. */
export function PeoplePanel(props: PeoplePanelProps): ReactNode {
  const t = useTranslate();
  const { generationId } = props;
  const client = usePreviewClient(props.client);
  const { me, viewers, comments, store, problem } = useTogether(generationId, { client });
  const session = useLogSession(generationId, { client });
  const role = useRole();
  const [line, setLine] = useState("");
  const [showsResolved, setShowsResolved] = useState(false);
  const show = (target: Target): void => {
    if (target.kind === "failure") props.onShowFailure?.(target.id);
    else if (target.kind === "request") props.onShowRequest?.(Number(target.id));
    else {
      props.onShowLog?.();
      session.reveal(Number(target.id));
    }
  };
  const resolved = comments?.filter((one) => one.resolved).length ?? 0;
  const shown = comments?.filter((one) => showsResolved || !one.resolved) ?? [];
  return (
    <Panel {...props} label={t("People")}>
      <div className={panel.scroll}>
        {problem && (
          <div className={panel.pad}>
            <Notice tone="bad" role="alert">
              {problem.message}
            </Notice>
          </div>
        )}
        {store === null && (
          <p className={panel.none}>{t("Launch and share the preview: people who join are shown here.")}</p>
        )}
        {store !== null && (
          <>
            <section aria-label={t("Here now")}>
              <h4 className={panel.hint}>{t("Here now")}</h4>
              <ul className={styles.list}>
                {viewers.map((one) => (
                  <Person
                    key={one.id}
                    {...{ client, generationId, viewer: one, onShow: show }}
                    isMe={one.id === me?.id}
                  />
                ))}
              </ul>
              {viewers.length < 2 && role === "owner" && (
                <p className={panel.hint}>
                  {t(
                    "Nobody else is here. “Share” makes a link with the role “watch” or “use”: people see this page without an account.",
                  )}
                </p>
              )}
            </section>
            <section className={panel.section} aria-label={t("Comments")}>
              <div className={panel.sectionHead}>
                <h4>{t("Comments")}</h4>
                {resolved > 0 && (
                  <Button
                    small
                    kind="quiet"
                    aria-pressed={showsResolved}
                    onClick={() => setShowsResolved(!showsResolved)}
                  >
                    {t("{more} {resolved} resolved", { more: showsResolved ? t("Hide") : t("Show"), resolved })}
                  </Button>
                )}
              </div>
              {comments !== null && comments.length === 0 && (
                <p className={panel.hint}>
                  {t(
                    "No comments yet. Open a request or a failure to comment on it, or give the number of a log line.",
                  )}
                </p>
              )}
              <CommentList
                {...{ client, generationId, store }}
                comments={shown}
                myId={me?.id ?? null}
                onTarget={show}
              />
              {role !== "watch" && (
                <>
                  <label className={styles.person}>
                    {t("Comment on log line")}
                    <input
                      className={controls.field}
                      inputMode="numeric"
                      size={8}
                      value={line}
                      onChange={(event) => setLine(event.target.value.replace(/\D/g, "").replace(/^0+/, ""))}
                    />
                  </label>
                  {line !== "" && (
                    <CommentForm
                      {...{ client, generationId, store }}
                      previewId={store.previewId}
                      target={{ kind: "line", id: line }}
                    />
                  )}
                </>
              )}
            </section>
          </>
        )}
      </div>
    </Panel>
  );
}

interface PersonProps {
  client: PreviewClient;
  generationId: string;
  viewer: Viewer;
  isMe: boolean;
  onShow: (target: Target) => void;
}

function Person({ client, generationId, viewer, isMe, onShow }: PersonProps): ReactNode {
  const t = useTranslate();
  const action = useAction();
  const role = useRole();
  const [asks, setAsks] = useState(false);
  const { target } = viewer;
  const name = visible(viewer.name);
  return (
    <li className={styles.person}>
      <Face viewer={viewer} />
      <span className={styles.name}>
        {name}
        {isMe && ` ${t("(you)")}`}
      </span>
      {viewer.role !== "owner" && <small>{t(ROLES[viewer.role])}</small>}
      {target && !isMe && (
        <button type="button" className={styles.target} onClick={() => onShow(target)}>
          {wordsOf(t, target)}
        </button>
      )}
      <span className={panel.spring} />
      {role === "owner" && viewer.role !== "owner" && (
        <IconButton icon="close" label={t("Remove {name}", { name })} onClick={() => setAsks(true)} />
      )}
      <News action={action} />
      {asks && (
        <Ask
          title={t("Remove {name}?", { name })}
          action={t("Remove")}
          onClose={() => setAsks(false)}
          onYes={() =>
            void action.run(t("Removing…"), () => removeViewer(client, generationId, viewer.id).then(() => undefined))
          }
        >
          <p>
            {t(
              "The page closes for {name} at once. The link that {name2} used no longer works; people who already joined with it stay.",
              { name, name2: name },
            )}
          </p>
        </Ask>
      )}
    </li>
  );
}
