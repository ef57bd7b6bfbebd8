// The ASN.1 half of node-forge by itself, as far as der.ts uses it: its ciphers, RSA and TLS are neither loaded nor wanted.
// The package's own types give tag classes and numbers as closed enums, which context-specific tags do not fit.
declare module "node-forge/lib/asn1.js" {
  export interface Asn1 {
    readonly value: string | readonly Asn1[];
  }
  interface Asn1Module {
    readonly Class: { readonly UNIVERSAL: number; readonly CONTEXT_SPECIFIC: number };
    readonly Type: Readonly<
      Record<
        | "BOOLEAN"
        | "INTEGER"
        | "BITSTRING"
        | "OCTETSTRING"
        | "NULL"
        | "OID"
        | "UTF8"
        | "SEQUENCE"
        | "SET"
        | "UTCTIME"
        | "GENERALIZEDTIME",
        number
      >
    >;
    create(tagClass: number, type: number, constructed: boolean, value: string | readonly Asn1[]): Asn1;
    toDer(node: Asn1): { getBytes(): string };
    oidToDer(dotted: string): { getBytes(): string };
    dateToUtcTime(date: Date): string;
    dateToGeneralizedTime(date: Date): string;
  }
  const asn1: Asn1Module;
  export default asn1;
}
