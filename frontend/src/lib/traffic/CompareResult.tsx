import { type ReactNode, useState } from "react";

import { readChecks, writeChecks } from "../api/checks";
import type { PreviewClient } from "../api/client";
import type { Compared, Comparison, PreviewAnswer, Verdict } from "../api/replay";
import { useTranslate, type Translate } from "../texts/translate";
import { Notice } from "../ui/controls";
import { count, milliseconds } from "../ui/format";
import { News } from "../ui/News";
import panel from "../ui/panel.module.css";
import { useAction } from "../ui/useAction";
import { visible, visibleWithoutColours } from "../ui/visible";
import { Differences } from "./Differences";
import styles from "./traffic.module.css";
import { VerdictBadge } from "./VerdictBadge";
import { VerdictCounts, VERDICTS } from "./VerdictCounts";

const MOST = 200;
const MOST_LINES = 30;

interface CompareResultProps {
  client: PreviewClient;
  generationId: string;
  result: Comparison;
  /** Compare again, as a rule has changed. */
  onAgain: () => void;
}

/** The verdict of each endpoint, the worst first, with what differs. */
export function CompareResult({ client, generationId, result, onAgain }: CompareResultProps): ReactNode {
  const t = useTranslate();
  const action = useAction();
  const sorted = [...result.endpoints].sort((a, b) => VERDICTS.indexOf(a.verdict) - VERDICTS.indexOf(b.verdict));
  const skipped = result.items.filter((one) => one.skipped !== null);
  const ignore = (path: string): void =>
    void action.run(t("Saving the rule…"), async () => {
      const { checks, ignore: before } = await readChecks(client, generationId);
      await writeChecks(client, generationId, { checks, ignore: [...before, path] });
      onAgain();
      return t("{path} is ignored from now on; the rule is in preview.checks.toml.", { path });
    });
  return (
    <section className={panel.section} aria-label={t("Result of the comparison")}>
      <VerdictCounts verdicts={result.endpoints.map((one) => one.verdict)} />
      <News action={action} />
      {result.failure !== null && (
        <div className={panel.pad}>
          <Notice tone="bad" role="alert">
            {t("The second version does not start: {failure}", { failure: visible(result.failure) })}
          </Notice>
          <Lines lines={result.last_lines} label={t("Its last lines")} />
        </div>
      )}
      {sorted.slice(0, MOST).map((one) => (
        <Endpoint
          key={one.endpoint}
          name={one.endpoint}
          verdict={one.verdict}
          items={result.items.filter((item) => item.endpoint === one.endpoint && item.skipped === null)}
          onIgnore={ignore}
        />
      ))}
      {sorted.length > MOST && (
        <p className={panel.hint}>
          {t("And {sorted}.", {
            sorted: count(t, sorted.length - MOST, "{count} more endpoint", "{count} more endpoints"),
          })}
        </p>
      )}
      {skipped.length > 0 && (
        <p className={panel.hint}>
          {t("{skipped} not sent: {skipped2}", {
            skipped: count(t, skipped.length, "{count} request", "{count} requests"),
            skipped2: visible(skipped[0]?.skipped ?? ""),
          })}
        </p>
      )}
    </section>
  );
}

interface EndpointProps {
  name: string;
  verdict: Verdict;
  items: readonly Compared[];
  onIgnore: (path: string) => void;
}

function Endpoint({ name, verdict, items, onIgnore }: EndpointProps): ReactNode {
  const t = useTranslate();
  const [isOpen, setOpen] = useState(verdict === "broke" || verdict === "changed");
  return (
    <div className={styles.endpoint}>
      <button type="button" className={styles.endpointHead} aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <VerdictBadge verdict={verdict} />
        <span className={styles.title}>{visible(name)}</span>
        <span className={panel.fact}>{count(t, items.length, "{count} request", "{count} requests")}</span>
      </button>
      {isOpen && items.slice(0, MOST_LINES).map((one, at) => <Item key={at} one={one} onIgnore={onIgnore} />)}
    </div>
  );
}

function Item({ one, onIgnore }: { one: Compared; onIgnore: (path: string) => void }): ReactNode {
  const t = useTranslate();
  const before = one.first?.lines ?? [];
  const after = one.candidate?.lines ?? [];
  const isOther = before.join("\n") !== after.join("\n");
  return (
    <>
      <p className={panel.wrap} style={{ margin: "6px 0 0" }}>
        <VerdictBadge verdict={one.verdict} />
        <span className={panel.mono}>
          {visible(one.method)} {visible(one.path)}
        </span>
        <span className={panel.fact}>
          {t("First: {answered}; second: {answered2}", {
            answered: answered(t, one.first),
            answered2: answered(t, one.candidate),
          })}
        </span>
      </p>
      <Differences differences={one.differences} before="first" after="second" onIgnore={onIgnore} />
      {one.is_cut && <p className={panel.hint}>{t("There are more differences.")}</p>}
      {one.noise.length > 0 && (
        <p className={panel.hint}>
          {t("Ignored, because it changes every time: {noise}", { noise: visible(one.noise.slice(0, 20).join(", ")) })}
        </p>
      )}
      {isOther && one.verdict !== "same" && (
        <div className={styles.sides}>
          <Lines lines={before} label={t("Log lines, first")} />
          <Lines lines={after} label={t("Log lines, second")} />
        </div>
      )}
    </>
  );
}

function Lines({ lines, label }: { lines: readonly string[]; label: string }): ReactNode {
  const t = useTranslate();
  return (
    <div>
      <span className={panel.fact}>{label}</span>
      <pre className={`${panel.code} ${panel.wrapped}`} tabIndex={0} aria-label={label}>
        {lines.length === 0 ? t("none") : lines.slice(0, MOST_LINES).map(visibleWithoutColours).join("\n")}
      </pre>
    </div>
  );
}

function answered(t: Translate, answer: PreviewAnswer | null): string {
  if (answer === null || answer.status === 0) return t("no response");
  return t("{status} in {elapsed_ms}", { status: answer.status, elapsed_ms: milliseconds(answer.elapsed_ms) });
}
