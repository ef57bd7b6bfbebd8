/** What the upstream's process saw; the bench asks for it around every job. */
export interface UpstreamCounts {
  served: number;
  /** Requests that came without the injected credential, or with another one beside it. */
  uninjected: number;
}

export const counts: UpstreamCounts = { served: 0, uninjected: 0 };
