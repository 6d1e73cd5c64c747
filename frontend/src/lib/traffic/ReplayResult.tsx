import type { ReactNode } from "react";

import type { PreviewAnswer, Replayed, ReplayedOne } from "../api/replay";
import { IconButton } from "../ui/controls";
import { count, milliseconds } from "../ui/format";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import { Differences } from "./Differences";
import { VerdictBadge } from "./VerdictBadge";

const MOST = 50;

/** The answers of a replay, beside those that were recorded. */
export function ReplayResult({ result, onClose }: { result: Replayed; onClose: () => void }): ReactNode {
  return (
    <section className={panel.section} aria-label="Replay">
      <div className={panel.sectionHead}>
        <h4>Replay {result.on === "trial" ? "on a copy of the preview and its data" : "on the preview"}</h4>
        <IconButton icon="close" label="Close the replay" onClick={onClose} />
      </div>
      {result.items.slice(0, MOST).map((one, at) => (
        <One key={at} one={one} />
      ))}
      {result.items.length > MOST && (
        <p className={panel.hint}>And {count(result.items.length - MOST, "more request")}.</p>
      )}
    </section>
  );
}

function One({ one }: { one: ReplayedOne }): ReactNode {
  if (one.skipped !== null) return <p className={panel.hint}>It was not sent: {visible(one.skipped)}</p>;
  return (
    <div className={panel.pad} style={{ paddingTop: 0 }}>
      <div className={panel.wrap}>
        <VerdictBadge verdict={one.verdict} />
        <span className={panel.fact}>
          {answered(one.recorded)} before, {answered(one.answer)} now
        </span>
      </div>
      {one.answer?.error != null && <p className={panel.hint}>{visible(one.answer.error)}</p>}
      {one.lacks_secrets && (
        <p className={panel.hint}>
          It was sent without a secret: secrets are not recorded. Replay the login before it.
        </p>
      )}
      <Differences differences={one.differences} before="recorded" after="now" />
      {one.noise.length > 0 && (
        <p className={panel.hint}>Left out, as it differs each time: {visible(one.noise.slice(0, 20).join(", "))}</p>
      )}
    </div>
  );
}

function answered(answer: PreviewAnswer | null): string {
  if (answer === null || answer.status === 0) return "no answer";
  return `${answer.status} in ${milliseconds(answer.elapsed_ms)}`;
}
