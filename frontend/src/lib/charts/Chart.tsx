import type { ReactNode } from "react";

import { useTranslate } from "../texts/translate";
import styles from "./charts.module.css";
import { duration } from "../ui/format";
import { type ChartData, pathOf, shortNumber, topOf } from "./series";

const WIDTH = 600;
const HEIGHT = 110;

/** A chart over the preview's life, with its newest and highest values in words. */
export function Chart({ data, isLive }: { data: ChartData; isLive: boolean }): ReactNode {
  const t = useTranslate();
  const top = topOf(data);
  const limit = data.limit !== undefined && data.limit <= top ? data.limit : null;
  return (
    <figure className={styles.chart}>
      <figcaption className={styles.head}>
        <b>{data.title}</b>
        <span className={styles.unit}>{data.unit}</span>
        {data.lines.map((line, at) => (
          <span key={line.name} className={styles.key} data-line={at}>
            {data.lines.length > 1 && `${line.name} `}
            {shortNumber(newest(line.values))}
            <span className={styles.unit}>
              {" "}
              {t("{more}, peak {highest}", {
                more: isLive ? "now" : t("at the end"),
                highest: shortNumber(highest(line.values)),
              })}
            </span>
          </span>
        ))}
        {data.limit !== undefined && (
          <span className={styles.unit}>{t("limit {limit}", { limit: shortNumber(data.limit) })}</span>
        )}
      </figcaption>
      <div className={styles.plot}>
        <span className={styles.top}>{shortNumber(top)}</span>
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
          <path className={styles.grid} d={`M0 0H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT}H${WIDTH}`} />
          {limit !== null && <path className={styles.limit} d={`M0 ${HEIGHT - (limit / top) * HEIGHT}H${WIDTH}`} />}
          {data.lines.map((line, at) => (
            <path key={line.name} className={styles.line} data-line={at} d={pathOf(line, data, WIDTH, HEIGHT)} />
          ))}
        </svg>
      </div>
      <div className={styles.axis} aria-hidden="true">
        <span>{t("launch")}</span>
        <span>{t("{round} later", { round: duration(Math.round(data.seconds.at(-1) ?? 0)) })}</span>
      </div>
    </figure>
  );
}

function newest(values: readonly (number | null)[]): number | null {
  return values.findLast((one) => one !== null) ?? null;
}

function highest(values: readonly (number | null)[]): number | null {
  const known = values.filter((one) => one !== null);
  return known.length > 0 ? Math.max(...known) : null;
}
