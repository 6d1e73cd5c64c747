import type { Metrics, MetricsPoint } from "../api/metrics";
import type { Translate } from "../texts/translate";

/** One line of a chart; null where nothing was measured. */
export interface Line {
  name: string;
  values: readonly (number | null)[];
}

export interface ChartData {
  title: string;
  unit: string;
  /** Seconds since the launch, one for each value. */
  seconds: readonly number[];
  lines: readonly Line[];
  /** Drawn as a line of its own. */
  limit?: number;
}

/** What is drawn, in this order. */
export function chartsOf(t: Translate, metrics: Metrics): ChartData[] {
  const { points, interval_s } = metrics;
  const seconds = points.map((one) => one.offset_s);
  const line = (name: string, value: (point: MetricsPoint) => number | null): Line => ({
    name,
    values: points.map(value),
  });
  return [
    {
      title: t("Memory"),
      unit: "MB",
      seconds,
      lines: [line(t("Memory"), (one) => one.memory_mb)],
      limit: metrics.memory_limit_mb,
    },
    {
      title: t("Processor"),
      unit: t("% of a core"),
      seconds,
      lines: [line(t("Processor"), (one) => one.cpu_percent)],
      limit: metrics.cpu_limit_percent,
    },
    {
      title: t("Requests"),
      unit: t("per second"),
      seconds,
      lines: [
        line(t("Requests"), (one) => one.requests / interval_s),
        line(t("Errors"), (one) => one.errors / interval_s),
      ],
    },
    {
      title: t("Latency"),
      unit: "ms",
      seconds,
      lines: [line("p50", (one) => one.p50_ms), line("p95", (one) => one.p95_ms), line("p99", (one) => one.p99_ms)],
    },
  ];
}

/** The upper end of the scale: a round number above all values. The limit counts only when it is near. */
export function topOf(data: ChartData): number {
  const most = Math.max(0, ...data.lines.flatMap((one) => one.values.map((value) => value ?? 0)));
  const near = data.limit !== undefined && most > 0.4 * data.limit ? data.limit : 0;
  const needed = Math.max(most, near) * 1.05;
  if (needed <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(needed));
  return ([1, 2, 2.5, 5, 10].find((one) => one * power >= needed) ?? 10) * power;
}

/** A path of an SVG; it goes on to the next value where nothing was measured. */
export function pathOf(line: Line, data: ChartData, width: number, height: number): string {
  const end = Math.max(1, data.seconds.at(-1) ?? 1);
  const top = topOf(data);
  let path = "";
  let isOn = false;
  line.values.forEach((value, at) => {
    if (value === null) return;
    const x = ((data.seconds[at] ?? 0) / end) * width;
    const y = height - (Math.min(value, top) / top) * height;
    path += `${isOn ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    isOn = true;
  });
  // A single value is a short stroke: a point alone would not be drawn.
  return line.values.filter((value) => value !== null).length === 1 ? `${path}h2` : path;
}

export function shortNumber(value: number | null): string {
  if (value === null) return "–";
  return value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 });
}
