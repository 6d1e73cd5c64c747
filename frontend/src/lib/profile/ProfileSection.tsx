import { type CSSProperties, type ReactNode, useEffect, useState } from "react";

import type { PreviewClient } from "../api/client";
import { lastProfile, type Profile, type ProfileNode, startProfile } from "../api/profile";
import { useTranslate } from "../texts/translate";
import { Button, Notice } from "../ui/controls";
import { count, milliseconds } from "../ui/format";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import styles from "./profile.module.css";
import { childrenOf, shownOf } from "./tree";

const SECONDS = 10;
const LOOK_MS = 1_000;

interface ProfileSectionProps {
  client: PreviewClient;
  generationId: string;
}

/** Which functions of the running preview the time goes to, measured when a person asks for it. */
export default function ProfileSection({ client, generationId }: ProfileSectionProps): ReactNode {
  const t = useTranslate();
  const { value, refresh, put } = useLoad(generationId, (signal) => lastProfile(client, generationId, signal));
  const action = useAction();
  const isRunning = value?.state === "running";
  useEffect(() => {
    if (!isRunning) return;
    const timer = setInterval(refresh, LOOK_MS);
    return () => clearInterval(timer);
  }, [isRunning, refresh]);
  const start = async (): Promise<undefined> => {
    const started = await startProfile(client, generationId, SECONDS);
    put(() => started);
    refresh();
  };
  const isBusy = isRunning || action.busy !== null;
  return (
    <section className={styles.section} aria-label={t("Slowest functions")}>
      <div className={styles.head}>
        <h3>{t("Slowest functions")}</h3>
        <Button small disabled={isBusy} onClick={() => void action.run(t("Starting…"), start)}>
          {isBusy ? t("Measuring…") : t("Measure for {seconds} s", { seconds: SECONDS })}
        </Button>
      </div>
      <p className={styles.hint} role="status">
        {isRunning
          ? t("Send requests to the preview now.")
          : t("Measures which functions take the most time. Send requests to the preview during the measurement.")}
      </p>
      {action.problem && <Notice tone="bad">{action.problem.message}</Notice>}
      {value?.state === "failed" && (
        <Notice tone="bad">
          {t(
            "The process returned no profile: it has ended, or does not respond. Measure again; if this repeats, see the log.",
          )}
        </Notice>
      )}
      {value?.state === "finished" && <Tree profile={value} />}
    </section>
  );
}

function Tree({ profile }: { profile: Profile }): ReactNode {
  const t = useTranslate();
  const [isWhole, setWhole] = useState(false);
  const { nodes } = profile;
  if (nodes.length === 0)
    return <p className={styles.hint}>{t("None of the project’s functions ran during the measurement.")}</p>;
  const total = nodes.reduce((sum, node) => sum + (node.depth === 0 ? node.total_ms : 0), 0) || 1;
  const shown = isWhole ? nodes.map((_, at) => at) : shownOf(nodes, total);
  return (
    <>
      <ul className={styles.rows} aria-label={t("Functions")}>
        {childrenOf(nodes, shown, null).map((at) => (
          <Branch key={at} nodes={nodes} shown={shown} at={at} total={total} />
        ))}
      </ul>
      {shown.length < nodes.length && (
        <Button small kind="quiet" onClick={() => setWhole(true)}>
          {count(
            t,
            nodes.length - shown.length,
            "{count} more that took little time",
            "{count} more that took little time",
          )}
        </Button>
      )}
      <p className={styles.hint}>
        {t(
          "{took} in the project’s functions, all threads together, within {seconds} s. Reported by the application.",
          {
            took: milliseconds(total),
            seconds: Math.round(profile.elapsed_ms / 1000),
          },
        )}
      </p>
    </>
  );
}

interface BranchProps {
  nodes: readonly ProfileNode[];
  shown: readonly number[];
  at: number;
  total: number;
}

function Branch({ nodes, shown, at, total }: BranchProps): ReactNode {
  const t = useTranslate();
  const node = nodes[at];
  if (node === undefined) return null;
  const share = Math.min(1, node.total_ms / total);
  const own = Math.min(1, node.own_ms / total);
  const below = childrenOf(nodes, shown, at);
  return (
    <li>
      <div className={styles.row} style={{ "--share": share, "--own": own } as CSSProperties}>
        <span className={styles.name}>
          <span className={node.place === null ? styles.library : undefined}>{visible(node.name)}</span>{" "}
          {node.place !== null && <span className={styles.place}>{visible(node.place)}</span>}
        </span>
        <span className={styles.took}>
          {node.calls !== null && (
            <span className={styles.place}>{count(t, node.calls, "{count} call", "{count} calls")} </span>
          )}
          {milliseconds(node.total_ms)}
          {node.own_ms > 0 && node.own_ms < node.total_ms && (
            <span className={styles.place}> {t("({own} own)", { own: milliseconds(node.own_ms) })}</span>
          )}
        </span>
      </div>
      {below.length > 0 && (
        <ul className={styles.below}>
          {below.map((child) => (
            <Branch key={child} nodes={nodes} shown={shown} at={child} total={total} />
          ))}
        </ul>
      )}
    </li>
  );
}
