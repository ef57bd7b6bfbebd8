import { Denial } from "../core/denial.ts";
import type { BodyPlace } from "../core/signing.ts";
import { WholeBody } from "../core/whole-body.ts";
import { type AttachmentMaker, isFieldContent, revealed, unusable } from "./attachment.ts";
import { bodyTypeFault } from "./body-type.ts";
import { spliceForm } from "./form-splice.ts";
import { BodyFault } from "./body-fault.ts";
import { spliceJson } from "./json-splice.ts";
import { percentEncode } from "./percent.ts";
import { textSecret } from "./text-secret.ts";
import { holdsWhole, wholeBytes } from "./whole-bytes.ts";

/**
 * A credential in the body, at a place in JSON or in a form: for upstreams that want it there and nowhere else. What the guest
 * has at that place is overwritten. A body that cannot take it, or in which an upstream might find another value than the one
 * that was put there, is refused: without the credential nothing leaves.
 */
export const body: AttachmentMaker<"body"> = (spec) => ({
  // They would tell of a body that is not the one that goes out.
  fieldNames: ["content-digest", "repr-digest", "digest", "content-md5"],
  cut: null,
  wholeBodyBytes: holdsWhole(spec.bodyBytes),
  render(material) {
    if (material.kind === "userpass") throw unusable("body takes a token, custody sent userpass");
    const secret = revealed(textSecret(material, "body"));
    if (!isFieldContent(secret)) throw unusable("the material holds a character that no credential may hold");
    const value = spec.format.split("{token}").join(secret);
    const json = JSON.stringify(value);
    return {
      values: valuesOf([value, secret]),
      apply(head, { request }) {
        const fault = bodyTypeFault(head.fields, spec.place.in);
        if (fault !== null) throw unfit(fault);
        const bytes = wholeBytes(request);
        if (bytes.length === 0 || !(request.body instanceof WholeBody)) throw unfit("the request has no body");
        request.body = request.body.with(spliced(bytes, spec.place, value, json));
        return true;
      },
    };
  },
});

function spliced(bytes: Buffer, place: BodyPlace, value: string, json: string): Buffer {
  try {
    return place.in === "json" ? spliceJson(bytes, place.pointer, json) : spliceForm(bytes, place.name, value);
  } catch (thrown) {
    if (thrown instanceof BodyFault) throw unfit(thrown.message);
    throw thrown;
  }
}

function unfit(cause: string): Denial {
  return new Denial("body_unfit", { cause });
}

/** As they were, as JSON writes them, and as a form does. */
function valuesOf(texts: readonly string[]): string[] {
  const all = texts.flatMap((text) => [text, JSON.stringify(text).slice(1, -1), percentEncode(text)]);
  return [...new Set(all)];
}
