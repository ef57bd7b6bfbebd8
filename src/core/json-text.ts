/** The value of a JSON text; `undefined` when it is none: the error of the parser quotes the text, which may hold a secret. */
export function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The members of a text that is one JSON object, else `null`. */
export function jsonObject(text: string): Readonly<Record<string, unknown>> | null {
  const json = parsedJson(text);
  return typeof json === "object" && json !== null && !Array.isArray(json) ? (json as Record<string, unknown>) : null;
}
