import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import type { Launch } from "../api/history";
import type { LogLine } from "../api/types";
import { Button, Notice } from "../ui/controls";
import { count } from "../ui/format";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import styles from "./history.module.css";

interface LaunchLogProps {
  client: PreviewClient;
  generationId: string;
  launch: Launch;
  back: ReactNode;
}

const PAGE_LINES = 500;
const MOST_LINES = 5_000;
// More than any log has.
const END = 1e15;
// Colours of the terminal, which this list does not show.
const COLOURS = /\u001B\[[0-9;]*m/g;

/** The stored log of one launch, read-only: its last lines first, older ones on demand. */
export function LaunchLog({ client, generationId, launch, back }: LaunchLogProps): ReactNode {
  const id = launch.preview_id;
  const last = useLoad(`${generationId} ${id}`, () => client.logPage(generationId, id, END, PAGE_LINES));
  const [older, setOlder] = useState<LogLine[]>([]);
  const action = useAction();
  const lines = [...older, ...(last.value?.lines ?? [])];
  const first = lines[0]?.seq ?? 0;
  const load = (): void =>
    void action.run("Loading…", async () => {
      const page = await client.logPage(generationId, id, first, PAGE_LINES);
      setOlder((now) => [...page.lines, ...now]);
      return undefined;
    });
  const problem = last.problem ?? action.problem;
  return (
    <>
      <div className={styles.bar}>
        {back}
        <span>{last.value ? count(lines.length, "line") : "Loading…"}</span>
        {first > 1 && lines.length < MOST_LINES && (
          <Button small onClick={load} disabled={action.busy !== null}>
            Older lines
          </Button>
        )}
      </div>
      {problem && (
        <Notice tone="bad" role="alert">
          {problem.message}
        </Notice>
      )}
      {first > 1 && lines.length >= MOST_LINES && (
        <p className={styles.hint}>
          No more lines are shown here; “preview logs {generationId} --launch {id}” has all of them.
        </p>
      )}
      <pre className={styles.log} tabIndex={0} aria-label="Log of the launch">
        {lines.map((line) => (
          <span key={line.seq} data-level={line.level}>
            <span className={styles.time}>{new Date(line.timestamp).toLocaleTimeString()}</span>{" "}
            {visible(line.message.replace(COLOURS, ""))}
            {"\n"}
          </span>
        ))}
      </pre>
    </>
  );
}
