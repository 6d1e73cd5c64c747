// Checked by the compiler, not run: the types that an application gets.
import { Client, type Files, type LogEvent, PreviewProblem, type schema } from "@preview/client";

export async function watch(url: string, token: string, files: Files): Promise<number> {
  const client = new Client(url, { token: () => Promise.resolve(token) });
  const preview = await client.launch(files, { name: "shop", env: { DEBUG: "1" }, wait: 60 });
  const answer = await preview.request("GET", "/books", { query: { page: "2" } });
  const lines: schema.Line[] = await answer.lines();
  try {
    for await (const event of preview.logs({ level: "WARNING" })) {
      if (event.type === "line") console.log(event.seq, event.message);
      if (event.type === "gap") console.log(event.first, event.last);
      if (event.type === "end") console.log(event.exit_code satisfies number | null);
    }
  } catch (error) {
    if (error instanceof PreviewProblem && error.code === "no_active_preview") console.log(error.details);
  }
  // @ts-expect-error There is no such level.
  preview.logs({ level: "LOUD" });
  const never = (event: LogEvent): void => {
    // @ts-expect-error Only a line has a message.
    console.log(event.message);
  };
  never({ type: "gap", first: 1, last: 2, reason: "lost" });
  return lines.length;
}
