import type { ReactNode } from "react";

import { useTranslate } from "../texts/translate";
import styles from "./plot.module.css";

interface PlotProps {
  label: string;
  value: string;
  values: readonly number[];
  /** The top of the plot, at least. */
  top: number;
  /** Called to show more of it. */
  onOpen?: (() => void) | undefined;
}

const WIDTH = 44;
const HEIGHT = 24;
/** Points that fit; the newest is at the right. */
const POINTS = 45;

/** A measurement and how it went in the last minute and a half. */
export function Plot({ label, value, values, top, onOpen }: PlotProps): ReactNode {
  const t = useTranslate();
  const shown = values.slice(-POINTS);
  const ceiling = Math.max(top, ...shown);
  const points = shown.map((one, at) => {
    const x = WIDTH - (shown.length - 1 - at) * (WIDTH / (POINTS - 1));
    return `${x.toFixed(1)},${(HEIGHT - 1 - (one / ceiling) * (HEIGHT - 3)).toFixed(1)}`;
  });
  const firstX = points[0]?.split(",")[0] ?? "0";
  return (
    <div className={styles.plot}>
      <dt>{label}</dt>
      <dd>
        {onOpen && (
          <button
            type="button"
            className={styles.plotOpen}
            aria-label={t("{label}: show the metrics", { label })}
            title={t("Show the metrics")}
            onClick={onOpen}
          />
        )}
        <span className={styles.measured}>{value}</span>
        <svg width={WIDTH} height={HEIGHT} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
          {points.length > 1 && (
            <>
              <polygon
                className={styles.plotArea}
                points={`${firstX},${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}`}
              />
              <polyline className={styles.plotLine} points={points.join(" ")} />
            </>
          )}
        </svg>
      </dd>
    </div>
  );
}
