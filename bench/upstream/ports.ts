/** Where the upstream listens, on loopback. */
export interface UpstreamPorts {
  /** HTTP/1.1 over TLS. */
  readonly tlsPort: number;
  /** HTTP/1.1 in the clear. */
  readonly plainPort: number;
  /** HTTP/2 over TLS, and nothing else there. */
  readonly http2Port: number;
  /** Plain bytes behind a TLS hello. */
  readonly opaquePort: number;
}
