import type { Lookup } from "./resolver.ts";

/**
 * Names that the config answers itself, like a hosts file; `*.example.test` stands for every name below. Their addresses go
 * through the same checks as every other answer.
 * @param hosts name or `*.name` -> IP texts
 * @param next asked for every other name
 */
export function staticHosts(hosts: ReadonlyMap<string, readonly string[]>, next: Lookup): Lookup {
  if (hosts.size === 0) return next;
  return (host, signal) => {
    const answer = hosts.get(host) ?? wildcardAnswer(hosts, host);
    return answer === null ? next(host, signal) : Promise.resolve(answer);
  };
}

/** The nearest `*.parent`: more labels win. */
function wildcardAnswer(hosts: ReadonlyMap<string, readonly string[]>, host: string): readonly string[] | null {
  for (let dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1)) {
    const answer = hosts.get(`*${host.slice(dot)}`);
    if (answer !== undefined) return answer;
  }
  return null;
}
