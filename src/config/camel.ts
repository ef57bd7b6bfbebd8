/** `head_bytes` -> `headBytes`, in the type and in the value: the file speaks snake case, the house camel case. */
export type CamelKeys<T> = { readonly [K in keyof T as K extends string ? Camel<K> : never]: T[K] };

type Camel<S extends string> = S extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : S;

/** A frozen copy of a flat section with camel-case keys. */
export function camelKeys<T extends object>(section: T): CamelKeys<T> {
  const pairs = Object.entries(section).map(([key, value]) => [camel(key), value] as const);
  return Object.freeze(Object.fromEntries(pairs)) as CamelKeys<T>;
}

function camel(key: string): string {
  return key.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
