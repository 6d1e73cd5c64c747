/** Bodies of forms with files, as bytes in base64: the service carries them in JSON. */

interface Part {
  name: string;
  value: string;
  isFile: boolean;
  file?: File;
  base64?: string;
}

/** Bytes as base64, in pieces that a call stack bears. */
export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 32_768) text += String.fromCharCode(...bytes.subarray(at, at + 32_768));
  return btoa(text);
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (unit) => unit.charCodeAt(0));
}

/** RFC 7578: names are quoted, and line breaks and quotes in them are escaped. */
export function writeMultipart(parts: readonly Part[]): { type: string; base64: string } {
  const boundary = `preview-${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
  const pieces: Uint8Array[] = [];
  for (const part of parts) {
    let head = `--${boundary}\r\nContent-Disposition: form-data; name="${escaped(part.name)}"`;
    if (part.isFile) {
      head += `; filename="${escaped(part.file?.name ?? "file")}"`;
      head += `\r\nContent-Type: ${part.file?.type || "application/octet-stream"}`;
    }
    pieces.push(encode(`${head}\r\n\r\n`), part.isFile ? fromBase64(part.base64 ?? "") : encode(part.value));
    pieces.push(encode("\r\n"));
  }
  pieces.push(encode(`--${boundary}--\r\n`));
  const whole = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return { type: `multipart/form-data; boundary=${boundary}`, base64: toBase64(whole) };
}

function escaped(text: string): string {
  return text.replaceAll("\r", "%0D").replaceAll("\n", "%0A").replaceAll('"', "%22");
}
