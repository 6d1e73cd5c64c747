import { type ReactNode, useState } from "react";

import type { PreviewAnswer, Replayed, ReplayedOne, Verdict } from "../api/replay";
import { useTranslate, type Translate } from "../texts/translate";
import { Button, IconButton } from "../ui/controls";
import { count, milliseconds } from "../ui/format";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import { Differences } from "./Differences";
import styles from "./traffic.module.css";
import { VerdictBadge } from "./VerdictBadge";
import { VerdictCounts } from "./VerdictCounts";

const MOST = 200;

interface ReplayResultProps {
  result: Replayed;
  closeLabel?: string;
  onClose: () => void;
  /** Called to show the record of a request. */
  onShow?: (number: number) => void;
}

/** The answers of a replay, beside those that were recorded. */
export function ReplayResult({ result, closeLabel, onClose, onShow }: ReplayResultProps): ReactNode {
  const t = useTranslate();
  const [only] = result.items;
  return (
    <section className={panel.section} aria-label={t("Replay")}>
      <div className={panel.sectionHead}>
        <h4>
          {t("Replay {more}", {
            more: result.on === "trial" ? t("on a copy of the preview and its data") : t("on the preview"),
          })}
        </h4>
        {closeLabel ? (
          <Button small autoFocus icon="left" onClick={onClose}>
            {closeLabel}
          </Button>
        ) : (
          <IconButton icon="close" label={t("Close the replay")} onClick={onClose} />
        )}
      </div>
      {onShow === undefined && only ? (
        <div className={panel.pad} style={{ paddingTop: 0 }}>
          {only.skipped === null && <VerdictBadge verdict={only.verdict} />} <One one={only} />
        </div>
      ) : (
        <>
          <VerdictCounts verdicts={result.items.flatMap((one): Verdict[] => (one.verdict ? [one.verdict] : []))} />
          {result.items.slice(0, MOST).map((one, at) => (
            <Named key={at} one={one} onShow={onShow} />
          ))}
        </>
      )}
      {result.items.length > MOST && (
        <p className={panel.hint}>
          {t("And {items}.", {
            items: count(t, result.items.length - MOST, "{count} more request", "{count} more requests"),
          })}
        </p>
      )}
    </section>
  );
}

/** One of several: its details are open where something is worth a look. */
function Named({ one, onShow }: { one: ReplayedOne; onShow: ((number: number) => void) | undefined }): ReactNode {
  const t = useTranslate();
  const [isOpen, setOpen] = useState(one.skipped !== null || one.verdict === "changed" || one.verdict === "broke");
  const { number } = one;
  return (
    <div className={styles.endpoint}>
      <button type="button" className={styles.endpointHead} aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        {one.skipped === null ? (
          <VerdictBadge verdict={one.verdict} />
        ) : (
          <span className={panel.badge} data-tone="warn">
            {t("not sent")}
          </span>
        )}
        <span className={styles.title}>
          {visible(one.method)} {visible(one.path)}
        </span>
        <span className={panel.fact}>{one.answer && answered(t, one.answer)}</span>
      </button>
      {isOpen && <One one={one} />}
      {isOpen && number !== null && onShow && (
        <Button small kind="quiet" onClick={() => onShow(number)}>
          {t("Show request {number}", { number })}
        </Button>
      )}
    </div>
  );
}

function One({ one }: { one: ReplayedOne }): ReactNode {
  const t = useTranslate();
  if (one.skipped !== null)
    return <p className={styles.note}>{t("It was not sent: {skipped}", { skipped: visible(one.skipped) })}</p>;
  return (
    <>
      <span className={panel.fact}>
        {t("Before: {answered}; now: {answered2}", {
          answered: answered(t, one.recorded),
          answered2: answered(t, one.answer),
        })}
      </span>
      {one.answer?.error != null && <p className={styles.note}>{visible(one.answer.error)}</p>}
      {one.lacks_secrets && (
        <p className={styles.note}>
          {t("It was sent without a secret, because secrets are not recorded. Replay the login request first.")}
        </p>
      )}
      <Differences differences={one.differences} before="recorded" after="now" />
      {one.noise.length > 0 && (
        <p className={styles.note}>
          {t("Ignored, because it changes every time: {noise}", { noise: visible(one.noise.slice(0, 20).join(", ")) })}
        </p>
      )}
    </>
  );
}

function answered(t: Translate, answer: PreviewAnswer | null): string {
  if (answer === null || answer.status === 0) return t("no response");
  return t("{status} in {elapsed_ms}", { status: answer.status, elapsed_ms: milliseconds(answer.elapsed_ms) });
}
