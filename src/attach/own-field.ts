import type { OutboundHead } from "../core/exchange.ts";
import type { Material } from "../core/material.ts";
import { type Attachment, fieldValue, unusable } from "./attachment.ts";

/** A value that is sent, and what else of it must never come back. */
export interface RenderedField {
  readonly value: string;
  readonly parts: readonly string[];
}

/**
 * The attachment that is a field of its own: every guest line of that name goes, one line of the edge comes at the end.
 * @param name as it is spelled on the wire
 * @param render throws Denial `lease_unusable` when the material does not fit
 */
export function ownField(name: string, render: (material: Material) => RenderedField): Attachment {
  return {
    fieldNames: [name.toLowerCase()],
    cut: null,
    render(material) {
      if (!TOKEN.test(name)) throw unusable("the attachment's field name is not a token");
      const { value, parts } = render(material);
      const checked = fieldValue(value);
      return {
        values: [checked, ...parts],
        apply(head: OutboundHead): boolean {
          head.fields.append(name, checked);
          return true;
        },
      };
    },
  };
}

/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
