import { visible } from "../ui/visible";

/** An error of the service as a sentence for a person, with what a program needs to offer the way out (RFC 9457). */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    message: string,
    facts: { status?: number; code?: string; title?: string; details?: Record<string, unknown> } = {},
  ) {
    // Names and paths of strangers may stand in it.
    super(visible(message));
    this.name = "Problem";
    this.status = facts.status ?? 0;
    this.code = facts.code ?? "unknown";
    this.title = facts.title ?? "Something went wrong";
    this.details = facts.details ?? {};
  }

  /** Whether trying again by itself may help. */
  get isTemporary(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Seconds: the longest life that a preview may have, where a refusal names it. */
export function longestLifeS(problem: Problem): number | null {
  const { limit_s } = problem.details;
  return typeof limit_s === "number" ? limit_s : null;
}

/** The previews that a refused launch names: stopping one of them frees the way. */
export function blockingPreviews(problem: Problem): { previewId: string; generationId: string }[] {
  const { previews, preview_id, generation_id } = problem.details;
  const found = Array.isArray(previews) ? (previews as unknown[]) : preview_id ? [{ preview_id, generation_id }] : [];
  return found.flatMap((one) => {
    const facts = one as Record<string, unknown>;
    const previewId = facts.preview_id ?? facts.id;
    return typeof previewId === "string" && typeof facts.generation_id === "string"
      ? [{ previewId, generationId: facts.generation_id }]
      : [];
  });
}

/** What is known of a failed answer; bodies that are not a problem document still give a sentence. */
export async function problemOf(response: Response): Promise<Problem> {
  const body = (await response.json().catch(() => null)) as Record<string, unknown> | null;
  const text = (value: unknown): string | undefined => (typeof value === "string" && value ? value : undefined);
  const detail =
    text(body?.detail) ?? text(body?.message) ?? `The service responded with status ${response.status}; see its log.`;
  const details = typeof body?.details === "object" && body.details ? (body.details as Record<string, unknown>) : {};
  return new Problem(detail, {
    status: response.status,
    code: text(body?.code) ?? text(body?.error) ?? `http_${response.status}`,
    title: text(body?.title) ?? response.statusText,
    details,
  });
}

/** Code of the problem that the service may not be asked by this page. */
export const ORIGIN_REFUSED = "origin_refused";

/** The service answers, but does not let this page's origin read it (CORS). */
export function originRefused(origin: string): Problem {
  return new Problem(`The service refused this page's origin: add ${origin} to PREVIEW_CORS_ORIGINS.`, {
    code: ORIGIN_REFUSED,
    title: "Origin refused",
  });
}

/** Any thrown value as a problem. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem("The service cannot be reached. Is it running, and is this machine online?", {
    code: "unreachable",
    title: "No connection",
    details: { cause: error instanceof Error ? error.message : String(error) },
  });
}
