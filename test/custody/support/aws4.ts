import { createRequire } from "node:module";

interface Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

interface Aws4 {
  sign(request: object, credentials: Keys): { headers: Record<string, string> };
}
const aws4 = createRequire(import.meta.url)("aws4") as Aws4;

/** A second opinion. @param headers what is signed, `host` and `x-amz-date` among them @returns Authorization of a POST to `/` */
export function aws4Post(
  headers: Readonly<Record<string, string>>,
  body: string,
  { region, service }: { readonly region: string; readonly service: string },
  { accessKeyId, secretAccessKey }: Keys,
): string {
  const ignored = Object.keys(headers).some((name) => name === "content-type") ? {} : { "content-type": true };
  const signed = aws4.sign(
    {
      method: "POST",
      path: "/",
      headers: { ...headers },
      body,
      region,
      service,
      extraHeadersToInclude: Object.fromEntries(Object.keys(headers).map((name) => [name, true])),
      extraHeadersToIgnore: { "content-length": true, ...ignored },
    },
    { accessKeyId, secretAccessKey },
  );
  return signed.headers["Authorization"] ?? "none";
}
