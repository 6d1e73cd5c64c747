import type { ReactNode } from "react";

import type { Replayed, ReplayedOne } from "../api/replay";
import { Button, IconButton } from "../ui/controls";
import { milliseconds } from "../ui/format";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import { Differences } from "./Differences";

interface ReplayResultProps {
  result: Replayed;
  /** Show a recorded request. */
  onShow: (number: number) => void;
  onClose: () => void;
}

/** The answers of a replay, beside those that were recorded. */
export function ReplayResult({ result, onShow, onClose }: ReplayResultProps): ReactNode {
  return (
    <section className={panel.section} aria-label="Replay">
      <div className={panel.sectionHead}>
        <h4>Replay {result.on === "trial" ? "on a copy of the preview and its data" : "on the preview"}</h4>
        <IconButton icon="close" label="Close the replay" onClick={onClose} />
      </div>
      {result.items.map((one) => (
        <One key={one.number} one={one} onShow={onShow} />
      ))}
      {result.notes.map((note) => (
        <p key={note} className={panel.hint}>
          {visible(note)}
        </p>
      ))}
    </section>
  );
}

function One({ one, onShow }: { one: ReplayedOne; onShow: (number: number) => void }): ReactNode {
  const { replayed_as: record } = one;
  return (
    <div className={panel.pad} style={{ paddingTop: 0 }}>
      <div className={panel.wrap}>
        <span
          className={panel.badge}
          data-tone={one.error !== null ? "bad" : one.differences.length > 0 ? "warn" : "good"}
        >
          {one.error !== null ? "no response" : one.differences.length > 0 ? "changed" : "same"}
        </span>
        <span className={panel.fact}>
          {one.status_before || "no response"} → {one.status ?? "no response"}
          {one.elapsed_ms !== null && ` in ${milliseconds(one.elapsed_ms)}`}
        </span>
        {record !== null && (
          <Button small kind="quiet" onClick={() => onShow(record)}>
            Show the new record
          </Button>
        )}
      </div>
      {one.error !== null && <p className={panel.hint}>{visible(one.error)}</p>}
      <Differences differences={one.differences} before="recorded" after="now" />
    </div>
  );
}
