export function rawTexts(): { file: string; line: number; text: string }[];
