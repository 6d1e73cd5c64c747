import type { ReactNode } from "react";

const PATHS = {
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10Zm3.6-1.4L14 14",
  filter: "M2 3.5h12M4.5 8h7M6.5 12.5h3",
  clock: "M8 14.25A6.25 6.25 0 1 0 8 1.75a6.25 6.25 0 0 0 0 12.5ZM8 4.5V8l2.5 1.5",
  wrap: "M2 3.5h12M2 8h9.5a2.25 2.25 0 0 1 0 4.5H8m1.75-1.75L8 12.5l1.75 1.75M2 12.5h3",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  check: "M3 8.5 6.5 12 13 4.5",
  download: "M8 2v8m-3.25-3L8 10.25 11.25 7M2.5 13.5h11",
  clear: "M3 4.5h10M6 4.5v-2h4v2M4.25 4.5l.6 9h6.3l.6-9",
  up: "M3.5 10 8 5.5l4.5 4.5",
  down: "M3.5 6 8 10.5 12.5 6",
  close: "M4 4l8 8M12 4l-8 8",
  play: "M5 3v10l8-5z",
  stop: "M4 4h8v8H4z",
  restart: "M13 3v3.5H9.5M12.7 6.5A5.25 5.25 0 1 0 13.25 9",
  link: "M9 2.5h4.5V7M13.25 2.75 7.5 8.5M11.5 9.5v4h-9v-9h4",
  upload: "M8 10.5v-8M4.75 5.5 8 2.25l3.25 3.25M2.5 13.5h11",
  sun: "M8 10.75a2.75 2.75 0 1 0 0-5.5 2.75 2.75 0 0 0 0 5.5ZM8 1.25v1.5m0 10.5v1.5M1.25 8h1.5m10.5 0h1.5M3.2 3.2l1.1 1.1m7.4 7.4 1.1 1.1m0-9.6-1.1 1.1m-7.4 7.4-1.1 1.1",
  moon: "M13.25 9.75A5.75 5.75 0 0 1 6.25 2.75a5.75 5.75 0 1 0 7 7Z",
  screen: "M2 3h12v8H2zM5.5 13.5h5",
  chain: "M6.5 9.5l3-3M7.5 4.5l1.4-1.4a2.6 2.6 0 0 1 3.7 3.7L11.2 8.2M8.5 11.5l-1.4 1.4a2.6 2.6 0 0 1-3.7-3.7L4.8 7.8",
  send: "M2.5 8h10M9 4.5 12.5 8 9 11.5",
  folder: "M1.75 4V12.5h12.5v-7H8L6.5 3.5H1.75z",
  terminal: "M2 3h12v10H2zM4.5 6l2 2-2 2M8 10.5h3",
  person: "M8 8a2.75 2.75 0 1 0 0-5.5A2.75 2.75 0 0 0 8 8ZM2.75 14c.4-2.6 2.5-4 5.25-4s4.85 1.4 5.25 4",
  data: "M2.5 4c0-1.1 2.5-2 5.5-2s5.5.9 5.5 2-2.5 2-5.5 2-5.5-.9-5.5-2ZM2.5 4v8c0 1.1 2.5 2 5.5 2s5.5-.9 5.5-2V4M2.5 8c0 1.1 2.5 2 5.5 2s5.5-.9 5.5-2",
  left: "M10 3.5 5.5 8l4.5 4.5",
  plus: "M8 3v10M3 8h10",
  bug: "M5.5 6.5h5v4a2.5 2.5 0 0 1-5 0zM6 6.25a2 2 0 0 1 4 0M2.5 5l3 1.75m8-1.75-3 1.75M2.5 9.5h3m8 0h-3M3 13.5l2.75-2m7.25 2-2.75-2",
  chart: "M2.75 2.75v10.5h10.5M5 10.5l2.5-3.5 2 2 3-4.5",
  bell: "M4 11V7a4 4 0 0 1 8 0v4l1.25 1.25H2.75zM6.75 14.25h2.5",
  pin: "M6 2.5h4l-.5 4 2 2.5H4.5l2-2.5zM8 9v5",
  sliders: "M2.5 4.5h6m3 0h2M2.5 11.5h2m3 0h6M10 3v3M6 10v3",
  info: "M8 14.25A6.25 6.25 0 1 0 8 1.75a6.25 6.25 0 0 0 0 12.5ZM8 7.25v4M8 4.75h.01",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }): ReactNode {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      strokeWidth={name === "more" ? 2.5 : 1.5}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      style={{ width: size, height: size, fill: "none", stroke: "currentColor" }}
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
