import type { ReactNode } from "react";

import type { PreviewClient } from "../api/client";
import type { Target } from "../api/together";
import { useTranslate } from "../texts/translate";
import { visible } from "../ui/visible";
import panel from "../ui/panel.module.css";
import { CommentForm, CommentList } from "./CommentList";
import { Face } from "./Faces";
import { useRole } from "./role";
import styles from "./together.module.css";
import { useLooking, useTogether } from "./useTogether";

interface TargetCommentsProps {
  client: PreviewClient;
  generationId: string;
  target: Target;
}

/** The comments on one line, request or failure, who else looks at it, and a field for another comment. */
export function TargetComments({ client, generationId, target }: TargetCommentsProps): ReactNode {
  const t = useTranslate();
  const { me, viewers, comments, store } = useTogether(generationId, { client });
  const role = useRole();
  useLooking(store, target);
  const isHere = (one: Target | null): boolean => one?.kind === target.kind && one.id === target.id;
  const others = viewers.filter((one) => one.id !== me?.id && isHere(one.target));
  const mine = comments?.filter((one) => isHere(one.target)) ?? [];
  if (store === null) return null;
  return (
    <section className={panel.section} aria-label={t("Comments")}>
      <h4>{t("Comments")}</h4>
      {others.length > 0 && (
        <p className={styles.person}>
          {others.map((one) => (
            <Face key={one.id} viewer={one} />
          ))}
          <small>
            {t(others.length === 1 ? "{others} is also looking at this" : "{others} are also looking at this", {
              others: others.map((one) => visible(one.name)).join(", "),
            })}
          </small>
        </p>
      )}
      <CommentList client={client} generationId={generationId} store={store} comments={mine} myId={me?.id ?? null} />
      {role !== "watch" && (
        <CommentForm
          client={client}
          generationId={generationId}
          previewId={store.previewId}
          store={store}
          target={target}
        />
      )}
    </section>
  );
}
