export const LIST: string;
export function collect(): string[];
export function listModule(): string;
