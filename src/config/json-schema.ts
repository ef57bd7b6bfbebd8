import { z } from "zod";
import { custodyFileSchema } from "./custody-schema.ts";
import { posternSchema } from "./schema.ts";

/** The JSON Schemas of both config files, for editors and for CI; draft-07, which yaml-language-server reads best. */
export const JSON_SCHEMAS = {
  postern: () => jsonSchema(posternSchema, "Postern edge"),
  custody: () => jsonSchema(custodyFileSchema, "Postern custody"),
} as const;

export type ConfigKind = keyof typeof JSON_SCHEMAS;

/** A JSON Schema as far as the documentation reads it. */
export interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly additionalProperties?: JsonSchema | false;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly enum?: readonly (string | number | boolean)[];
  readonly const?: string | number | boolean;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
}

/** The schema as the committed file holds it. */
export function schemaText(kind: ConfigKind): string {
  return `${JSON.stringify(JSON_SCHEMAS[kind](), null, 2)}\n`;
}

function jsonSchema(schema: z.ZodType, title: string): JsonSchema {
  const { $schema, ...rest } = z.toJSONSchema(schema, { target: "draft-7", io: "input" });
  // Through JSON, because zod's type allows bare `true` where these schemas have none.
  return JSON.parse(JSON.stringify({ $schema, title, ...rest })) as JsonSchema;
}
