/** Services whose paths and payloads follow S3's rules: as the scope of a signature names them. */
const S3: ReadonlySet<string> = new Set(["s3", "s3-outposts", "s3-object-lambda", "s3express"]);

export function isS3(service: string): boolean {
  return S3.has(service);
}
