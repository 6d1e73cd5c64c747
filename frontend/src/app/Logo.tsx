import type { ReactNode } from "react";

export function Logo({ size = 22 }: { size?: number }): ReactNode {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="#4f46e5" />
      <path d="M9 10l6 6-6 6" fill="none" stroke="#fff" strokeWidth="3" strokeLinecap="round" strokeLinejoin="round" />
      <path d="M17.5 22H24" stroke="#a5f3fc" strokeWidth="3" strokeLinecap="round" />
    </svg>
  );
}
