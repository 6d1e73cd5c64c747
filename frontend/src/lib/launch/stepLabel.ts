import { english, type Translate, type Untranslated } from "../texts/translate";

const LABELS: Readonly<Partial<Record<string, Untranslated>>> = {
  files: english("Files"),
  environment: english("Dependencies"),
  process: english("Start"),
  answers: english("Health check"),
  migrations: english("Migrations"),
};

/** The words for a step; those of a step that only the service knows are its name. */
export function stepLabel(t: Translate, name: string): string {
  const words = LABELS[name];
  return words ? t(words) : name.charAt(0).toUpperCase() + name.slice(1);
}
