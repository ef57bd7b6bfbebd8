import { JSON_SCHEMAS, type JsonSchema } from "./json-schema.ts";

/** docs/configuration.md: every key of both config files with its meaning, values and default, out of the schemas. */
export function configurationPage(): string {
  return [
    "# Configuration",
    "",
    "Written from the schema by `postern schema --docs --write`; a test holds it to the code.",
    "",
    "- One file, YAML 1.2 or JSON, UTF-8. Unknown keys are errors; all problems are told at once, with line and column.",
    "- Relative paths count from the folder of the file. Every figure has its unit in its name.",
    "- `postern check --config FILE` tells what a file means, `postern explain METHOD URL` what it does with a request.",
    "- By example: [config/postern.example.yaml](../config/postern.example.yaml). For editors and CI:",
    "  [config/postern.schema.json](../config/postern.schema.json), [config/custody.schema.json](../config/custody.schema.json).",
    "",
    ...file("The edge", "`postern serve --config FILE`", JSON_SCHEMAS.postern()),
    ...file("A custody process", "`postern custody --config FILE`", JSON_SCHEMAS.custody()),
  ].join("\n");
}

function file(title: string, command: string, schema: JsonSchema): string[] {
  return [`## ${title}`, "", command, "", ...table(schema), ...sectionsBelow("", schema)];
}

/** The mappings below `path`, each with its table, in the order of the schema. */
function sectionsBelow(path: string, schema: JsonSchema): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, child]) => sections(join(path, key), child));
}

function sections(path: string, schema: JsonSchema): string[] {
  const { place, inner } = unwrap(path, schema);
  const variants = variantsOf(inner);
  if (variants !== null) {
    const intro = [`### \`${place}\``, "", ...sentence(schema), "One of:", ""];
    return [...intro, ...variants.flatMap((variant) => variantSection(place, variant))];
  }
  if (inner.properties === undefined) return [];
  return [`### \`${place}\``, "", ...sentence(schema), ...table(inner), ...sectionsBelow(place, inner)];
}

function variantSection(place: string, variant: JsonSchema): string[] {
  const tag = Object.entries(variant.properties ?? {}).find(([, child]) => child.const !== undefined);
  const label = tag === undefined ? `${(variant.required ?? []).join(", ")}:` : `${tag[0]}: ${String(tag[1].const)}`;
  const text = variant.description === undefined ? "" : ` ${variant.description}`;
  const rest = { ...variant, properties: Object.fromEntries(propertiesBut(variant, tag?.[0])) };
  return [`**\`${label}\`**${text}`, "", ...table(rest), ...sectionsBelow(place, rest)];
}

function propertiesBut(schema: JsonSchema, key: string | undefined): [string, JsonSchema][] {
  return Object.entries(schema.properties ?? {}).filter(([name]) => name !== key);
}

/** Takes lists and name-to-value mappings off, and says so in the path. */
function unwrap(path: string, schema: JsonSchema): { place: string; inner: JsonSchema } {
  if (schema.type === "array" && schema.items !== undefined) return unwrap(`${path}[]`, schema.items);
  const values = schema.additionalProperties;
  if (values !== undefined && values !== false && (variantsOf(values) !== null || values.properties !== undefined))
    return unwrap(`${path}.<name>`, values);
  return { place: path, inner: schema };
}

/** The mappings that a union is made of; `null` when it is none. */
function variantsOf(schema: JsonSchema): readonly JsonSchema[] | null {
  const members = (schema.anyOf ?? schema.oneOf)?.flatMap((member) =>
    member.type === "array" ? [] : (variantsOf(member) ?? [member]),
  );
  return members?.every((member) => member.properties !== undefined) ? members : null;
}

function sentence(schema: JsonSchema): string[] {
  return schema.description === undefined ? [] : [schema.description, ""];
}

function table(schema: JsonSchema): string[] {
  const rows = Object.entries(schema.properties ?? {});
  if (rows.length === 0) return [];
  const required = new Set(schema.required);
  return [
    "| key | values | default | meaning |",
    "| --- | --- | --- | --- |",
    ...rows.map(([key, child]) => {
      const fallback = required.has(key) ? "required" : defaultText(child);
      return `| \`${key}\` | ${cell(values(child))} | ${cell(fallback)} | ${cell(child.description ?? "")} |`;
    }),
    "",
  ];
}

function defaultText(schema: JsonSchema): string {
  if (schema.default === undefined || isEmptyMapping(schema.default)) return "";
  return `\`${typeof schema.default === "string" ? schema.default : JSON.stringify(schema.default)}\``;
}

function isEmptyMapping(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length === 0;
}

function values(schema: JsonSchema): string {
  if (schema.const !== undefined) return `\`${String(schema.const)}\``;
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${String(value)}\``).join(", ");
  if (schema.type === "integer") return `${schema.minimum ?? ""} to ${schema.maximum ?? ""}`;
  if (schema.type === "boolean") return "`true`, `false`";
  if (schema.type === "string") return "text";
  if (schema.type === "array") return schema.items?.type === "string" ? "list of texts" : "list";
  if (schema.anyOf?.some((member) => member.type === "string")) return schema.anyOf.map(values).join(" or ");
  if (schema.anyOf?.some((member) => member.type === "array")) return "mapping or list";
  return "mapping";
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

function join(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}
