/**
 * The config that `postern dev` runs on: two destinations, one with a custody in this process, one whose custody is not there.
 */
export function demoConfig({ port, upstreamPort }: { readonly port: number; readonly upstreamPort: number }): string {
  return `# Written by \`postern dev\`; gone when it ends.
listeners:
  - name: guests
    address: 127.0.0.1:${port}
    session: { mode: open }

ca: { certificate: ca.crt, key: in-memory } # the demo keeps its key in memory

resolver:
  hosts: { "*.demo.test": [127.0.0.1] }

audit:
  file: private/audit.jsonl

custody:
  main:
    embedded:
      credentials:
        - name: demo
          kind: token
          source: { env: POSTERN_DEMO_TOKEN }
          hosts: ["api.demo.test:${upstreamPort}"]
  down: # nothing listens on this socket
    remote: { address: "unix:private/no-custody.sock" }

destinations:
  - name: demo-api
    host: api.demo.test
    port: ${upstreamPort}
    scheme: https
    allow:
      - methods: [GET, POST]
        paths: ["/v1/**"]
    credential: main/demo
    attach: { as: bearer }
    addresses: [127.0.0.0/8] # the demo upstream is on this machine
    trust: upstream-ca.crt
  - name: demo-without-custody
    host: vault.demo.test
    port: ${upstreamPort}
    scheme: https
    allow:
      - methods: [GET]
        paths: ["/v1/**"]
    credential: down/demo
    attach: { as: bearer }
    addresses: [127.0.0.0/8]
    trust: upstream-ca.crt
`;
}
