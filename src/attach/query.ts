import { type AttachmentMaker, isFieldContent, revealed, unusable } from "./attachment.ts";
import { percentEncode } from "./percent.ts";
import { rewriteQuery } from "./query-string.ts";
import { textSecret } from "./text-secret.ts";

/** A query parameter, percent-encoded (RFC 3986) and appended. Takes a token or a header value. */
export const query: AttachmentMaker<"query"> = (spec) => ({
  fieldNames: [],
  cut(head) {
    head.target = rewriteQuery(head.target, spec.name, () => null);
  },
  render(material) {
    if (material.kind === "userpass") throw unusable("query takes a token, custody sent userpass");
    const secret = revealed(textSecret(material, "query"));
    // Encoding would carry them safely, but a line break in a key is a broken source, not a credential.
    if (!isFieldContent(secret)) throw unusable("the material holds a character that no query credential may hold");
    const encoded = percentEncode(secret);
    const parameter = `${percentEncode(spec.name)}=${encoded}`;
    return {
      values: [parameter, encoded, secret],
      apply(head) {
        head.target = appended(head.target, parameter);
        return true;
      },
    };
  },
});

/** The codec lets neither through; were one to come, the credential would land where no upstream reads it. */
function appended(target: string, parameter: string): string {
  if (!target.startsWith("/")) throw unusable("a query credential needs a target that begins with /");
  if (target.includes("#")) throw unusable("a query credential cannot follow a fragment");
  if (!target.includes("?")) return `${target}?${parameter}`;
  return target.endsWith("?") || target.endsWith("&") ? target + parameter : `${target}&${parameter}`;
}
